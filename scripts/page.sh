#!/usr/bin/env bash
# Tests the page of `beiming inspect --html` in headless Chromium: installs Debian's chromium and, in an environment of its own, what
# drives it. Screenshots are left in build/page.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null; then
  echo "page: installing chromium"
  sudo=$([ "$(id -u)" = 0 ] || echo sudo)
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
if [ ! -x .venv-page/bin/python ]; then
  python3 -m venv .venv-page
  .venv-page/bin/pip install -q -r tests/requirements-page.txt
fi
.venv-page/bin/python tests/page/page.py "${1:-target/release/beiming}" "$(command -v chromium)"

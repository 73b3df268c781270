#!/usr/bin/env bash
# Runs a program of tests/jax in an environment of its own: `check.py` holds functions, models and whole networks of JAX against JAX,
# `twins.py` sets them beside their ONNX twins. Arguments go to the program.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
shift
if [ ! -x .venv-jax/bin/python ]; then
  python3 -m venv .venv-jax
fi
.venv-jax/bin/pip install -q -r tests/requirements-jax.txt
exec .venv-jax/bin/python "tests/jax/$program" target/release/beiming "$@"

#!/usr/bin/env bash
# Holds functions, models and whole networks of JAX against JAX, in an environment of their own. Arguments go to tests/jax/check.py.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x .venv-jax/bin/python ]; then
  python3 -m venv .venv-jax
fi
.venv-jax/bin/pip install -q -r tests/requirements-jax.txt
exec .venv-jax/bin/python tests/jax/check.py target/release/beiming "$@"

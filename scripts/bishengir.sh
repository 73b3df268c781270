#!/usr/bin/env bash
# Holds the kernels of some models against Huawei's compiler `bishengir-compile`, of the Python package ascendnpu-ir (161 MB, CPython
# 3.11, x86-64), in an environment of its own. Where the package cannot be had nothing was tried, and that is no success: exit 77.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=tests/requirements-bishengir.txt stamp=.venv-bishengir/.stamp
if ! cmp -s "$wanted" "$stamp"; then
  rm -rf .venv-bishengir
  if ! { python3 -m venv .venv-bishengir && .venv-bishengir/bin/pip install -q --no-deps -r "$wanted"; }; then
    rm -rf .venv-bishengir
    echo "NOT RUN: the Python package of $wanted cannot be installed here; no kernel was held against bishengir-compile" >&2
    exit 77
  fi
  cp "$wanted" "$stamp"
fi
compiler=$(echo .venv-bishengir/lib/python3*/site-packages/ascendnpuir/bin/bishengir-compile)
if ! "$compiler" --version >/dev/null 2>&1; then
  echo "NOT RUN: $compiler does not start on this machine; no kernel was held against it" >&2
  exit 77
fi
.venv/bin/python tests/bishengir/check.py "$1" "$compiler" "${@:2}"

#!/usr/bin/env bash
# Tests the Python package as a user has it: a fresh environment, the wheel and nothing of this folder. With numpy 2, and a few
# tests again with numpy 1 where this Python has wheels of it.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=$(ls -t target/wheels/beiming-[0-9]*.whl | head -n 1)
venv=$PWD/target/python-test
tools=$PWD/.venv-python
rm -rf "$venv"
"$tools/bin/python" -m venv "$venv"
# The tools' packages (pytest, onnx, jax) are shared; the package is installed into the fresh environment.
"$venv/bin/python" - "$tools" <<'PY'
import pathlib, site, sys
packages = next(pathlib.Path(sys.argv[1]).glob("lib/python*/site-packages"))
(pathlib.Path(site.getsitepackages()[0]) / "tools.pth").write_text(f"{packages}\n")
PY
"$venv/bin/pip" install -q --no-deps --force-reinstall "$wheel"
models=$PWD/build/models tests=$PWD/compiler/python/tests
cd "$venv"
# No compiler, no LLVM, no linker on the path.
env -i HOME="$HOME" LANG=C.UTF-8 PATH="$venv/bin" BEIMING_MODELS="$models" bin/python -m pytest -q -p no:cacheprovider "$tests" "$@"

old=$venv-numpy1
rm -rf "$old"
"$tools/bin/python" -m venv "$old"
if "$old/bin/pip" install -q --only-binary :all: 'numpy<2' 'ml_dtypes<0.6' onnx pytest 2>/dev/null; then
  "$old/bin/pip" install -q --no-deps "$wheel"
  env -i HOME="$HOME" LANG=C.UTF-8 PATH="$old/bin" "$old/bin/python" -m pytest -q -p no:cacheprovider "$tests/test_arrays.py"
else
  echo "numpy 1 has no wheel for this Python: not tried"
fi

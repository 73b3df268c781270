#!/usr/bin/env bash
# Tests the Python package.
#   test_python.sh        as users have it: fresh environments, the wheel and nothing of this folder, no compiler on the path.
#                         All tests with the tools' Python; those of arrays and of the package again with numpy 1 and with other
#                         versions of CPython; those of torch where there is one (.venv-torch, or an environment that
#                         BEIMING_TORCH names). What is not here is said, not passed over.
#   test_python.sh dev    the quick part, on an extension that cargo builds in the dev profile. BEIMING_PYTHON has numpy and onnx.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1
tests=$PWD/compiler/python/tests
models=${BEIMING_MODELS:-$PWD/build/models}
pytest=(-m pytest -q -rs -p no:cacheprovider)

if [ "${1:-}" = dev ]; then
  python=${BEIMING_PYTHON:-$PWD/.venv/bin/python} dev=$PWD/target/python-dev
  # With the command's package: the same features, so that what its tests built is used again.
  cargo build -q -p beiming -p beiming-python --features beiming-python/llvm-shared
  rm -rf "$dev/package"
  mkdir -p "$dev/package/beiming"
  ln -s "$PWD"/compiler/python/python/beiming/* "$dev/package/beiming/"
  ln -s "$PWD/target/debug/lib_beiming.so" "$dev/package/beiming/_beiming.abi3.so"
  [ -d "$dev/tools/pytest" ] || "$python" -m pip install -q --no-warn-conflicts --target "$dev/tools" "$(grep ^pytest== "$tests/requirements.txt")"
  PYTHONPATH=$dev/package:$dev/tools BEIMING_MODELS=$models "$python" "${pytest[@]}" -m "not slow" "$tests"
  exit
fi

wheel=$(ls -t target/wheels/beiming-[0-9]*.whl | head -n 1)
tools=$PWD/.venv-python

# fresh NAME PYTHON [PACKAGES]: an environment with the wheel; the packages of an environment are shared, not installed.
fresh() {
  venv=$PWD/target/$1
  rm -rf "$venv"
  "$2" -m venv "$venv"
  if [ $# -gt 2 ]; then
    "$venv/bin/python" - "${@:3}" <<'PY'
import pathlib, site, sys
lines = [str(next(pathlib.Path(e).glob("lib/python*/site-packages"))) for e in sys.argv[1:]]
(pathlib.Path(site.getsitepackages()[0]) / "tools.pth").write_text("\n".join(lines) + "\n")
PY
  fi
  "$venv/bin/pip" install -q --no-deps --force-reinstall "$wheel"
}

# Runs the fresh environment's Python in it: no compiler, no LLVM, no linker on the path.
inside() {
  (cd "$venv" && env -i HOME="$HOME" LANG=C.UTF-8 PATH="$venv/bin" PYTHONDONTWRITEBYTECODE=1 BEIMING_MODELS="$models" bin/python "$@")
}

echo "== $("$tools/bin/python" --version), $(basename "$wheel")"
"$tools/bin/python" -m abi3audit --strict "$wheel"
fresh python-test "$tools/bin/python" "$tools"
inside "${pytest[@]}" "$tests" "$@"
inside "$tests/bench_call.py"

# other NAME PYTHON REQUIREMENT..: without the tools, where there are wheels of everything.
other() {
  local name=$1 python=$2
  shift 2
  fresh "python-test-$name" "$python"
  if "$venv/bin/pip" install -q --only-binary :all: "$@" onnx onnxruntime pytest; then
    echo "== $name: $("$venv/bin/python" --version), numpy $("$venv/bin/python" -c 'import numpy; print(numpy.__version__)')"
    inside "${pytest[@]}" -m "not slow" "$tests/test_arrays.py" "$tests/test_package.py" "$tests/test_debug.py"
  else
    echo "== $name: NOT TRIED, no wheels of $*"
  fi
}

other numpy1 "$tools/bin/python" 'numpy<2' 'ml_dtypes<0.6'
for version in 3.9 3.10 3.12 3.13 3.14; do
  found=
  # The one on the path may be a stand-in that only says which versions there are.
  for python in "$(command -v "python$version" || true)" "$HOME"/.pyenv/versions/"$version".*/bin/python; do
    if [ -z "$found" ] && [ -x "$python" ] && "$python" -c '' 2>/dev/null; then found=$python; fi
  done
  if [ -n "$found" ]; then
    other "$version" "$found" numpy ml_dtypes
  else
    echo "== CPython $version: NOT TRIED, not here"
  fi
done

torch=${BEIMING_TORCH:-$PWD/.venv-torch}
if [ -x "$torch/bin/python" ]; then
  echo "== torch of $(basename "$torch")"
  fresh python-test-torch "$tools/bin/python" "$torch" "$tools"
  inside "${pytest[@]}" "$tests/test_torch.py"
else
  echo "== torch: NOT TRIED, .venv-torch is not here (make models)"
fi

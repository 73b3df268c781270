#!/usr/bin/env bash
# Builds a Python wheel into target/wheels:
#   wheel.sh                       beiming, with the compiler, for this machine
#   wheel.sh runtime x86_64|aarch64   beiming-runtime, without it, for glibc 2.17 and later
# Tools (maturin, ziglang) come from PyPI into .venv-python.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$PWD/.venv-python
[ -x "$venv/bin/maturin" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install -q -r compiler/python/tests/requirements.txt; }
out=$PWD/target/wheels

if [ "${1:-}" != runtime ]; then
  cd compiler/python
  export PATH="$venv/bin:$PATH"
  rm -rf "$out/raw"
  maturin build --release --strip -o "$out/raw"
  # LLVM's libffi and libzstd go into the wheel; the tag is what the symbols of the C library ask for.
  auditwheel repair --plat manylinux_2_36_x86_64 -w "$out" "$out"/raw/*.whl
  rm -rf "$out/raw"
  exit
fi

# The runtime's package is made of the files of the whole one that need no compiler.
arch=$2
stage=$PWD/target/python-runtime
rm -rf "$stage"
mkdir -p "$stage/python/beiming_runtime"
cp compiler/python/runtime/__init__.py "$stage/python/beiming_runtime/"
for f in _artifact.py _html.py _module.py _profile.py _types.py exceptions.py session.py _beiming.pyi py.typed; do
  cp "compiler/python/python/beiming/$f" "$stage/python/beiming_runtime/"
done
sed "s|^module-name|manifest-path = \"$PWD/compiler/python/Cargo.toml\"\nmodule-name|" compiler/python/runtime/pyproject.toml > "$stage/pyproject.toml"
if [ "$arch" = aarch64 ]; then
  scripts/aarch64_rust.sh
  export RUSTC=$PWD/build/rust-aarch64/rustc CARGO_TARGET_DIR=$PWD/target/cross
fi
cd "$stage"
PATH="$venv/bin:$PATH" maturin build --profile runtime --no-default-features --target "$arch-unknown-linux-gnu" \
  --zig --compatibility manylinux2014 -i python3.9 -o "$out"

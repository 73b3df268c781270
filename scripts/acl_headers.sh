#!/usr/bin/env bash
# The ACL headers that the Python package torch-npu ships (44 MB), in build/acl-headers, to check emitted host code against.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/acl-headers
[ -f "$out/acl/acl.h" ] && exit 0
echo "setup: fetching torch-npu for its headers"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/pip download -q --no-deps --only-binary :all: --python-version 3.11 --platform manylinux_2_28_x86_64 torch-npu==2.14.0 -d "$work"
.venv/bin/python - "$work" "$out" <<'PY'
import pathlib, sys, zipfile
work, out = map(pathlib.Path, sys.argv[1:])
root = "torch_npu/include/"
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    for name in wheel.namelist():
        if name.startswith(root + "acl/") and name.endswith(".h"):
            to = out / name[len(root):]
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(wheel.read(name))
PY

#!/usr/bin/env bash
# Debian's Python for aarch64 with onnxruntime's and numpy's aarch64 wheels, in build/python-aarch64, to count what onnxruntime
# executes under qemu. Leaves build/python-aarch64/python; QEMU holds more arguments for qemu. Nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/python-aarch64
[ -x "$out/python" ] && exit 0

echo "setup: fetching Python and onnxruntime for aarch64"
rm -rf "$out"
work=$out/packages
mkdir -p "$work/lists/partial" "$work/cache" "$out/root/proc" "$out/site"
v=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
(
  cd "$work"
  arm=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
  apt-get "${arm[@]}" -qq update
  apt-get "${arm[@]}" -qq download "python$v-minimal" "libpython$v-minimal" "libpython$v-stdlib" libexpat1 zlib1g libffi8 libbz2-1.0 \
    liblzma5 libc6 libgcc-s1 libstdc++6 2>/dev/null
  for deb in *.deb; do dpkg -x "$deb" "$out/root"; done
)
grep -E '^(numpy|onnxruntime)==' tests/requirements.txt > "$work/wheels.txt"
.venv/bin/pip download -q --no-deps --only-binary :all: --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
  --platform manylinux2014_aarch64 --python-version "$v" -d "$work" -r "$work/wheels.txt"
for wheel in "$work"/*.whl; do .venv/bin/python -m zipfile -e "$wheel" "$out/site"; done
rm -rf "$work"

# onnxruntime reads the CPU's name here and crashes on that of an x86 machine. This is what a Kunpeng 920 says.
for cpu in 0 1; do
  printf 'processor\t: %d\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma dcpop asimddp asimdfhm\n' $cpu
  printf 'CPU implementer\t: 0x48\nCPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd01\nCPU revision\t: 0\n\n'
done > "$out/root/proc/cpuinfo"

# qemu knows no tsv110; a Neoverse N1 is of the same version of the architecture, with fp16 and dot products and without SVE.
cat > "$out/python" <<SH
#!/bin/sh
export PYTHONHOME="$out/root/usr" PYTHONPATH="$out/site"
exec qemu-aarch64 -cpu neoverse-n1 \$QEMU -L "$out/root" "$out/root/usr/bin/python$v" -S "\$@"
SH
chmod +x "$out/python"

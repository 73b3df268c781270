#!/usr/bin/env bash
# A Rust toolchain whose sysroot holds the standard libraries of x86-64 and aarch64, in build/rust-aarch64, made of Debian's
# packages where rustup's own target is not at hand. Leaves build/rust-aarch64/rustc: set RUSTC to it.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/rust-aarch64
[ -x "$out/rustc" ] && exit 0

# rustup's aarch64 library, if it is installed, serves as it is.
if rustup target list --installed 2>/dev/null | grep -q '^aarch64-unknown-linux-gnu$'; then
  mkdir -p "$out"
  printf '#!/bin/sh\nexec rustc "$@"\n' > "$out/rustc" && chmod +x "$out/rustc"
  exit 0
fi

echo "setup: fetching Debian's Rust for aarch64"
work=$out/packages
mkdir -p "$work/lists/partial" "$work/cache" "$out/root"
cd "$work"
std=$(apt-cache depends libstd-rust-web-dev | grep -o "libstd-rust-web-[0-9.]*[0-9]" | head -n 1 || true)
[ -n "$std" ] || { echo "setup: Debian's libstd-rust-web-dev package is not known here (apt-get update?)" >&2; exit 1; }
apt-get -qq download rustc-web "$std" libstd-rust-web-dev 2>/dev/null
arm=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
apt-get "${arm[@]}" -qq update
apt-get "${arm[@]}" -qq download libstd-rust-web-dev 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" "$out/root"; done
rm -rf "$work"

lib=$(dirname "$(find "$out/root" -name 'librustc_driver*.so' | head -n 1)")
cat > "$out/rustc" <<SH
#!/bin/sh
export LD_LIBRARY_PATH="$lib"
exec "$out/root/usr/bin/rustc" --sysroot "$out/root/usr" "\$@"
SH
chmod +x "$out/rustc"

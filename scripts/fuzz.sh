#!/usr/bin/env bash
# Fuzzes the readers of StableHLO, guided by coverage: text and portable artifact, side by side, for an hour (or so many seconds as the
# first argument says). What they start from are our own small files, and the open cases below the folder CONFORMANCE where it is given. The corpus grows in
# build/fuzz; an input that panics, hangs for 10 s or takes more than 1,500 MB ends the run and is left in build/fuzz/*/found.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-3600}
tool=$PWD/build/fuzz/tool
[ -x "$tool/bin/cargo-bolero" ] || cargo install -q cargo-bolero@0.13.5 --locked --no-default-features --features libfuzzer --root "$tool"
export PATH=$tool/bin:$PATH

seeds() { # corpus endings...
  local corpus=$1 ending
  shift
  mkdir -p "$corpus"
  for ending in "$@"; do
    find compiler/tests/stablehlo ${CONFORMANCE:+"$CONFORMANCE"} -name "*$ending" -size -6k | sort | while read -r file; do
      cp "$file" "$corpus/$(sha256sum "$file" | cut -c1-16)"
    done
  done
}

fuzz() { # test endings...
  local dir=$PWD/build/fuzz/$1 # the test runs in its own folder
  mkdir -p "$dir/found"
  seeds "$dir/corpus" "${@:2}"
  # Sanitizers and coverage are flags of the nightly compiler; safe Rust has no use for the first.
  cargo bolero test -p beiming-fuzz "tests::$1" --rustc-bootstrap --profile release --sanitizer NONE -T "${seconds}s" \
    --corpus-dir "$dir/corpus" --crashes-dir "$dir/found" --engine-args="-timeout=10 -rss_limit_mb=1500 -max_len=6000 -print_final_stats=1"
}

fuzz text .mlir &
text=$!
fuzz artifact .mlirbc .jax &
artifact=$!
wait "$text" && wait "$artifact"

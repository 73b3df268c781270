#!/usr/bin/env bash
# What the feature `mlir` is built with, from Debian's packages: MLIR 22 and libclang, which reads MLIR's headers.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh libmlir-22-dev libclang1-22 libclang-common-22-dev

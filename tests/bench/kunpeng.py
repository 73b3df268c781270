"""make kunpeng: the evidence that a model's code for Kunpeng 920 is right, and what it costs, without a Kunpeng.

Every model at hand is compiled for kunpeng920 and run under qemu-aarch64 by the `beiming` that was built for aarch64, on poisoned
memory, and its outputs are held against onnxruntime's on this machine. Then executed instructions of one inference are counted,
beside those of onnxruntime's aarch64 wheel on one thread: work, not time. It takes hours; what was measured is kept in
build/kunpeng.json and not measured again while the artifact, or for onnxruntime the model, is the same.

usage: kunpeng.py [--minutes N] [MODEL ...]    every model at hand if none is named; a process may take N minutes (default 60)
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent))
import against_onnxruntime as bench  # noqa: E402
from against_onnxruntime import model_inputs  # noqa: E402

MODELS = bench.ROOT / "build/models"
RESULTS = bench.ROOT / "build/kunpeng.json"
PYTHON = bench.ROOT / "build/python-aarch64/python"
CROSS = bench.ROOT / "target/cross/aarch64-unknown-linux-gnu/release/beiming"
QEMU = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", CROSS]
# From here on a run under qemu takes so long that one more of it must do.
LARGE = 500_000_000
ORT = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = dict(numpy.load(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    session.run(None, feed)
"""


class Failed(Exception):
    """A step that cannot be done, and why in one line."""


def call(what: str, command: list, minutes: float, **options) -> str:
    """Stdout of a process that must succeed in time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 * minutes, **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"{what}: more than {minutes:g} minutes") from None
    except subprocess.CalledProcessError as e:
        said = e.stderr.strip().splitlines() or [f"exit {e.returncode}"]
        raise Failed(f"{what}: {said[0] if what != 'onnxruntime' else said[-1]}") from None
    return done.stdout


def digest(*parts) -> str:
    """Of texts, and of the bytes of files."""
    h = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as f:
                h.update(hashlib.file_digest(f, "sha256").digest())
        else:
            h.update(part.encode())
    return h.hexdigest()


def error(artifact: Path, feed: Path, want: list, names: list, folder: Path, minutes: float) -> float:
    """Of the outputs of Kunpeng's code, as a share of what is allowed."""
    got = folder / "got.npz"
    call("qemu", [*QEMU, "run", artifact, "--inputs", feed, "--outputs", got], minutes)
    with np.load(got) as outputs:
        return bench.compare(outputs, want, names)


def ours(artifact: Path, feed: Path, minutes: float) -> dict:
    """Executed instructions by kind."""

    def count(runs: int) -> dict:
        command = [bench.BEIMING, "bench", artifact, "--count", "--runs", str(runs), "--inputs", feed, "--json"]
        return json.loads(call("counting", command, minutes))["instructions"]

    # The first run does some tens of thousands more; of a small model several are counted, and the first is not.
    once = count(1)
    return once if once["total"] >= LARGE // 10 else count(11)


def theirs(model: Path, feed: Path, plugin: Path, folder: Path, total: int, minutes: float) -> dict:
    """The same of onnxruntime: what a process with some more runs executes more, a run's share. `total` says how much work one
    run is, about."""

    def process(runs: int) -> dict:
        out = folder / "counts"
        env = os.environ | {"QEMU": f"-plugin {plugin},out={out}", "PYTHONHASHSEED": "0"}
        call("onnxruntime", [PYTHON, "-c", ORT, model, feed, str(runs)], minutes, env=env)
        return {kind: int(n) for kind, n in (line.split() for line in out.read_text().splitlines())}

    # Starting Python takes some millions more or less each time: a small model runs often. What its first run allocates counts
    # too, so it is in both; of a large model that is nothing, and one run is all.
    first, extra = (0, 1) if total >= LARGE else (2, min(max(2, 400_000_000 // total), 400))
    few, many = process(first), process(first + extra)
    return {kind: (many[kind] - few[kind]) // extra for kind in many}


def feed(model: Path, entry: dict, file: Path):
    """A session on this machine, and the inputs the model is tried with, which `file` holds too."""
    session = bench.session(model, 1)
    arrays = model_inputs.make(entry, session)
    np.savez(file, **arrays)
    return session, arrays


def measure_ours(model: Path, entry: dict, row: dict, folder: Path, minutes: float) -> None:
    """Error and instructions of Kunpeng's code, unless they are known of the very same artifact."""
    artifact, feed_file = folder / "model.bmg", folder / "feed.npz"
    options = model_inputs.options(entry)
    call("compiling", [bench.BEIMING, "compile", model, "--target", "kunpeng920", *options, "-o", artifact], minutes)
    made = digest(artifact, CROSS)
    if row.get("artifact") != made:
        row.pop("artifact", None)
        session, arrays = feed(model, entry, feed_file)
        want, names = session.run(None, arrays), [o.name for o in session.get_outputs()]
        del session
        row["error"] = error(artifact, feed_file, want, names, folder, minutes)
        row["ours"] = ours(artifact, feed_file, minutes)
        row["artifact"] = made


def measure_theirs(model: Path, entry: dict, row: dict, plugin: Path, folder: Path, minutes: float) -> None:
    """Instructions of onnxruntime, unless they are known of the very same model."""
    data = [p for p in [model.with_name(model.name + ".data")] if p.exists()]
    given = digest(model, *data, json.dumps(entry, sort_keys=True), onnxruntime.__version__)
    if row.get("model") != given and "ours" in row:
        row.pop("model", None)
        feed_file = folder / "feed.npz"
        feed(model, entry, feed_file)
        row["theirs"] = theirs(model, feed_file, plugin, folder, row["ours"]["total"], minutes)
        row["model"] = given


def line(name: str, row: dict) -> str:
    """A row of the table."""

    def cells(key: str) -> str:
        k = row.get(key)
        return f"{k['total'] / 1e6:12.2f} {k['total'] / max(k['vector_fma'], 1):8.2f}" if k else f"{'-':>12} {'-':>8}"

    ratio = f"{row['ours']['total'] / row['theirs']['total']:6.2f}" if "ours" in row and "theirs" in row else f"{'-':>6}"
    err = f"{row['error']:7.3f}" if "error" in row else f"{'-':>7}"
    notes = [row[k] for k in ("beiming failed", "onnxruntime failed") if k in row]
    return f"{name:26} {err} {cells('ours')} {cells('theirs')} {ratio}  {'; '.join(notes)}".rstrip()


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--minutes", type=float, default=60)
    args.add_argument("models", nargs="*")
    args = args.parse_args()
    onnxruntime.set_default_logger_severity(3)
    table = model_inputs.table()
    unknown = [n for n in args.models if n not in table]
    if unknown:
        sys.exit(f"no such models: {', '.join(unknown)}; tests/models/models.toml has {', '.join(table)}")
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = args.models or list(table)
    here = [n for n in wanted if (MODELS / table[n]["file"]).exists()]

    def step(name: str, side: str, *rest) -> None:
        """Brings one side of a row up to date; what happened is in the file before the next begins."""
        row = rows.setdefault(name, {})
        row.pop(f"{side} failed", None)
        try:
            (measure_ours if side == "beiming" else measure_theirs)(MODELS / table[name]["file"], table[name], row, *rest)
        except Failed as e:
            row[f"{side} failed"] = str(e)
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps(rows, indent=1, sort_keys=True))
        part.replace(RESULTS)

    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        plugin = folder / "count.so"
        source = bench.ROOT / "compiler/qemu/count.c"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o", plugin, source], check=True)
        for i, name in enumerate(here):
            step(name, "beiming", folder, args.minutes)
            print(f"{i + 1} of {len(here)}: {line(name, rows[name])}", file=sys.stderr, flush=True)
        print("error: largest |a-b| / (1e-4 + 1e-3 |b|) against onnxruntime; at most 1 is agreement")
        print("instructions of one inference, in millions, and for each vector multiply-add")
        print(f"{'model':26} {'error':>7} {'beiming':>12} {'per FMA':>8} {'onnxruntime':>12} {'per FMA':>8} {'ratio':>6}")
        for name in here:
            step(name, "onnxruntime", plugin, folder, args.minutes)
            print(line(name, rows[name]), flush=True)
    for name in wanted:
        if name not in here:
            print(f"{name:26} not at hand (see `make models`)")
    wrong = [n for n in here if "beiming failed" in rows[n] or not rows[n]["error"] <= 1]
    if wrong:
        sys.exit(f"not shown to be right: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

"""Counts the instructions that one inference executes on aarch64, under qemu: ours, compiled for Kunpeng 920, beside
onnxruntime's aarch64 wheel on one thread. Work, not time: without a Kunpeng nobody knows its speed, but it can be told whether
the code does less.

usage: count.py [MODEL ...]    the models that Python packages carry, if none is named
"""

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

PYTHON = bench.ROOT / "build/python-aarch64/python"
RUNS = 2
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


def ours(model: Path, entry: dict, feed: Path, folder: Path) -> dict:
    """Executed instructions by kind."""
    artifact = folder / "model.bmg"
    bench.compile_model(model, entry, artifact, "kunpeng920")
    command = [bench.BEIMING, "bench", artifact, "--count", "--runs", str(RUNS), "--inputs", feed, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["instructions"]


def theirs(model: Path, feed: Path, plugin: Path, folder: Path, extra: int) -> dict:
    """The same of onnxruntime: what a process with `extra` more runs executes more, a run's share."""

    def process(runs: int) -> dict:
        out = folder / "counts"
        env = os.environ | {"QEMU": f"-plugin {plugin},out={out}", "PYTHONHASHSEED": "0"}
        subprocess.run([PYTHON, "-c", ORT, model, feed, str(runs)], env=env, check=True, capture_output=True)
        return {kind: int(n) for kind, n in (line.split() for line in out.read_text().splitlines())}

    # The first run allocates and packs; it is in both.
    few, many = process(2), process(2 + extra)
    return {kind: (many[kind] - few[kind]) // extra for kind in many}


def main() -> None:
    onnxruntime.set_default_logger_severity(3)
    table = model_inputs.table()
    names = sys.argv[1:] or [n for n in table if not n.endswith(("_script", "_dynamo"))]
    print("instructions of one inference, in millions; and for each vector multiply-add")
    print(f"{'model':26} {'beiming':>10} {'per FMA':>8} {'onnxruntime':>12} {'per FMA':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        plugin, feed = folder / "count.so", folder / "feed.npz"
        source = bench.ROOT / "compiler/qemu/count.c"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o", plugin, source], check=True)
        for name in names:
            model = bench.ROOT / "build/models" / table[name]["file"]
            np.savez(feed, **model_inputs.make(table[name], bench.session(model, 1)))
            a = ours(model, table[name], feed, folder)
            # Starting Python takes some millions more or less each time: a small model runs often.
            b = theirs(model, feed, plugin, folder, min(max(RUNS, 400_000_000 // a["total"]), 400))
            cells = [f"{k['total'] / 1e6:{w}.2f} {k['total'] / max(k['vector_fma'], 1):8.2f}" for k, w in ((a, 10), (b, 12))]
            print(f"{name:26} {' '.join(cells)} {a['total'] / b['total']:6.2f}", flush=True)


if __name__ == "__main__":
    main()

"""Counts the instructions that one inference executes on Kunpeng 920, under qemu: work, not time. A machine without a Kunpeng
cannot know its speed, but it can tell whether a change makes the code do less.

usage: count.py [MODEL ...]    the models that Python packages carry, if none is named
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent))
import against_onnxruntime as bench  # noqa: E402
from against_onnxruntime import model_inputs  # noqa: E402

RUNS = 2


def count(name: str, entry: dict, folder: Path) -> dict:
    """Executed instructions by kind."""
    artifact, feed = folder / f"{name}.bmg", folder / f"{name}.npz"
    model = bench.ROOT / "build/models" / entry["file"]
    bench.compile_model(model, entry, artifact, "kunpeng920")
    np.savez(feed, **model_inputs.make(entry, bench.session(model, 1)))
    command = [bench.BEIMING, "bench", artifact, "--count", "--runs", str(RUNS), "--inputs", feed, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    artifact.unlink()
    return json.loads(done.stdout)["instructions"]


def main() -> None:
    onnxruntime.set_default_logger_severity(3)
    table = model_inputs.table()
    names = sys.argv[1:] or [n for n in table if not n.endswith(("_script", "_dynamo"))]
    print(f"{'model':26} {'instructions':>15} {'vector FMA':>15} {'per FMA':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            kinds = count(name, table[name], Path(folder))
            total, fma = kinds["total"], kinds.get("vector_fma", 0)
            ratio = f"{total / fma:8.2f}" if fma else f"{'':>8}"
            print(f"{name:26} {total:15,} {fma:15,} {ratio}", flush=True)


if __name__ == "__main__":
    main()

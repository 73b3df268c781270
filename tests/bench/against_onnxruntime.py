"""Times every model at hand against onnxruntime, side by side: rounds alternate between the two, medians are compared.

Before that the results are held against onnxruntime's on random and on real inputs; `error` is the larger.

usage: against_onnxruntime.py [--threads 1,2] [--rounds 5] [--json FILE] [MODEL ...]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/models"))
import inputs as model_inputs  # noqa: E402
import real  # noqa: E402

BEIMING = ROOT / "target/release/beiming"


def session(path: Path, threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ort_times(sess, feed: dict, seconds: float) -> list[float]:
    """Milliseconds of single calls, after one warm-up, for about `seconds`."""
    sess.run(None, feed)
    out, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(out) < 3:
        t = time.perf_counter()
        sess.run(None, feed)
        out.append((time.perf_counter() - t) * 1e3)
    return out


def beiming_times(artifact: Path, feed: Path, threads: int, seconds: float) -> dict:
    done = subprocess.run(
        [BEIMING, "bench", artifact, "--inputs", feed, "--threads", str(threads), "--duration", str(seconds), "--no-peak", "--json"],
        capture_output=True, text=True, check=True,
    )
    return json.loads(done.stdout)


def compile_model(model: Path, entry: dict, out: Path, target: str = "host") -> float:
    """Seconds it took."""
    command = [BEIMING, "compile", model, "--target", target, *model_inputs.options(entry), "-o", out]
    t = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - t


def compare(got, want: list, names: list) -> float:
    """Largest |a-b| / (1e-4 + 1e-3*|b|): agreement means at most 1. A wrong shape or a stray NaN is infinitely wrong."""
    worst = 0.0
    for name, w in zip(names, want):
        g, w = got[name].astype(np.float64), w.astype(np.float64)
        if g.shape != w.shape or not np.array_equal(np.isnan(g), np.isnan(w)):
            return float("inf")
        if w.size:
            worst = max(worst, float(np.nanmax(np.abs(g - w) / (1e-4 + 1e-3 * np.abs(w)), initial=0.0)))
    return worst


def largest_error(artifact: Path, feed: Path, want: list, names: list, folder: Path) -> float:
    """Of the artifact's outputs for a feed."""
    got_file = folder / "got.npz"
    subprocess.run([BEIMING, "run", artifact, "--inputs", feed, "--outputs", got_file], check=True, capture_output=True)
    return compare(np.load(got_file), want, names)


def measure(name: str, entry: dict, threads: list[int], rounds: int, folder: Path) -> dict | None:
    model = ROOT / "build/models" / entry["file"]
    if not model.exists():
        return None
    artifact, feed_file = folder / f"{name}.bmg", folder / f"{name}.npz"
    row = {"model": name, "compile_s": compile_model(model, entry, artifact), "bytes": artifact.stat().st_size}
    first = session(model, 1)
    names = [o.name for o in first.get_outputs()]
    # What is timed is the last of the two: the random one.
    for kind, feed in (("real", real.make(name, entry, first)), ("random", model_inputs.make(entry, first))):
        np.savez(feed_file, **feed)
        row[f"error_{kind}"] = largest_error(artifact, feed_file, first.run(None, feed), names, folder)
    row["error"] = max(row["error_real"], row["error_random"])
    for n in threads:
        sess, ours, theirs = session(model, n), [], []
        for _ in range(rounds):
            theirs.append(statistics.median(ort_times(sess, feed, 0.7)))
            ours.append(beiming_times(artifact, feed_file, n, 0.7)["median_ms"])
        row[f"ms_{n}"], row[f"ort_ms_{n}"] = statistics.median(ours), statistics.median(theirs)
        row[f"ratio_{n}"] = statistics.median(a / b for a, b in zip(ours, theirs))
    artifact.unlink()
    return row


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--threads", default="1,2")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--json")
    args.add_argument("models", nargs="*")
    args = args.parse_args()
    threads, rows = [int(t) for t in args.threads.split(",")], []
    head = "".join(f" {f'ms@{n}':>9} {f'ort@{n}':>9} {f'ratio@{n}':>8}" for n in threads)
    print(f"{'model':26} {'compile s':>9} {'MB':>7} {'error':>8}{head}")
    with tempfile.TemporaryDirectory() as folder:
        for name, entry in model_inputs.table().items():
            if args.models and name not in args.models:
                continue
            try:
                row = measure(name, entry, threads, args.rounds, Path(folder))
            except subprocess.CalledProcessError as e:
                err = e.stderr if isinstance(e.stderr, str) else e.stderr.decode(errors="replace")
                print(f"{name:26} failed: {err.strip().splitlines()[0] if err.strip() else e}", flush=True)
                rows.append({"model": name, "failed": err})
                continue
            if row is None:
                print(f"{name:26} not at hand (see `make models`)", flush=True)
                continue
            rows.append(row)
            cells = "".join(f" {row[f'ms_{n}']:9.3f} {row[f'ort_ms_{n}']:9.3f} {row[f'ratio_{n}']:8.2f}" for n in threads)
            print(f"{name:26} {row['compile_s']:9.2f} {row['bytes'] / 1e6:7.1f} {row['error']:8.3f}{cells}", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

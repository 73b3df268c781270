"""Runs models on simulated Ascend chips, holds them against onnxruntime, and writes the table of docs/ascend.md.

usage: sim.py BEIMING [MODEL ...] [--target TARGET ...]

Each model of RUNS is compiled for each target, run by `beiming run --device sim`, and compared with onnxruntime on the same
inputs. Rows that are not run keep what the table says of them. Exits with 1 where a run fails, the checker finds something, or a
result is further away than TOLERANCE, or what TOLERANCES say for models in f16 and of 8-bit integers.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

import derived
import inputs as model_inputs

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "build/models"
PAGE = ROOT / "docs/ascend.md"
# Simulators and compiled kernels.
CACHE = ROOT / "build/sim"
BEGIN, END = "<!-- models: written by tests/models/sim.py -->", "<!-- models: end -->"
TARGETS = ["ascend910b1", "ascend310p3", "ascend950"]
RUNS = [
    "magika", "ppocr_cls", "ppocr_rec", "silero_vad_16k_op15", "silero_vad_op18_ifless", "minilm_script", "mobilenet_v2_script",
    "gpt2_layer_prefill", "gpt2_layer_decode",
    "magika_f16", "ppocr_cls_f16", "minilm_script_f16", "mobilenet_v2_script_f16", "gpt2_layer_prefill_f16", "gpt2_layer_decode_f16",
    "gpt2_layer_prefill_int8", "gpt2_layer_decode_int8",
]
# Where a model quantises at run time, a value near half a step may fall to either side, and a step is 1/255 of a tensor's range.
TOLERANCE, TOLERANCES = 1e-3, {derived.HALF: 2e-2, derived.INTEGERS: 2e-2}
HEAD = [
    "Model", "Target", "Kernels", "Launches", "On the host", "Largest error", "Findings", "Cycles", "Estimate", "Bound by",
    "Cycles simulated a second",
]
# What a pipe's name in the report means to a reader.
PIPES = {"MTE1": "loads into L0", "MTE2": "copies in", "MTE3": "copies out", "V": "vector", "M": "cube", "FIX": "fixpipe", "S": "scalar"}


def main() -> int:
    onnxruntime.set_default_logger_severity(3)
    args = argparse.ArgumentParser()
    args.add_argument("beiming")
    args.add_argument("models", nargs="*", default=[])
    args.add_argument("--target", action="append")
    args.add_argument("--no-table", action="store_true")
    a = args.parse_args()
    rows, bad = ({} if a.no_table else table()), 0
    for name in a.models or RUNS:
        for target in a.target or TARGETS:
            row, well = run(a.beiming, name, target)
            print(" | ".join(row), flush=True)
            rows[name, target] = row
            bad += not well
            if not a.no_table:
                write(rows)
    return 1 if bad else 0


def run(beiming: str, name: str, target: str) -> tuple[list[str], bool]:
    """A row of the table, and whether all is well."""
    model, entry = derived.model(name, MODELS)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    feed = model_inputs.make(entry, session)
    options = model_inputs.options(entry)
    env = os.environ | {"BEIMING_CACHE_DIR": str(CACHE)}
    with tempfile.TemporaryDirectory() as folder:
        given, got, report = f"{folder}/in.npz", f"{folder}/out.npz", f"{folder}/report"
        np.savez(given, **feed)
        said = subprocess.run([beiming, "explain", model, *options, "--target", target, "--json"], capture_output=True, text=True)
        if said.returncode:
            return failed(name, target, said.stderr)
        on_host = json.loads(said.stdout).get("on_host", [])
        made = subprocess.run([beiming, "compile", model, *options, "--target", target, "-o", f"{folder}/out"], capture_output=True, text=True)
        if made.returncode:
            return failed(name, target, made.stderr)
        artifact = next(Path(f"{folder}/out").glob("*.bmg"))
        kernels = len(list(Path(f"{folder}/out/kernels").glob("*")))
        command = [beiming, "run", artifact, "--device", "sim", "--inputs", given, "--outputs", got]
        # Once to have the kernels compiled, once to take the time.
        ran = subprocess.run(command, capture_output=True, text=True, env=env)
        start = time.monotonic()
        if ran.returncode == 0:
            ran = subprocess.run(command, capture_output=True, text=True, env=env | {"BEIMING_SIM_REPORT": report})
        seconds = time.monotonic() - start
        if ran.returncode:
            return failed(name, target, ran.stderr)
        results = np.load(got)
        error = max(distance(results[o.name], w) for o, w in zip(session.get_outputs(), session.run(None, feed)))
        launches = [json.loads(line) for line in Path(report).read_text().splitlines()] if Path(report).exists() else []
    cycles = sum(x["cycles"] for x in launches)
    findings = sum(x["findings"] for x in launches)
    busy = {p: sum(x["busy"].get(p, 0) for x in launches) for p in PIPES}
    bound = PIPES[max(busy, key=busy.get)] if launches else "-"
    reasons: dict[str, list[str]] = {}
    for o in on_host:
        reasons.setdefault(o["why"].split("\n")[0], []).append("+".join(o["ops"]))
    host = "; ".join(f"{len(ops)} ({', '.join(sorted(set(ops)))}): {why}" for why, ops in sorted(reasons.items())) or "none"
    row = [name, target, str(kernels), str(len(launches)), host, f"{error:.1e}", str(findings), f"{cycles:.3g}"]
    row += [f"{cycles / clock(target):.0f} us", bound, f"{cycles / max(seconds, 1e-3):.2g}"]
    allowed = next((t for suffix, t in TOLERANCES.items() if name.endswith(suffix)), TOLERANCE)
    return row, findings == 0 and error <= allowed


def failed(name: str, target: str, why: str) -> tuple[list[str], bool]:
    print(why[-2000:], file=sys.stderr)
    return [name, target, *["-"] * 2, "the run failed", *["-"] * (len(HEAD) - 5)], False


def clock(target: str) -> float:
    """Cycles a microsecond, as the simulator was told."""
    text = next(CACHE.glob(f"sim-{target}-*/chip.txt")).read_text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("clock_mhz ")))


def distance(got: np.ndarray, want: np.ndarray) -> float:
    """Largest difference, relative to what is expected where that is above one."""
    g, w = got.astype(np.float64), want.astype(np.float64)
    return float(np.max(np.abs(g - w) / np.maximum(1.0, np.abs(w)), initial=0.0))


def table() -> dict[tuple[str, str], list[str]]:
    """The rows there are."""
    text = PAGE.read_text() if PAGE.exists() else ""
    if BEGIN not in text:
        return {}
    lines = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    return {(r[0], r[1]): r for r in rows if len(r) == len(HEAD)}


def write(rows: dict[tuple[str, str], list[str]]) -> None:
    keys = [(m, t) for m in RUNS for t in TARGETS if (m, t) in rows]
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)] + ["| " + " | ".join(rows[k]) + " |" for k in keys]
    text = PAGE.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)


if __name__ == "__main__":
    sys.exit(main())

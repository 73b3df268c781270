"""Writes the table of predictions in docs/ascend.md: what `beiming explain --json` says of each model on each chip.

usage: ascend.py BEIMING DOCUMENT [MODEL ...] [--target TARGET ...]

Models go by their names in the table of inputs (all of sim.py's by default, and the whole of GPT-2); its options fix what is free.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import derived
import inputs
import sim

START, END = "<!-- predictions: written by tests/models/ascend.py -->\n", "<!-- predictions: end -->\n"
# Of these the simulated chips run a layer.
WHOLE = ["gpt2_prefill_script", "gpt2_decode_script"]
HEAD = ["Model", "Chip", "Kernels", "Launches", "Ops a kernel", "On the host", "GM MiB", "unfused MiB", "Predicted us", "Roofline us", "Bounds of launches"]


def row(beiming, model, target):
    """A row of the table, or the reason why there is none."""
    name = model
    path, entry = derived.model(model, sim.MODELS)
    if not path.is_file():
        return [name, target, "NOT RUN: no such file"] + [""] * (len(HEAD) - 3)
    ran = subprocess.run([beiming, "explain", path, "--target", target, "--json", *inputs.options(entry)], capture_output=True, text=True)
    if ran.returncode:
        return [name, target, f"exit {ran.returncode}: {ran.stderr.strip()[:200]}".replace("|", "/")] + [""] * (len(HEAD) - 3)
    e = json.loads(ran.stdout)
    kernels = e.get("npu", [])
    launches = sum(k["launches"] for k in kernels)

    def total(f):
        return sum(f(k) * k["launches"] for k in kernels)

    bounds = Counter()
    for k in kernels:
        bounds[k["bound"]] += k["launches"]
    unfused = sum(g.get("unfused_bytes", 0) for g in e["groups"] if g["kernels"])
    return [
        name,
        target,
        str(len(kernels)),
        str(launches),
        f"{total(lambda k: len(k['ops'])) / max(launches, 1):.1f}",
        str(len(e.get("on_host", []))),
        f"{total(lambda k: k['moved']) / 2**20:.1f}",
        f"{unfused / 2**20:.1f}",
        f"{total(lambda k: k['predicted_us']):.0f}",
        f"{total(lambda k: k['roofline_us']):.0f}",
        ", ".join(f"{b} {n}" for b, n in bounds.most_common()),
    ]


def main():
    args = sys.argv[1:]
    at = args.index("--target") if "--target" in args else len(args)
    (beiming, document, *models), targets = args[:at], args[at + 1 :] or ["ascend910b1", "ascend310p3", "ascend950"]
    lines = ["| " + " | ".join(HEAD) + " |\n", "| " + " | ".join(["---"] * 2 + ["---:"] * (len(HEAD) - 3) + ["---"]) + " |\n"]
    for model in models or sim.RUNS + WHOLE:
        for target in targets:
            lines.append("| " + " | ".join(row(beiming, model, target)) + " |\n")
            print(lines[-1], end="", flush=True)
    text = Path(document).read_text()
    before, rest = text.split(START)
    _, after = rest.split(END)
    Path(document).write_text(before + START + "".join(lines) + END + after)


if __name__ == "__main__":
    main()

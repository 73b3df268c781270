"""Gives the kernels of some models to Huawei's bishengir-compile and writes what it makes of them into docs/ascend.md.

usage: check.py BEIMING BISHENGIR-COMPILE [MODEL ...] [--target TARGET]...

BEIMING is built with MLIR. Each distinct group that becomes an NPU kernel is compiled as a whole, by that compiler's own tiling; its
matrix products also alone; groups whose kernel works on rows also as one tile, as large as ours and some times larger. "Accepted" means: lowered on this host to the
call of hivmc, the closed last step, which the package does not have. Nothing runs. Exits with 1 where a module does not verify, where a
matrix product alone is not accepted, where a tile that is within our account of the unified buffer overflows by theirs, or where no tile overflowed at all.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/models"))
import derived  # noqa: E402
import inputs as model_inputs  # noqa: E402

PAGE = ROOT / "docs/ascend.md"
BEGIN, END = "<!-- bishengir: written by `make test-bishengir` -->", "<!-- bishengir: end -->"
MODELS = [
    "silero_vad_16k_op15", "magika", "minilm_script", "ppocr_cls", "ppocr_rec", "mobilenet_v2_script", "gpt2_layer_prefill",
    "gpt2_layer_decode", "minilm_script_f16", "gpt2_layer_decode_f16",
]
# Its names of our targets. It knows no 310P. Of the many 950 that it knows this is one with the memories that all have.
TARGETS = {
    "ascend910b1": "Ascend910B1", "ascend910b2": "Ascend910B2", "ascend910b3": "Ascend910B3", "ascend910b4": "Ascend910B4",
    "ascend910c": "Ascend910_9391", "ascend950": "Ascend950PR_9579",
}
TRIED = ["ascend910b1", "ascend950"]
# How many times as large as ours tiles are made.
TIMES = [1, 4, 16]
SECONDS = 120
# What it says when it comes to the closed last step, on 910B and on 950.
LAST_STEP = ("External hivmc run fails, returning module before running external compiler", "Cannot find hivmc-a5 under")
OVERFLOW = re.compile(r"(\w+) overflow, requires (\d+) bits while (\d+) bits available")
SMALLER = "--hfusion-max-buffer-count-tuning=1"
KINDS = {
    "linalg.depthwise": "convolution", "linalg.conv": "convolution", "linalg.batch_matmul": "batch of products",
    "linalg.matmul": "product", "linalg.generic": "gather",
}
# That compiler's names of a core's memories.
MEMORIES = {"ub": "UB", "cbuf": "L1", "ca": "L0A", "cb": "L0B", "cc": "L0C"}


def main() -> int:
    args = argparse.ArgumentParser()
    args.add_argument("beiming")
    args.add_argument("compiler")
    args.add_argument("models", nargs="*")
    args.add_argument("--target", action="append", choices=TARGETS)
    args.add_argument("--no-table", action="store_true")
    a = args.parse_args()
    lines, bad = [], []
    for target in a.target or TRIED:
        lines += against(a, target, bad)
    if a.models or a.target or a.no_table:
        print("\n".join(lines))
    else:
        write(lines)
    print("\n".join(bad), file=sys.stderr)
    return 1 if bad else 0


def against(a, target: str, bad: list) -> list[str]:
    """All models on one target: what the page says of them."""
    tally, reasons, tiles, seen = {}, collections.Counter(), {}, set()
    alone = collections.Counter()
    for name in a.models or MODELS:
        rows = collections.Counter()
        jobs = []
        for times in TIMES:
            for said, module in parts(a, name, target, times):
                if said["form"] == "tile":
                    kernel = said["kernels"][0]
                    entry = tiles.setdefault(kernel["name"], {"ours": kernel["memories"]["UB"], "theirs": {}})
                    if times not in entry["theirs"]:
                        entry["theirs"][times] = None
                        jobs.append(lambda said=said, module=module: tile(a, target, name, said, module, tiles, bad))
                elif times > 1:
                    continue
                elif said["form"] == "product":
                    text = module.replace(said["function"], "product")
                    if text not in seen:
                        seen.add(text)
                        jobs.append(lambda said=said, module=module: product(a, target, name, said, module, alone, bad))
                else:
                    rows["groups"] += 1
                    text = module.replace(said["function"], "kernel") or json.dumps(said["refused"])
                    if text not in seen:
                        seen.add(text)
                        jobs.append(lambda said=said, module=module: group(a, target, name, said, module, rows, reasons, bad))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in [pool.submit(j) for j in jobs]:
                done.result()
        tally[name] = rows
        print(target, name, dict(rows), flush=True)
    if not any(v[0] == "overflow" for t in tiles.values() for v in t["theirs"].values()):
        bad.append(f"{target}: no tile overflowed: that verdict was not tried")
    return report(target, tally, reasons, tiles) + products(alone)


def product(a, target: str, model: str, said: dict, module: str, alone, bad: list) -> None:
    """A matrix product of a group, alone."""
    if said.get("invalid"):
        bad.append(f"{target} {model}: the product of {said['function']} does not verify: {said['refused']}")
    verdict, why, _ = compile(a, target, module)
    alone[verdict, why] += 1
    if verdict != "accepted":
        bad.append(f"{target} {model}: the product of {said['function']} is {verdict}: {why}")
    print(f"  {model} {said['function']}, its product alone: {verdict} {why}", flush=True)


def products(alone) -> list[str]:
    """What became of products alone."""
    out = ["", "| Matrix products alone, none of them twice | Number |", "|---|---:|"]
    return out + [f"| {verdict}{why and ', '}{why} | {n} |" for (verdict, why), n in sorted(alone.items())]


def kind(module: str) -> str:
    """What a module computes, by its heaviest op."""
    return next((name for op, name in KINDS.items() if op in module), "vector")


def parts(a, name: str, target: str, times: int) -> list[tuple[dict, str]]:
    """What is said of each module, and the module; empty where there is none."""
    model, entry = derived.model(name, ROOT / "build/models")
    command = [a.beiming, "compile", model, *model_inputs.options(entry), "--target", target]
    command += ["--emit", "mlir", "--mlir-tiles", str(times)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"{name} on {target}: {made.stderr}")
    out = []
    for part in made.stdout.split("\n// -----\n")[1:]:
        head, _, module = part.lstrip("\n").partition("\n")
        out.append((json.loads(head.removeprefix("// beiming group ")), module))
    return out


def compile(a, target: str, module: str, *flags: str) -> tuple[str, str, dict]:
    """A verdict (accepted, overflow, refused, crashed), its reason, and the bytes of each memory where the plan got that far."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.mlir"
        source.write_text(module)
        command = [a.compiler, source, f"--target={TARGETS[target]}", "-o", f"{folder}/kernel.o", "--enable-hfusion-compile=true"]
        command += [*flags, "--mlir-print-ir-after=hivm-plan-memory"]
        try:
            # What it is for 950 is a program of its own that lies beside it.
            path = {**os.environ, "PATH": f"{Path(a.compiler).resolve().parent}:{os.environ['PATH']}"}
            ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=path)
        except subprocess.TimeoutExpired:
            return "crashed", f"no end within {SECONDS} s", {}
    said = ran.stdout + ran.stderr
    used = memories(said)
    over = OVERFLOW.search(said)
    if ran.returncode < 0:
        # Of one module one signal or another.
        return "crashed", "a signal", {}
    if over:
        return "overflow", over[0], {MEMORIES.get(over[1], over[1]): int(over[2]) // 8}
    if any(step in said for step in LAST_STEP):
        return "accepted", "", used
    errors = [line.split("error: ", 1)[1] for line in said.splitlines() if "error: " in line]
    errors = [e for e in errors if not e.startswith("Failed to run BiShengHIR pipeline")]
    return "refused", shape_free(errors[0]) if errors else "no reason given", {}


def shape_free(error: str) -> str:
    """A reason without the types of one kernel, so that equal ones are counted together."""
    error = re.sub(r"(tensor|memref)<[^']*>", r"\1", error)
    return re.sub(r"\s+", " ", re.sub(r"\b\d+\b", "N", error))[:160]


def memories(said: str) -> dict:
    """Bytes of each memory, by the last plan that was printed: the end of the buffer that lies highest."""
    numbers = {n: int(v) for n, v in re.findall(r"(%\S+) = arith\.constant (\d+) : i64", said)}
    used = {}
    cast = r"hivm\.hir\.pointer_cast\(([^)]*)\) : memref<((?:\d+x)*)([a-z]+)(\d+), (?:[^#>]*>, )?#hivm\.address_space<(\w+)>>"
    for at, dims, _, bits, space in re.findall(cast, said):
        size = int(bits)
        for d in dims.split("x")[:-1]:
            size *= int(d)
        for place in at.split(","):
            place = numbers.get(place.strip(), 0)
            name = MEMORIES.get(space, space)
            used[name] = max(used.get(name, 0), place + (size + 7) // 8)
    return used


def group(a, target: str, model: str, said: dict, module: str, rows, reasons, bad: list) -> None:
    """A whole group, tiled by that compiler."""
    rows["distinct"] += 1
    if "refused" in said:
        rows["not expressed"] += 1
        reasons["not expressed: " + said["refused"]] += 1
        if said["invalid"]:
            bad.append(f"{target} {model}: {said['function']} does not verify: {said['refused']}")
        return
    rows["verified"] += 1
    verdict, why, _ = compile(a, target, module)
    rows[verdict] += 1
    if verdict == "overflow":
        # The tile is that compiler's own choice; with less room set aside for buffers it chooses a smaller one.
        again = compile(a, target, module, SMALLER)[0]
        why = f"its own tiling overflows {why.split()[0].upper()}; with `{SMALLER}`: {again}"
    if verdict != "accepted":
        reasons[f"{verdict}, {kind(module)}: {why}"] += 1
    print(f"  {model} {said['function']} {verdict} {why}", flush=True)


def tile(a, target: str, model: str, said: dict, module: str, tiles: dict, bad: list) -> None:
    """One tile, which that compiler takes as it is."""
    kernel = said["kernels"][0]
    entry, times = tiles[kernel["name"]], said["times"]
    if "refused" in said:
        entry["theirs"][times] = ("not expressed", said["refused"], {})
        return
    verdict, why, used = compile(a, target, module, "--enable-triton-kernel-compile=true")
    entry["theirs"][times] = (verdict, why, used)
    fits = entry["ours"]["bytes"] * times <= entry["ours"]["capacity"]
    if verdict == "overflow" and fits:
        bad.append(f"{kernel['name']} x{times}: fits by our account ({entry['ours']['bytes'] * times} bytes), overflows by theirs: {why}")
    print(f"  {model} {kernel['name']} x{times} {verdict} {why} {used}", flush=True)


def report(target: str, tally: dict, reasons, tiles: dict) -> list[str]:
    heads = ["groups", "distinct", "verified", "accepted", "overflow", "refused", "crashed", "not expressed"]
    out = ["", f"### {target}", "", f"`ascendnpu-ir` 1.2.0 for its {TARGETS[target]}. Groups that become NPU kernels; equal ones count once from *distinct* on.", ""]
    out += [f"| Model | {' | '.join(h.capitalize() for h in heads)} |", "|---|" + "---:|" * len(heads)]
    total = collections.Counter()
    for name, rows in tally.items():
        total += rows
        out.append(f"| {name} | " + " | ".join(str(rows[h]) for h in heads) + " |")
    out.append("| all | " + " | ".join(str(total[h]) for h in heads) + " |")
    out += ["", "| Why a group was not accepted | Groups |", "|---|---:|"]
    out += [f"| {why.replace('|', chr(92) + '|')} | {n} |" for why, n in sorted(reasons.items(), key=lambda x: (-x[1], x[0]))]
    out += ["", "| Tile of the kernel | Ours, all buffers | Ours, one copy of each | Theirs | " + " | ".join(f"x{t}: ours, theirs" for t in TIMES) + " |"]
    out.append("|---|---:|---:|---:|" + "---|" * len(TIMES))
    agree = collections.Counter()
    for name, t in sorted(tiles.items()):
        ours, cells = t["ours"], []
        for times in TIMES:
            verdict, why, used = t["theirs"].get(times, ("", "", {}))
            full, once = (ours[k] * times > ours["capacity"] for k in ("bytes", "once"))
            mine = "overflow" if once else "overflow when doubled" if full else "fits"
            other = f"overflow at {used['UB']}" if verdict == "overflow" else "fits" if verdict == "accepted" else verdict
            cells.append(f"{mine}, {other}")
            if verdict in ("accepted", "overflow"):
                agree[once, verdict == "overflow"] += 1
        used = t["theirs"].get(1, ("", "", {}))[2].get("UB", "")
        out.append(f"| {name} | {ours['bytes']} | {ours['once']} | {used} | " + " | ".join(cells) + " |")
    out += ["", f"Verdicts on tiles with one copy of each buffer: {agree[False, False]} fit and {agree[True, True]} overflow by both accounts, "
            f"{agree[True, False]} overflow by ours only, {agree[False, True]} by theirs only."]
    return out


def write(lines: list[str]) -> None:
    """Between the page's marks."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END, 1)[1])


if __name__ == "__main__":
    sys.exit(main())

"""Programs from JAX beside their twins in ONNX: the kernels that each becomes, and the time that models take; and how fast they are read.

    python tests/jax/twins.py BEIMING [--models FOLDER] [--table FILE] [--rounds N] [NAME ...]

Writes docs/jax.md with `--table`. The ONNX models are those that tests/models/export.py writes; those that are not there are left out.
Times are processor time (user and system) of whole runs, less that of getting ready, rounds alternating between the two; `ratio` is the
median over rounds of JAX's over ONNX's. `make bench-jax` installs what this needs and runs it."""

import argparse
import collections
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import onnx
from jax import export

import idioms
import networks

# Name -> runs of a round, about a second.
MODELS = {"minilm": 60, "bert_base": 10, "gpt2_prefill": 10, "gpt2_decode": 40, "resnet50": 20}


def compiled(beiming, model, artifact, options=()):
    done = subprocess.run([beiming, "compile", model, "-o", artifact, *options], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[:500])
    return json.loads(subprocess.run([beiming, "inspect", artifact, "--json"], capture_output=True, text=True, check=True).stdout)


def steps(described):
    return sum(described["steps"].values())


def anchors(described):
    """Launches by what shapes the kernel's loops: the word that its name begins with. Steps of the runtime by their kind."""
    count = collections.Counter()
    for k in described["kernels"]:
        count[k["name"].split("_")[1]] += k["calls"]
    for kind, n in described["steps"].items():
        count[kind] += n if kind != "launch" else 0
    return +count


def laid_out(array, shape):
    """An argument as the twin wants it: caches as [batch, heads, length, width], images with their channels first."""
    for perm in [tuple(range(array.ndim)), (0, 2, 1, 3), (0, 3, 1, 2)]:
        if len(perm) == array.ndim and [array.shape[p] for p in perm] == shape:
            return array.transpose(perm)
    raise ValueError(f"an argument of {array.shape} where the twin has {shape}")


def both(beiming, folder, name, twin):
    """Artifacts and feeds of a model in the two forms, and what `inspect` says of them."""
    f, weights, inputs = networks.NETWORKS[name]()
    flat, args = ([np.asarray(x) for x in jax.tree.leaves(t)] for t in (weights, inputs))
    text, bound = folder / "m.mlir", folder / "weights.npz"
    text.write_text(jax.jit(f, keep_unused=True).lower(weights, *inputs).as_text())
    np.savez(bound, **{f"arg{i}": x for i, x in enumerate(flat)})
    ours, theirs = folder / "jax.bmg", folder / "onnx.bmg"
    a, b = compiled(beiming, text, ours, ("--bind", bound)), compiled(beiming, twin, theirs)
    feeds = [folder / "jax.npz", folder / "onnx.npz"]
    np.savez(feeds[0], **{i["name"]: x for i, x in zip(a["inputs"], args, strict=True)})
    types = {"f32": np.float32, "i32": np.int32, "i64": np.int64}
    np.savez(feeds[1], **{i["name"]: laid_out(x, [int(d) for d in i["shape"]]).astype(types[i["dtype"]])
                          for i, x in zip(b["inputs"], args, strict=True)})
    return (ours, feeds[0], a), (theirs, feeds[1], b)


def processor_ms(beiming, artifact, feed, runs):
    """Of one run, with what it takes to get ready in it."""
    before = os.times()
    subprocess.run([beiming, "bench", artifact, "--inputs", feed, "--runs", str(runs), "--warmup", "1", "--no-peak"],
                   capture_output=True, check=True)
    after = os.times()
    return (after.children_user + after.children_system - before.children_user - before.children_system) * 1e3


def model(beiming, folder, name, twin, rounds):
    forms = both(beiming, folder, name, twin)
    runs, ratios, times = MODELS[name], [], [[], []]
    for _ in range(rounds):
        each = []
        for k, (artifact, feed, _) in enumerate(forms):
            ready = processor_ms(beiming, artifact, feed, 0)
            each.append((processor_ms(beiming, artifact, feed, runs) - ready) / runs)
            times[k].append(each[-1])
        ratios.append(each[0] / each[1])
    a, b = (anchors(f[2]) for f in forms)
    same = "the same" if a == b else ", ".join(f"{k} {a[k]}/{b[k]}" for k in sorted(a | b) if a[k] != b[k])
    return (f"| {name} | {steps(forms[0][2])} | {steps(forms[1][2])} | {same} | {statistics.median(times[0]):.2f} | "
            f"{statistics.median(times[1]):.2f} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |")


def idiom(beiming, folder, name):
    f, arguments, twin = idioms.CASES[name]
    jitted = jax.jit(f, keep_unused=True)
    text, exported, other = folder / "i.mlir", folder / "i.jax", folder / "i.onnx"
    text.write_text(jitted.lower(*arguments).as_text())
    exported.write_bytes(export.export(jitted)(*arguments).serialize())
    counts = [steps(compiled(beiming, form, folder / "i.bmg")) for form in (text, exported)]
    plain = steps(compiled(beiming, exported, folder / "i.bmg", ("--exact",)))
    if twin is not None:
        onnx.save(twin, other)
        counts.append(steps(compiled(beiming, other, folder / "i.bmg")))
    return f"| {name} | {counts[0]} | {counts[1]} | {counts[2] if twin else 'no op'} | {plain} |"


INTRODUCTION = """# Models from JAX beside their ONNX twins

Written by `make bench-jax` on {day}; not edited by hand. One thread of a machine of {cores} cores that had a load of {load:.0f}
when it began.

## Models

Steps of the plan in the two forms; launches by what shapes the kernel's loops, JAX's/ONNX's where they differ; milliseconds of
processor time a run; and the ratio JAX / ONNX, median and range over {rounds} rounds that alternate between the two. Weights are
random, those of the ONNX models others.

| model | steps, JAX | steps, ONNX | launches | ms, JAX | ms, ONNX | ratio | range |
|---|--:|--:|---|--:|--:|--:|---|
"""

READING = """
## Reading

Wall time of the reading stage, least of {times}: a training step of ResNet-50 at full size, and modules that are mostly constants,
which stay where they lie in a file of `jax.export`.

| what | MB | ms | MB/s |
|---|--:|--:|--:|
"""
TIMES = 5


def reading(beiming, folder):
    """Rows of the table of that name."""
    f, weights, inputs = networks.NETWORKS["resnet50_train"]()
    step = jax.jit(f, keep_unused=True)
    constants, index = np.random.default_rng(1).normal(size=(5000, 2500)).astype(np.float32), np.int32(3)
    holds = jax.jit(lambda i: jax.numpy.asarray(constants)[i])
    forms = {
        "training step of ResNet-50, text": lambda: step.lower(weights, *inputs).as_text().encode(),
        "training step of ResNet-50, file of jax.export": lambda: export.export(step)(weights, *inputs).serialize(),
        "50 MB of f32 constants, text": lambda: holds.lower(index).as_text().encode(),
        "50 MB of f32 constants, file of jax.export": lambda: export.export(holds)(index).serialize(),
    }
    for name, write in forms.items():
        path = folder / "reading"
        path.write_bytes(write())
        least = min(json.loads(subprocess.run([beiming, "compile", path, "--emit", "graph", "-o", folder / "reading.txt", "--json"],
                                              capture_output=True, text=True, check=True).stdout)["stages"]["read"] for _ in range(TIMES))
        size = path.stat().st_size / 1e6
        yield f"| {name} | {size:.1f} | {least * 1e3:.1f} | {size / least:.0f} |"


IDIOMS = """
## Idioms

Steps that each becomes from JAX's text, from a file of `jax.export` (whose `chlo` ops are expanded), and from the ONNX op. The last
column is the file of `jax.export` under `--exact`, where nothing may be recognised that rounds otherwise.

| idiom | text | export | ONNX | export, exact |
|---|--:|--:|--:|--:|
"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("beiming", type=pathlib.Path)
    p.add_argument("--models", type=pathlib.Path, default=pathlib.Path("build/models"))
    p.add_argument("--table", type=pathlib.Path)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("names", nargs="*")
    a = p.parse_intermixed_args()
    out = INTRODUCTION.format(day=datetime.date.today(), rounds=a.rounds, cores=os.cpu_count(), load=os.getloadavg()[0])
    print(out, end="")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in MODELS:
            twin = a.models / f"{name}.script.onnx"
            if a.names and name not in a.names or not twin.exists():
                continue
            line = model(a.beiming, folder, name, twin, a.rounds)
            print(line, flush=True)
            out += line + "\n"
        if not a.names:
            head = READING.format(times=TIMES)
            print(head, end="")
            out += head
            for line in reading(a.beiming, folder):
                print(line, flush=True)
                out += line + "\n"
        print(IDIOMS, end="")
        out += IDIOMS
        for name in idioms.CASES:
            if a.names and name not in a.names:
                continue
            line = idiom(a.beiming, folder, name)
            print(line, flush=True)
            out += line + "\n"
    if a.table:
        a.table.write_text(out)


if __name__ == "__main__":
    main()

"""Functions and models lowered by JAX, compiled by beiming, run, and compared with JAX: python tests/jax/check.py BEIMING.

Each is lowered to text and to a file of jax.export; both must give the same results. `--filter TEXT` keeps names that hold it.
Needs jax (pip install jax)."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jax import export

jax.config.update("jax_enable_x64", False)

import functions
import models
import numeric  # adds its cases to those of `functions`

# Allowed difference, relative and absolute, by the result's element type.
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2, "complex64": 1e-4}


def planes(x):
    """A complex value is two in the artifact."""
    x = np.asarray(x)
    return [x.real, x.imag] if np.iscomplexobj(x) else [x]


def run(beiming, folder, model, args, options=()):
    feed, out, artifact = folder / "in.npz", folder / "out.npz", folder / "m.bmg"
    done = subprocess.run([beiming, "compile", model, "-o", artifact, *options], capture_output=True, text=True)
    if done.returncode:
        return None, "compile: " + done.stderr.strip().replace("\n", " ")[:300]
    names = dict(pair for i, x in enumerate(args) for pair in named(i, x))
    np.savez(feed, **names)
    command = [beiming, "run", artifact, "--outputs", out] + (["--inputs", feed] if names else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, "run: " + done.stderr.strip().replace("\n", " ")[:300]
    with np.load(out) as z:
        return [z[n] for n in z.files], None


def named(i, x):
    parts = planes(x)
    return [(f"arg{i}", parts[0])] if len(parts) == 1 else [(f"arg{i}.real", parts[0]), (f"arg{i}.imag", parts[1])]


def differs(got, want):
    want = [p for x in want for p in planes(x)]
    if len(got) != len(want):
        return f"{len(got)} results, not {len(want)}"
    for i, (g, w) in enumerate(zip(got, want)):
        name = str(w.dtype)
        if name == "bfloat16":
            g = g.view(w.dtype) if g.dtype.itemsize == 2 else g
        if g.shape != w.shape:
            return f"result {i} is {g.shape}, not {w.shape}"
        g, w = g.astype(np.complex128 if np.iscomplexobj(w) else np.float64), w.astype(np.complex128 if np.iscomplexobj(w) else np.float64)
        t = TOLERANCE.get(name, 0)
        if not np.allclose(g, w, rtol=t, atol=t, equal_nan=True):
            worst = np.nanmax(np.abs(g - w)) if g.size else 0
            return f"result {i} ({name}) differs by {worst:.3g}"
    return None


def attempt(beiming, folder, f, args):
    """What goes wrong, for each form."""
    flat, tree = jax.tree.flatten(args)
    # Arguments that a function does not use stay, so that arguments keep their numbers.
    jitted = jax.jit(f, keep_unused=True)
    want = [np.asarray(x) for x in jax.tree.leaves(jitted(*args))]
    text, exported = folder / "m.mlir", folder / "m.jax"
    text.write_text(jitted.lower(*args).as_text())
    exported.write_bytes(export.export(jitted)(*args).serialize())
    for form in [text, exported]:
        got, why = run(beiming, folder, form, flat)
        why = why or differs(got, want)
        if why:
            return f"{form.suffix}: {why}"
    return None


def open_batch(beiming, folder):
    """One artifact for every size of a batch."""
    b, = export.symbolic_shape("b")
    w = models.weight(8, 4)
    spec = [jax.ShapeDtypeStruct((b, 8), np.float32), jax.ShapeDtypeStruct((8, 4), np.float32)]
    path = folder / "open.jax"
    path.write_bytes(export.export(jax.jit(models.open_batch))(*spec).serialize())
    for n in [1, 3, 8]:
        x = models.data(n, 8)
        got, why = run(beiming, folder, path, [x, w], ["--dim", "b=1..64"])
        why = why or differs(got, [models.open_batch(x, w)])
        if why:
            return f"batch {n}: {why}"
    return None


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("beiming", type=pathlib.Path)
    p.add_argument("--filter", default="")
    a = p.parse_args()
    cases = {n: (lambda d, f=f, x=x: attempt(a.beiming, d, f, x)) for n, (f, x) in {**functions.CASES, **models.MODELS}.items()}
    cases["open batch"] = lambda d: open_batch(a.beiming, d)
    failed = 0
    with tempfile.TemporaryDirectory() as d:
        for name, go in cases.items():
            if a.filter not in name:
                continue
            try:
                why = go(pathlib.Path(d))
            except Exception as e:
                why = f"{type(e).__name__}: {str(e)[:200]}"
            failed += why is not None
            if why:
                print(f"{name}: {why}", flush=True)
    total = sum(a.filter in n for n in cases)
    print(f"{total - failed} of {total} agree with JAX")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

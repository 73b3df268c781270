"""Functions and models lowered by JAX, compiled by beiming, run, and compared with JAX: python tests/jax/check.py BEIMING.

Each is lowered to text and to a file of jax.export; both must give the same results. `--networks` adds the networks of full size, which
takes minutes and gigabytes; `--x64` runs programs of 64-bit numbers; `--filter TEXT` keeps names that hold the text. `make test-jax` installs what this needs and runs it."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jax import export

# With `--x64`, programs of 64-bit numbers: arguments of 32 bits are widened.
X64 = "--x64" in sys.argv
jax.config.update("jax_enable_x64", X64)
WIDE = {"float32": np.float64, "int32": np.int64, "complex64": np.complex128} if X64 else {}

import families  # noqa: F401, adds its cases to those of `functions`
import functions
import models
import networks
import numeric  # noqa: F401, adds its cases to those of `functions`

# Allowed difference, relative and absolute, by the result's element type.
# A network's results differ from JAX's by this share of the largest of each; those of a training step through batch statistics of two
# images, which amplify rounding, by more: JAX's own f32 results are 4e-3 away from its f64 ones there, ours 8e-3.
NETWORK, TRAINING = 1e-4, 2e-2
TOLERANCE = {"float64": 1e-9, "complex128": 1e-9, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2, "complex64": 1e-4}

# Calls of which JAX does not promise that they stay as they are.
UNSTABLE = [f"lapack_{t}{r}_ffi" for t, r in [("s", "ormqr"), ("d", "ormqr"), ("c", "unmqr"), ("z", "unmqr")]] + ["tridiagonal_solve_perturbed_ffi"]


def planes(x):
    """A complex value is two in the artifact."""
    x = np.asarray(x)
    return [x.real, x.imag] if np.iscomplexobj(x) else [x]


def run(beiming, folder, model, args, options=()):
    feed, out, artifact = folder / "in.npz", folder / "out.npz", folder / "m.bmg"
    done = subprocess.run([beiming, "compile", model, "-o", artifact, *options], capture_output=True, text=True)
    if done.returncode:
        return None, "compile: " + done.stderr.strip().replace("\n", " ")[:300]
    # Text calls arguments by number, files of jax.export by the names they have in Python.
    described = subprocess.run([beiming, "inspect", artifact, "--json"], capture_output=True, text=True, check=True).stdout
    names = [i["name"] for i in json.loads(described)["inputs"]]
    arrays = [p for x in args for p in planes(x)]
    if len(names) != len(arrays):
        return None, f"{len(names)} inputs, not {len(arrays)}"
    np.savez(feed, **dict(zip(names, arrays)))
    command = [beiming, "run", artifact, "--outputs", out] + (["--inputs", feed] if names else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, "run: " + done.stderr.strip().replace("\n", " ")[:300]
    with np.load(out) as z:
        return [z[n] for n in z.files], None


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
    args = jax.tree.map(lambda x: x.astype(WIDE[str(x.dtype)]) if str(getattr(x, "dtype", "")) in WIDE else x, args)
    flat, tree = jax.tree.flatten(args)
    # Arguments that a function does not use stay, so that arguments keep their numbers.
    jitted = jax.jit(f, keep_unused=True)
    want = [np.asarray(x) for x in jax.tree.leaves(jitted(*args))]
    text, exported = folder / "m.mlir", folder / "m.jax"
    text.write_text(jitted.lower(*args).as_text())
    unstable = [export.DisabledSafetyCheck.custom_call(name) for name in UNSTABLE]
    exported.write_bytes(export.export(jitted, disabled_checks=unstable)(*args).serialize())
    for form in [text, exported]:
        got, why = run(beiming, folder, form, flat)
        why = why or differs(got, want)
        if why:
            return f"{form.suffix}: {why}"
    return None


def bound_weights(beiming, folder):
    """Weights that come beside the module, as torchax exports them: leading arguments `states[i]`, donated; several results."""
    def f(states, args):
        return args[0] @ states[0] + states[1], states[2] + 1
    states, x = [models.weight(8, 4), models.weight(4), np.arange(3, dtype=np.float32)], models.data(5, 8)
    path, weights = folder / "states.jax", folder / "states.npz"
    path.write_bytes(export.export(jax.jit(f, donate_argnums=(0,)))(states, (x,)).serialize())
    np.savez(weights, **{f"states[{i}]": s for i, s in enumerate(states)})
    want = [np.asarray(r) for r in f(states, (x,))]
    for options, args in [((), [*states, x]), (("--bind", weights), [x])]:
        got, why = run(beiming, folder, path, args, options)
        why = why or differs(got, want)
        if why:
            return why
    return None


def network(beiming, folder, name):
    """A network of full size. Weights are bound, but to a training step, which changes them."""
    f, weights, inputs = networks.NETWORKS[name]()
    training, flat = name.endswith("_train"), [np.asarray(x) for x in jax.tree.leaves(weights)]
    jitted = jax.jit(f, keep_unused=True)
    want = [np.asarray(x) for x in jax.tree.leaves(jitted(weights, *inputs))]
    text, bound = folder / "network.mlir", folder / "weights.npz"
    text.write_text(jitted.lower(weights, *inputs).as_text())
    args = [np.asarray(x) for x in jax.tree.leaves(inputs)]
    if training:
        got, why = run(beiming, folder, text, flat + args)
    else:
        np.savez(bound, **{f"arg{i}": x for i, x in enumerate(flat)})
        got, why = run(beiming, folder, text, args, ("--bind", bound))
    if why:
        return why
    for i, (g, w) in enumerate(zip(got, want, strict=True)):
        worst = np.max(np.abs(g.astype(np.float64) - w)) / (np.max(np.abs(w)) or 1)
        if g.shape != w.shape or not worst <= (TRAINING if training else NETWORK):
            return f"result {i} differs by {worst:.3g} of its largest"
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
    p.add_argument("--networks", action="store_true")
    p.add_argument("--x64", action="store_true", help="64-bit numbers")
    a = p.parse_args()
    cases = {n: (lambda d, f=f, x=x: attempt(a.beiming, d, f, x)) for n, (f, x) in {**functions.CASES, **models.MODELS}.items()}
    cases["open batch"] = lambda d: open_batch(a.beiming, d)
    cases["bound weights"] = lambda d: bound_weights(a.beiming, d)
    if a.networks:
        cases |= {f"network {n}": (lambda d, n=n: network(a.beiming, d, n)) for n in networks.NETWORKS}
    failed = 0
    with tempfile.TemporaryDirectory() as d:
        for name, go in cases.items():
            if a.filter not in name:
                continue
            try:
                with jax.enable_x64(X64 or name.startswith("x64 ")):
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

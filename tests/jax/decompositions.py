"""Decompositions of matrices, which JAX gives to LAPACK and Beiming computes by loops of the graph: the time of both.

    python tests/jax/decompositions.py BEIMING [--table FILE] [--rounds N] [--sizes N ...] [NAME ...]

Writes docs/decompositions.md with `--table`. Times are processor time of whole runs, less that of getting ready, rounds alternating
between the two; `ratio` is the median over rounds of Beiming's over JAX's, which runs on one thread as well."""

import argparse
import datetime
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from twins import compiled, processor_ms

jax.config.update("jax_enable_x64", True)

CASES = {
    "cholesky": (jnp.linalg.cholesky, "definite"),
    "lu": (jsl.lu_factor, "any"),
    "triangular_solve": (lambda a: jsl.solve_triangular(a, a, lower=True), "definite"),
    "qr": (jnp.linalg.qr, "any"),
    "eigh": (jnp.linalg.eigh, "definite"),
    "svd": (jnp.linalg.svd, "any"),
    "schur": (jsl.schur, "any"),
    "eig": (jnp.linalg.eig, "any"),
}

# Seconds of a sample, and most runs in it.
SAMPLE, MOST = 0.5, 20_000

INTRODUCTION = """# Decompositions beside JAX

Written by tests/jax/decompositions.py on {day}; not edited by hand. Square matrices of normal numbers, definite ones where a name
asks for it; milliseconds of processor time a run, one thread each; JAX 0.10 gives them to LAPACK. `ratio` is Beiming's time over
JAX's, median and range over {rounds} rounds that alternate between the two. The machine has {cores} cores and had a load of {load:.0f}
when it began.

| decomposition | type | n | ms, Beiming | ms, JAX | ratio | range |
|---|---|--:|--:|--:|--:|---|
"""

CALLS = """
## Calls that are read

Every call of LAPACK that jaxlib 0.10.2 knows for a CPU, of all its types (`s`, `d`, `c`, `z`), and JAX's own for tridiagonal systems.
Arithmetic is in 64 bits where the third column says so, whatever the matrix holds.

| call | what Beiming computes | in 64 bits |
|---|---|---|
| `potrf`, `trsm` | blocks by recursion, rows by loops | |
| `getrf` | column by column, the largest element as pivot | |
| `geqrf`, `geqp3`, `orgqr`, `ungqr`, `ormqr`, `unmqr` | reflections of Householder | |
| `gehrd`, `sytrd`, `hetrd` | reflections from both sides | |
| `syevd`, `heevd` | Jacobi's rotations, half as many at once as there are rows | yes |
| `gesdd`, `gesvd` | the same, of one side | yes |
| `gees`, real | QR steps with two shifts, blocks in standard form | yes |
| `gees`, complex, and `geev` of complex matrices | QR steps with Wilkinson's shift | yes |
| `geev` of real matrices | the real form, its blocks split | yes |
| `gtsv`, `tridiagonal_solve_perturbed` | elimination with exchanges | |

Not read: `gees` that sorts eigenvalues, which JAX does not write, and `cpu_csr_sparse_dense` of jax.experimental.sparse.
"""


def matrix(kind, n, dtype):
    a = np.random.default_rng(n).normal(size=(n, n))
    return (a @ a.T + n * np.eye(n) if kind == "definite" else a).astype(dtype)


def theirs_ms(f, a, runs):
    start = time.process_time()
    for _ in range(runs):
        jax.block_until_ready(f(a))
    return (time.process_time() - start) * 1e3 / runs


def ours_ms(beiming, artifact, feed, runs):
    return (processor_ms(beiming, artifact, feed, runs) - processor_ms(beiming, artifact, feed, 0)) / runs


def runs_for(ms):
    return max(1, min(MOST, int(SAMPLE * 1e3 / max(ms, 1e-3))))


def row(beiming, folder, name, dtype, n, rounds):
    f, kind = CASES[name]
    a, jitted = matrix(kind, n, dtype), jax.jit(f)
    text, artifact, feed = folder / "d.mlir", folder / "d.bmg", folder / "d.npz"
    text.write_text(jitted.lower(a).as_text())
    described = compiled(beiming, text, artifact)
    np.savez(feed, **{described["inputs"][0]["name"]: a})
    on_device = jax.device_put(a)
    theirs_ms(jitted, on_device, 2)
    estimate = ours_ms(beiming, artifact, feed, 1)
    if estimate < 20:
        # Processor time comes in ticks of 10 ms.
        estimate = ours_ms(beiming, artifact, feed, 100)
    own, other = runs_for(estimate), runs_for(theirs_ms(jitted, on_device, 3))
    pairs = [(ours_ms(beiming, artifact, feed, own), theirs_ms(jitted, on_device, other)) for _ in range(rounds)]
    ours, theirs = ([p[k] for p in pairs] for k in (0, 1))
    ratios = [x / y for x, y in pairs]
    return (f"| {name} | {np.dtype(dtype).name} | {n} | {statistics.median(ours):.3f} | {statistics.median(theirs):.3f} | "
            f"{statistics.median(ratios):.1f} | {min(ratios):.1f} to {max(ratios):.1f} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("beiming", type=pathlib.Path)
    p.add_argument("--table", type=pathlib.Path)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--sizes", type=int, nargs="+", default=[32, 128])
    p.add_argument("--types", nargs="+", default=["float32", "float64"])
    p.add_argument("names", nargs="*")
    a = p.parse_intermixed_args()
    out = INTRODUCTION.format(day=datetime.date.today(), rounds=a.rounds, cores=os.cpu_count(), load=os.getloadavg()[0])
    print(out, end="", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in a.names or CASES:
            for dtype in a.types:
                for n in a.sizes:
                    line = row(a.beiming, pathlib.Path(folder), name, dtype, n, a.rounds)
                    print(line, flush=True)
                    out += line + "\n"
    if a.table:
        a.table.write_text(out + CALLS)


if __name__ == "__main__":
    main()

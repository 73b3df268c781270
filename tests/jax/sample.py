"""Writes tests/jax/sample: programs as JAX lowers them, with arguments and the results that JAX computed, for tests/tests/jax.rs, which
needs no JAX. NAME.mlir, and NAME.npz with the arguments `argN`, then the results `resultN`: python tests/jax/sample.py"""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

import functions
import models
import numeric  # noqa: F401, adds its cases to those of `functions`

# One of each kind of program: how JAX writes an op, its idioms, its control flow, its gradients.
NAMES = [
    "jnp.var", "jnp.argmax", "jnp.take", "indexing two axes", "at.add", "jnp.sort", "jnp.argsort", "jnp.einsum", "jnp.cumsum", "casts",
    "jnp.searchsorted", "jax.nn.softmax", "jax.nn.log_softmax", "jax.nn.gelu", "jax.nn.gelu by erf", "jax.nn.one_hot",
    "jax.nn.dot_product_attention", "lax.lgamma", "lax.top_k", "lax.reduce_window", "lax.conv grouped", "lax.dynamic_update_slice", "lax.scan",
    "lax.while_loop", "lax.switch", "vmap", "grad of max pool", "grad of conv", "grad of take", "jax.random.normal",
    "jnp.linalg.cholesky", "transformer block", "transformer training step", "decoder with a cache", "residual training step",
]


def main():
    folder = pathlib.Path(__file__).parent / "sample"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name in NAMES:
        f, args = {**functions.CASES, **models.MODELS}[name]
        jitted = jax.jit(f, keep_unused=True)
        path = folder / (name.replace(" ", "_") + ".mlir")
        path.write_text(jitted.lower(*args).as_text())
        arrays = {f"arg{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(args))}
        arrays |= {f"result{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(jitted(*args)))}
        np.savez_compressed(path.with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()

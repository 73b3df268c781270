"""`beiming.jit` on real functions, held against JAX."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy

import beiming  # noqa: E402


def agree(f, *args, atol=1e-4, **kwargs):
    """`f` compiled here, and by JAX."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        got = beiming.jit(f)(*args, **kwargs)
    want = jax.jit(f)(*args, **kwargs)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    for g, w in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want)):
        assert isinstance(g, jax.Array) and g.dtype == w.dtype and g.shape == w.shape
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), atol=atol, rtol=1e-3)


def randoms(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(k, s) * 0.2 for k, s in zip(keys, shapes)]


def test_mlp():
    w1, b1, w2, x = randoms((8, 32), (32,), (32, 4), (5, 8))

    def mlp(params, x):
        h = jax.nn.gelu(x @ params["w1"] + params["b1"])
        return {"y": jax.nn.softmax(h @ params["w2"]), "h": h.mean(axis=0)}

    agree(mlp, {"w1": w1, "b1": b1, "w2": w2}, x)


def test_transformer():
    width, heads = 16, 4
    shapes = [(width, 3 * width), (width, width), (width, 2 * width), (2 * width, width), (width,), (width,)]
    params = randoms(*shapes)
    x = randoms((2, 6, width))[0]

    def norm(x, g):
        m = x.mean(-1, keepdims=True)
        return (x - m) * jax.lax.rsqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5) * (1 + g)

    def block(params, x):
        qkv, out, up, down, g1, g2 = params
        b, t, d = x.shape
        q, k, v = jnp.split((norm(x, g1) @ qkv).reshape(b, t, heads, -1), 3, axis=-1)
        s = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(d // heads)
        s = jnp.where(jnp.tril(jnp.ones((t, t), bool)), s, -1e30)
        a = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s), v).reshape(b, t, d)
        x = x + a @ out
        return x + jax.nn.silu(norm(x, g2) @ up) @ down

    agree(block, params, x)

    def scanned(params, x):
        return jax.lax.fori_loop(0, 3, lambda i, h: block(params, h), x)

    agree(scanned, params, x, atol=1e-3)


def test_arguments():
    @beiming.jit
    def f(x, *, scale=2):
        return x * scale + 1

    x = jnp.arange(4.0)
    np.testing.assert_array_equal(f(x), x * 2 + 1)
    np.testing.assert_array_equal(f(x, scale=3.0), x * 3 + 1)
    assert f.__name__ == "f" and f.compiled(x) is f.compiled(x + 1) and f.compiled(x) is not f.compiled(x[:2])
    # One compilation for each value of a static argument.
    g = beiming.jit(lambda x, n: x[:n].sum() * n, static_argnums=1)
    assert g(x, 2) == 2 and g(x, 3) == 9 and g.compiled(x, 2) is not g.compiled(x, 3)
    assert beiming.jit(lambda a, unused: a + 1)(1, 2) == 2
    for d in (jnp.int32, jnp.uint8, jnp.bfloat16, jnp.float16, jnp.bool_):
        agree(lambda a: (a, a[::-1]), jnp.array([1, 0, 1]).astype(d))
    # numpy goes in, JAX comes out; nothing is copied that lies in the CPU's memory.
    assert isinstance(f(np.ones(4, np.float32)), jax.Array)


def test_what_cannot_be_compiled_runs_in_jax_with_a_warning():
    def unsupported(x):
        return jax.pure_callback(lambda a: np.asarray(a) + 1, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    x = jnp.arange(4.0)
    with pytest.warns(UserWarning, match="JAX runs `unsupported` itself.*custom_call"):
        np.testing.assert_array_equal(beiming.jit(unsupported)(x), x + 1)
    with pytest.raises(beiming.UnsupportedOpsError) as e:
        beiming.jit(unsupported, fallback=False)(x)
    assert e.value.ops


def test_lowered_and_exported():
    f = jax.jit(lambda a, b: (a @ b, a.sum()))
    a, b = randoms((3, 4), (4, 5))
    for model in (f.lower(a, b), jax.export.export(f)(a, b)):
        got = beiming.compile(model, progress=False).module()(a, b)
        np.testing.assert_allclose(got[0], a @ b, atol=1e-5)
        assert all(isinstance(g, jax.Array) for g in got)

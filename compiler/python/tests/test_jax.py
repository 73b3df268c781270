"""`beiming.jit` on real functions, held against JAX."""

from __future__ import annotations

import inspect
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


OFFSET = np.linspace(-1, 1, 6, dtype=np.float32)


def layered(params, x):
    """Calls of functions, ours and JAX's, a loop, a constant from outside, two results."""
    h = jax.nn.relu(x @ params["w"] + OFFSET)
    gate = jax.jit(gated)(h)
    h = jax.lax.fori_loop(0, 3, lambda i, a: a * 0.5 + gate, h)
    return {"y": jax.nn.softmax(h), "top": jax.lax.top_k(h, 2)[0]}


def gated(h):
    return jnp.tanh(h) * jax.nn.relu(h)


def layered_inputs():
    w, x = randoms((4, 6), (3, 4))
    return {"w": w}, x * 5


def line_of(function, text):
    """The line of a function that has this text, as equations are named."""
    lines, start = inspect.getsourcelines(function)
    return f"test_jax.py:{start + next(i for i, l in enumerate(lines) if text in l)} ({function.__name__})"


@pytest.mark.parametrize("form", ["function", "jitted", "traced", "beiming"])
def test_layers_are_the_equations(form):
    args = layered_inputs()
    made = {"function": lambda: layered, "jitted": lambda: jax.jit(layered), "beiming": lambda: beiming.jit(layered)}
    model = made[form]() if form in made else jax.jit(layered).trace(*args)
    found = beiming.compare(model, args, unfused=True)
    assert found.agrees and found.against == "jax" and [r.value for r in found.results] == ["result['top']", "result['y']"], str(found)
    assert all(v.agrees and v.op for v in found.layers), str(found)
    types = [v.op.type for v in found.layers]
    assert types[:2] == ["dot_general", "add"] and types.count("tanh") == 1 and types.count("max") >= 2, types
    assert len({v.op.place for v in found.layers if v.op.type == "tanh"}) == 1
    named = {(v.op.type, v.op.name) for v in found.layers}
    assert ("tanh", line_of(gated, "jnp.tanh")) in named and ("dot_general", line_of(layered, "x @")) in named, named
    # JAX traces its `relu` once; the second call is told from the first.
    assert {n for t, n in named if t == "max"} >= {line_of(layered, "nn.relu"), line_of(gated, "nn.relu")}, named
    # A loop is one op, with the values that leave it.
    assert {t for t in types if t in ("scan", "while")} and not {"while_body", "closed_call", "jit"} & set(types), types
    fused = beiming.compare(model, args, layers=True)
    assert fused.agrees and fused.layers and all(v.kernel and v.op.name.startswith("test_jax.py:") for v in fused.layers), str(fused)
    assert fused.kernels[0] == fused.kernels[1] > 0
    assert beiming.bisect(model, args).agrees


def test_the_first_equation_that_differs_is_named(monkeypatch, tmp_path):
    from beiming import _equations

    args = layered_inputs()
    # JAX as it would be if its tanh were a sine: all that is computed from it follows.
    monkeypatch.setitem(globals(), "gated", lambda h: jnp.sin(h) * jax.nn.relu(h))
    sine = _equations.Equations(jax.jit(lambda params, x: layered(params, x)).trace(*args))
    monkeypatch.undo()

    def values(_, given, results):
        return {n.replace("sin_", "tanh_"): x for n, x in original(sine, given, results).items()}

    original = _equations.Equations.values
    monkeypatch.setattr(_equations.Equations, "values", values)
    found = beiming.compare(layered, args, unfused=True)
    tanh = next(v for v in found.layers if v.op.type == "tanh")
    assert not found.agrees and found.first is tanh and tanh.op.name == line_of(gated, "jnp.tanh") and tanh.different > 1
    assert [v.op.type for v in found.layers if v.agrees][:3] == ["dot_general", "add", "max"]
    fused = beiming.compare(layered, args, layers=True)
    assert not fused.agrees and fused.first is not None and fused.first.op.name.startswith("test_jax.py:"), str(fused)
    bisected = beiming.bisect(layered, args, output=tmp_path / "wrong")
    assert bisected.ops == (tanh.op,) and bisected.skipped == 0 and "tanh" in str(bisected)
    assert bisected.model == str(tmp_path / "wrong.txt") and bisected.results[0].value == tanh.value
    assert beiming.compare(bisected.model, dict(np.load(bisected.inputs)), against="eval").agrees
    monkeypatch.undo()
    # Values by name: the others are the evaluator's.
    given = beiming.compare(layered, args, against={tanh.value: np.full((3, 6), 7, np.float32)}, unfused=True)
    assert given.against == "given values" and given.first is not None and given.first.op == tanh.op


def test_layers_of_training_and_of_random_numbers():
    w, x = randoms((4, 6), (3, 4))

    def loss(w, x, y):
        return ((jnp.tanh(x @ w) - y) ** 2).mean()

    step = jax.value_and_grad(loss)
    found = beiming.compare(step, (w, x, jnp.ones((3, 6))), unfused=True)
    assert found.agrees and [r.value for r in found.results] == ["result[0]", "result[1]"] and len(found.layers) > 8, str(found)

    # Keys are no arrays: what makes them belongs to the equation that uses them. Equations that nothing needs are left out.
    def noisy(x, seed):
        jnp.exp(x)
        return x + jax.random.uniform(jax.random.key(seed), x.shape), x, jnp.zeros(2)

    found = beiming.compare(noisy, (x, jnp.uint32(3)), unfused=True)
    assert found.agrees and len(found.results) == 3 and "exp" not in [v.op.type for v in found.layers], str(found)
    with pytest.raises(beiming.InputError, match="arguments"):
        beiming.compare(noisy)
    traced = jax.jit(noisy).trace(x, jnp.uint32(3))
    assert beiming.compare(traced).agrees
    assert beiming.compile(traced, progress=False).inputs == beiming.compile(traced.lower(), progress=False).inputs

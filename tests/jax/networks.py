"""Networks of full size in plain JAX, with random weights: BERT, GPT-2 and ResNet-50, forward and in training. Their twins in ONNX are
what tests/models/export.py writes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

RNG = np.random.default_rng(3)


def normal(*shape, scale=1.0):
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def dense(rows, columns):
    return {"w": normal(rows, columns, scale=0.02), "b": normal(columns, scale=0.05)}


def scale(n):
    return {"g": 1 + normal(n, scale=0.05), "b": normal(n, scale=0.05)}


def linear(p, x):
    return x @ p["w"] + p["b"]


def layer_norm(p, x, eps):
    mean = jnp.mean(x, -1, keepdims=True)
    var = jnp.var(x, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + eps) * p["g"] + p["b"]


def attention(q, k, v, bias):
    """Of `[batch, length, heads, width]`."""
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1]).astype(np.float32) + bias
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s, -1), v)


def split_heads(x, heads):
    return x.reshape(*x.shape[:2], heads, -1)


# BERT: normalisation after each half of a block.

def bert_weights(layers, width, inner, words=30522, places=512):
    def layer():
        return {n: dense(width, width) for n in "qkvo"} | {"norm1": scale(width), "up": dense(width, inner),
                                                           "down": dense(inner, width), "norm2": scale(width)}
    return {"words": normal(words, width, scale=0.02), "places": normal(places, width, scale=0.02),
            "kinds": normal(2, width, scale=0.02), "norm": scale(width), "layers": [layer() for _ in range(layers)]}


def bert(p, ids, mask, *, heads):
    length = ids.shape[1]
    x = p["words"][ids] + p["places"][:length] + p["kinds"][0]
    x = layer_norm(p["norm"], x, 1e-12)
    bias = (1 - mask[:, None, None, :].astype(x.dtype)) * np.finfo(np.float32).min
    for l in p["layers"]:
        q, k, v = (split_heads(linear(l[n], x), heads) for n in "qkv")
        x = layer_norm(l["norm1"], x + linear(l["o"], attention(q, k, v, bias).reshape(x.shape)), 1e-12)
        y = linear(l["down"], jax.nn.gelu(linear(l["up"], x), approximate=False))
        x = layer_norm(l["norm2"], x + y, 1e-12)
    return x


# GPT-2: normalisation before each half, a head that shares the embedding.

def gpt2_weights(layers, width, words=50257, places=1024):
    def layer():
        return {"norm1": scale(width), "qkv": dense(width, 3 * width), "o": dense(width, width), "norm2": scale(width),
                "up": dense(width, 4 * width), "down": dense(4 * width, width)}
    return {"words": normal(words, width, scale=0.02), "places": normal(places, width, scale=0.02), "norm": scale(width),
            "layers": [layer() for _ in range(layers)]}


def gpt2_block(l, x, heads, attend):
    q, k, v = (split_heads(a, heads) for a in jnp.split(linear(l["qkv"], layer_norm(l["norm1"], x, 1e-5)), 3, -1))
    a, cache = attend(q, k, v)
    x = x + linear(l["o"], a.reshape(x.shape))
    return x + linear(l["down"], jax.nn.gelu(linear(l["up"], layer_norm(l["norm2"], x, 1e-5)))), cache


def gpt2(p, ids, *, heads):
    """Logits of every position, keys and values."""
    length = ids.shape[1]
    x = p["words"][ids] + p["places"][:length]
    bias = jnp.where(jnp.tril(jnp.ones((length, length), bool)), 0.0, np.finfo(np.float32).min)
    caches = []
    for l in p["layers"]:
        x, cache = gpt2_block(l, x, heads, lambda q, k, v: (attention(q, k, v, bias), (k, v)))
        caches.append(cache)
    return layer_norm(p["norm"], x, 1e-5) @ p["words"].T, caches


def gpt2_step(p, ids, past, *, heads):
    """As `gpt2`, for one token behind the keys and values of others."""
    x = p["words"][ids] + p["places"][past[0][0].shape[1]]
    caches = []
    for l, (ks, vs) in zip(p["layers"], past):
        def attend(q, k, v):
            k, v = jnp.concatenate([ks, k], 1), jnp.concatenate([vs, v], 1)
            return attention(q, k, v, 0.0), (k, v)
        x, cache = gpt2_block(l, x, heads, attend)
        caches.append(cache)
    return layer_norm(p["norm"], x, 1e-5) @ p["words"].T, caches


def gpt2_generate(p, first, *, heads, steps, room):
    """Greedy decoding in a loop, with a cache of fixed size that is updated in place."""
    width = p["words"].shape[1]
    empty = [tuple(jnp.zeros((1, room, heads, width // heads)) for _ in "kv") for _ in p["layers"]]

    def step(state):
        i, ids, caches = state
        x = p["words"][lax.dynamic_slice(ids, (0, i), (1, 1))] + lax.dynamic_slice(p["places"], (i, 0), (1, width))
        bias = jnp.where(jnp.arange(room) <= i, 0.0, np.finfo(np.float32).min)
        updated = []
        for l, (ks, vs) in zip(p["layers"], caches):
            def attend(q, k, v):
                both = (lax.dynamic_update_slice(ks, k, (0, i, 0, 0)), lax.dynamic_update_slice(vs, v, (0, i, 0, 0)))
                return attention(q, *both, bias), both
            x, cache = gpt2_block(l, x, heads, attend)
            updated.append(cache)
        word = jnp.argmax(layer_norm(p["norm"], x, 1e-5) @ p["words"].T, -1).astype(ids.dtype)
        return i + 1, lax.dynamic_update_slice(ids, word, (0, i + 1)), updated

    ids = jnp.zeros((1, room), jnp.int32).at[:, :1].set(first)
    return lax.while_loop(lambda s: s[0] < steps, step, (0, ids, empty))[1]


# ResNet-50, channels last.

STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


def convolution(k, i, o):
    norm = {"g": 1 + normal(o, scale=0.05), "b": normal(o, scale=0.05), "mean": normal(o, scale=0.05), "var": 1 + np.abs(normal(o, scale=0.2))}
    return {"w": normal(k, k, i, o, scale=np.sqrt(2 / (k * k * i))), "norm": norm}


def resnet50_weights(stages=STAGES):
    p, width = {"stem": convolution(7, 3, stages[0][1]), "blocks": []}, stages[0][1]
    for count, inner in stages:
        for i in range(count):
            b = {"a": convolution(1, width, inner), "b": convolution(3, inner, inner), "c": convolution(1, inner, 4 * inner)}
            if i == 0:
                b["skip"] = convolution(1, width, 4 * inner)
            p["blocks"].append(b)
            width = 4 * inner
    return p | {"head": dense(width, 1000)}


def conv_norm(p, x, stride, train):
    k = p["w"].shape[0]
    x = lax.conv_general_dilated(x, p["w"], (stride, stride), [(k // 2, k // 2)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    n = p["norm"]
    mean, var = (jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))) if train else (n["mean"], n["var"])
    return (x - mean) * lax.rsqrt(var + 1e-5) * n["g"] + n["b"]


def resnet50(p, x, *, train=False, stages=STAGES):
    x = jax.nn.relu(conv_norm(p["stem"], x, 2, train))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    first, at = [], 0
    for count, _ in stages:
        first.append(at)
        at += count
    for i, b in enumerate(p["blocks"]):
        stride = 2 if i in first[1:] else 1
        y = jax.nn.relu(conv_norm(b["a"], x, 1, train))
        y = jax.nn.relu(conv_norm(b["b"], y, stride, train))
        y = conv_norm(b["c"], y, 1, train)
        x = jax.nn.relu(y + (conv_norm(b["skip"], x, stride, train) if "skip" in b else x))
    return linear(p["head"], jnp.mean(x, (1, 2)))


def training_step(p, x, labels, *, apply):
    """Cross entropy, and the weights after a step down its gradient."""
    def loss(p):
        logits = apply(p, x)
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits) * jax.nn.one_hot(labels, logits.shape[-1]), -1))
    value, grad = jax.value_and_grad(loss)(p)
    return value, jax.tree.map(lambda w, d: w - 0.01 * d, p, grad)


def images(n):
    return RNG.random((n, 224, 224, 3), dtype=np.float32)


def ids(n, high=30000):
    return RNG.integers(0, high, (1, n)).astype(np.int32)


def past(layers, heads, length, width):
    return [tuple(normal(1, length, heads, width) for _ in "kv") for _ in range(layers)]


# Name -> (function of weights and inputs, its weights, its inputs); made when asked for.
NETWORKS = {
    "minilm": lambda: (functools.partial(bert, heads=12), bert_weights(6, 384, 1536), (ids(128), np.ones((1, 128), np.int32))),
    "bert_base": lambda: (functools.partial(bert, heads=12), bert_weights(12, 768, 3072), (ids(128), np.ones((1, 128), np.int32))),
    "gpt2_prefill": lambda: (functools.partial(gpt2, heads=12), gpt2_weights(12, 768), (ids(128),)),
    "gpt2_decode": lambda: (functools.partial(gpt2_step, heads=12), gpt2_weights(12, 768), (ids(1), past(12, 12, 127, 64))),
    "gpt2_generate": lambda: (functools.partial(gpt2_generate, heads=12, steps=16, room=64), gpt2_weights(12, 768), (ids(1),)),
    "resnet50": lambda: (resnet50, resnet50_weights(), (images(1),)),
    "resnet50_train": lambda: (functools.partial(training_step, apply=functools.partial(resnet50, train=True)), resnet50_weights(),
                               (images(2), np.array([3, 700], np.int32))),
    "bert_train": lambda: (
        functools.partial(training_step, apply=lambda p, x: bert(p, x, jnp.ones((1, 128), jnp.int32), heads=12)[:, 0]),
        bert_weights(2, 384, 1536), (ids(128), np.array([5], np.int32))),
}

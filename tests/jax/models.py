"""Models written by hand: what a training step, a decoder with its cache and a batch of open size look like from JAX."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

RNG = np.random.default_rng(11)


def weight(*shape):
    return (RNG.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)


def layer_norm(x, g, b):
    m = x.mean(-1, keepdims=True)
    v = ((x - m) ** 2).mean(-1, keepdims=True)
    return (x - m) * lax.rsqrt(v + 1e-5) * g + b


D, H, F = 32, 4, 64


def block_weights():
    return {"g1": np.ones(D, np.float32), "b1": np.zeros(D, np.float32), "qkv": weight(D, 3 * D), "o": weight(D, D),
            "g2": np.ones(D, np.float32), "b2": np.zeros(D, np.float32), "up": weight(D, F), "down": weight(F, D)}


def attention(q, k, v, mask):
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(D // H)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(jnp.where(mask, s, -1e9), -1), v)


def block(p, x):
    b, t, _ = x.shape
    h = layer_norm(x, p["g1"], p["b1"])
    q, k, v = [a.reshape(b, t, H, D // H) for a in jnp.split(h @ p["qkv"], 3, -1)]
    x = x + attention(q, k, v, jnp.tril(jnp.ones((t, t), bool))).reshape(b, t, D) @ p["o"]
    return x + jax.nn.gelu(layer_norm(x, p["g2"], p["b2"]) @ p["up"]) @ p["down"]


def train_block(p, x, y):
    """Loss, and the weights after a step."""
    loss, g = jax.value_and_grad(lambda p: jnp.mean((block(p, x) - y) ** 2))(p)
    return loss, jax.tree.map(lambda w, d: w - 0.1 * d, p, g)


def decode(p, first, steps=6, room=8):
    """A loop that appends to a cache of keys and values."""
    def step(state):
        i, x, ks, vs = state
        h = layer_norm(x, p["g1"], p["b1"])
        q, k, v = [a.reshape(1, 1, H, D // H) for a in jnp.split(h @ p["qkv"], 3, -1)]
        ks, vs = lax.dynamic_update_slice(ks, k, (0, i, 0, 0)), lax.dynamic_update_slice(vs, v, (0, i, 0, 0))
        x = x + attention(q, ks, vs, (jnp.arange(room) <= i)[None, None, None]).reshape(1, 1, D) @ p["o"]
        return i + 1, x, ks, vs
    cache = jnp.zeros((1, room, H, D // H))
    return lax.while_loop(lambda s: s[0] < steps, step, (0, first, cache, cache))


def residual_weights(c=8):
    return {"stem": weight(3, 3, 3, c) / 3, "a": weight(3, 3, c, c) / 3, "b": weight(3, 3, c, c) / 3, "g": np.ones(c, np.float32),
            "s": np.zeros(c, np.float32), "head": weight(c, 5)}


def residual(p, x):
    """A small residual network: stem, pool, a block with batch statistics, head."""
    def conv(x, w, s=1):
        return lax.conv_general_dilated(x, w, (s, s), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    def norm(x):
        m, v = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - m) * lax.rsqrt(v + 1e-5) * p["g"] + p["s"]
    x = jax.nn.relu(norm(conv(x, p["stem"], 2)))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    x = x + norm(conv(jax.nn.relu(norm(conv(x, p["a"]))), p["b"]))
    return x.mean((1, 2)) @ p["head"]


def train_residual(p, x, y):
    def loss(p):
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(residual(p, x)) * jax.nn.one_hot(y, 5), -1))
    value, g = jax.value_and_grad(loss)(p)
    return value, jax.tree.map(lambda w, d: w - 0.1 * d, p, g)


def data(*shape):
    return RNG.normal(size=shape).astype(np.float32)


MODELS = {
    "transformer block": (block, (block_weights(), data(2, 6, D))),
    "transformer training step": (train_block, (block_weights(), data(2, 6, D), data(2, 6, D))),
    "decoder with a cache": (decode, (block_weights(), data(1, 1, D))),
    "residual network": (residual, (residual_weights(), data(2, 16, 16, 3))),
    "residual training step": (train_residual, (residual_weights(), data(4, 16, 16, 3), np.array([0, 3, 1, 4], np.int32))),
}


def open_batch(x, w):
    """A batch of any size: the shape computations of jax.export."""
    y = jax.nn.softmax(jnp.tanh(x @ w), -1)
    return jnp.concatenate([y, jnp.broadcast_to(y.mean(0), y.shape)], -1).reshape(-1)

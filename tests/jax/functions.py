"""Functions of jax.numpy, jax.lax and jax.nn, and the arguments to try them on: name -> (function, arguments)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

RNG = np.random.default_rng(7)


def normal(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def positive(*shape, dtype=np.float32):
    return RNG.uniform(0.1, 3.0, size=shape).astype(dtype)


def ints(lo, hi, *shape, dtype=np.int32):
    return RNG.integers(lo, hi, size=shape).astype(dtype)


CASES = {}


def case(name, f, *args):
    assert name not in CASES, name
    CASES[name] = (f, args)


X, Y, P = normal(4, 6), normal(4, 6), positive(4, 6)
I, U = ints(-9, 9, 4, 6), ints(0, 99, 4, 6, dtype=np.uint8)

for f in ["abs", "ceil", "floor", "round", "trunc", "sign", "exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan",
          "arcsinh", "square", "cbrt", "isnan", "isfinite", "negative", "cumsum", "cumprod", "nan_to_num", "ravel", "flip"]:
    case(f"jnp.{f}", getattr(jnp, f), X)
for f in ["log", "log1p", "log2", "sqrt", "reciprocal"]:
    case(f"jnp.{f}", getattr(jnp, f), P)
for f in ["add", "subtract", "multiply", "divide", "maximum", "minimum", "arctan2", "hypot", "logaddexp", "floor_divide", "mod",
          "equal", "less", "greater_equal", "fmax", "heaviside", "copysign", "nextafter"]:
    case(f"jnp.{f}", getattr(jnp, f), X, Y)
case("jnp.power", jnp.power, P, Y)
for f in ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "floor_divide", "remainder", "gcd"]:
    case(f"jnp.{f} of integers", getattr(jnp, f), I, np.abs(ints(1, 7, 4, 6)))
case("jnp.invert", jnp.invert, I)
for f in ["sum", "mean", "max", "min", "prod", "std", "var", "argmax", "argmin", "median", "all", "any", "ptp", "nanmean"]:
    case(f"jnp.{f}", lambda x, f=f: getattr(jnp, f)(x, axis=1), X)
case("jnp.sort", lambda x: jnp.sort(x, axis=-1), X)
case("jnp.argsort", lambda x: jnp.argsort(x, axis=-1), X)
case("jnp.unique of given size", lambda x: jnp.unique(x, size=5, fill_value=0), ints(0, 4, 12))
case("jnp.quantile", lambda x: jnp.quantile(x, 0.3, axis=0), X)
case("jnp.where", lambda c, x, y: jnp.where(c > 0, x, y), Y, X, P)
case("jnp.take", lambda x, i: jnp.take(x, i, axis=1), X, ints(-6, 6, 5))
case("jnp.take clipped", lambda x, i: jnp.take(x, i, axis=0, mode="clip"), X, ints(-6, 9, 5))
case("jnp.take_along_axis", lambda x, i: jnp.take_along_axis(x, i, axis=1), X, ints(0, 6, 4, 3))
case("indexing", lambda x, i: x[i, 2:5], X, ints(0, 4, 7))
case("indexing two axes", lambda x, i, j: x[i, j], X, ints(0, 4, 7), ints(0, 6, 7))
case("at.set", lambda x, i, y: x.at[i].set(y), X, np.array([2, 0], np.int32), normal(2, 6))
case("at.add", lambda x, i, y: x.at[i, :3].add(y), X, np.array([2, 2], np.int32), normal(2, 3))
case("jnp.concatenate", lambda x, y: jnp.concatenate([x, y], 1), X, Y)
case("jnp.stack", lambda x, y: jnp.stack([x, y], 1), X, Y)
case("jnp.pad", lambda x: jnp.pad(x, ((1, 2), (0, 3)), mode="reflect"), X)
case("jnp.roll", lambda x: jnp.roll(x, 2, axis=1), X)
case("jnp.tile", lambda x: jnp.tile(x, (2, 3)), X)
case("jnp.repeat", lambda x: jnp.repeat(x, 3, axis=0), X)
case("jnp.einsum", lambda a, b: jnp.einsum("bij,bkj->bki", a, b), normal(3, 4, 5), normal(3, 6, 5))
case("jnp.tensordot", lambda a, b: jnp.tensordot(a, b, ([1, 0], [0, 1])), normal(3, 4, 5), normal(4, 3, 6))
case("jnp.matmul", jnp.matmul, normal(2, 1, 4, 5), normal(3, 5, 6))
case("jnp.dot vectors", jnp.dot, normal(5), normal(5))
case("jnp.outer", jnp.outer, normal(5), normal(6))
case("jnp.cross", jnp.cross, normal(4, 3), normal(4, 3))
case("jnp.convolve", jnp.convolve, normal(12), normal(5))
case("jnp.interp", jnp.interp, positive(5), np.arange(4, dtype=np.float32), normal(4))
case("jnp.searchsorted", jnp.searchsorted, np.sort(normal(9)), normal(4))
case("jnp.histogram", lambda x: jnp.histogram(x, bins=5, range=(-2, 2))[0], normal(40))
case("jnp.bincount", lambda x: jnp.bincount(x, length=6), ints(0, 6, 20))
case("jnp.tril", jnp.tril, normal(5, 5))
case("jnp.linspace", lambda x: jnp.linspace(x, 2 * x, 7), X)
case("jnp.polyval", jnp.polyval, normal(4), X)
case("complex", lambda x, y: jnp.abs((x + 1j * y) * jnp.exp(1j * x)), X, Y)
case("complex out", lambda x, y: jnp.real(jnp.conj(x + 1j * y) / (y + 2j)), X, Y)
case("bitcast", lambda x: lax.bitcast_convert_type(x, jnp.int32), X)
case("casts", lambda x: (x.astype(jnp.int8), x.astype(jnp.bfloat16).astype(jnp.float32), x > 0), X)

for f in ["relu", "relu6", "sigmoid", "silu", "softplus", "softmax", "log_softmax", "gelu", "elu", "selu", "celu", "leaky_relu",
          "log_sigmoid", "soft_sign", "hard_tanh", "hard_sigmoid", "hard_swish", "swish", "glu", "mish", "standardize"]:
    case(f"jax.nn.{f}", getattr(jax.nn, f), X)
case("jax.nn.gelu by erf", lambda x: jax.nn.gelu(x, approximate=False), X)
case("jax.nn.logsumexp", lambda x: jax.nn.logsumexp(x, axis=1), X)
case("jax.nn.one_hot", lambda i: jax.nn.one_hot(i, 7), ints(0, 7, 5))
case("jax.nn.dot_product_attention", jax.nn.dot_product_attention, normal(2, 5, 3, 8), normal(2, 7, 3, 8), normal(2, 7, 3, 8))

case("lax.erf", lax.erf, X)
case("lax.erfc", lax.erfc, X)
case("lax.lgamma", lax.lgamma, P)
case("lax.digamma", lax.digamma, P)
case("lax.rsqrt", lax.rsqrt, P)
case("lax.clamp", lambda x: lax.clamp(-0.5, x, 0.5), X)
case("lax.top_k", lambda x: lax.top_k(x, 3), X)
case("lax.population_count", lax.population_count, U)
case("lax.clz", lax.clz, I)
case("lax.dynamic_slice", lambda x, i: lax.dynamic_slice(x, (i, 2), (2, 3)), X, np.int32(1))
case("lax.dynamic_update_slice", lambda x, y, i: lax.dynamic_update_slice(x, y, (i, i)), X, normal(2, 2), np.int32(3))
case("lax.reduce_window", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 3), (1, 2), "SAME"), X)
case("lax.cummax", lambda x: lax.cummax(x, axis=1), X)
case("lax.cumlogsumexp", lambda x: lax.cumlogsumexp(x, axis=1), X)
case("lax.rev", lambda x: lax.rev(x, (0,)), X)
case("lax.sort several", lambda i, x: lax.sort((i, x), num_keys=1), ints(0, 4, 12), normal(12))
case("lax.reduce of pairs", lambda x, y: lax.reduce((x, y), (0.0, 1.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), (1,)), X, P)
case("lax.conv", lambda x, w: lax.conv_general_dilated(x, w, (2, 1), "SAME", rhs_dilation=(1, 2)), normal(2, 3, 9, 8), normal(4, 3, 3, 3))
case("lax.conv grouped", lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", feature_group_count=2,
     dimension_numbers=("NHWC", "HWIO", "NHWC")), normal(2, 7, 7, 4), normal(3, 3, 2, 6))
case("lax.conv_transpose", lambda x, w: lax.conv_transpose(x, w, (2, 2), "SAME"), normal(2, 5, 5, 3), normal(3, 3, 3, 4))
case("lax.cond", lambda p, x: lax.cond(p > 0, lambda x: x * 2, lambda x: jnp.sin(x), x), np.float32(1), X)
case("lax.switch", lambda i, x: lax.switch(i, [jnp.sin, jnp.cos, jnp.tanh], x), np.int32(1), X)
case("lax.fori_loop", lambda x: lax.fori_loop(0, 5, lambda i, v: v * 0.5 + i, x), X)
case("lax.while_loop", lambda x: lax.while_loop(lambda v: jnp.sum(v) < 100, lambda v: v * 1.5 + 1, x), P)
case("lax.scan", lambda c, xs: lax.scan(lambda c, x: (c * 0.9 + x, c.sum()), c, xs), normal(6), X)
case("lax.map", lambda xs: lax.map(lambda x: jnp.outer(x, x), xs), normal(3, 4))
case("lax.associative_scan", lambda x: lax.associative_scan(jnp.add, x, axis=1), X)
case("vmap", lambda x, w: jax.vmap(lambda r: jnp.tanh(w @ r))(x), X, normal(3, 6))
case("grad", jax.grad(lambda x: jnp.sum(jnp.tanh(x) ** 2)), X)
case("grad of max pool", jax.grad(lambda x: jnp.sum(lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") ** 2)), normal(2, 6, 6, 3))
case("grad of conv", jax.grad(lambda w, x: jnp.sum(lax.conv_general_dilated(x, w, (2, 2), "SAME") ** 2), (0, 1)), normal(4, 3, 3, 3), normal(2, 3, 8, 8))
case("grad of sort", jax.grad(lambda x: jnp.sum(jnp.sort(x) * jnp.arange(6.0))), X)
case("grad of take", jax.grad(lambda x, i: jnp.sum(x[i] ** 2)), X, ints(0, 4, 7))
case("jax.random.uniform", lambda k: jax.random.uniform(jax.random.wrap_key_data(k), (5, 3)), np.array([3, 4], np.uint32))
case("jax.random.normal", lambda k: jax.random.normal(jax.random.wrap_key_data(k), (5,)), np.array([3, 4], np.uint32))
case("jax.random.permutation", lambda k: jax.random.permutation(jax.random.wrap_key_data(k), 9), np.array([3, 4], np.uint32))
case("jnp.fft", lambda x: jnp.abs(jnp.fft.fft(x)), X)
case("jnp.linalg.cholesky", lambda x: jnp.linalg.cholesky(x @ x.T + 5 * jnp.eye(4)), X)
case("jnp.linalg.solve", lambda a, b: jnp.linalg.solve(a + 4 * jnp.eye(5), b), normal(5, 5), normal(5, 2))
for d in ["float16", "bfloat16", "float64", "int8", "uint16", "int64"]:
    case(f"{d} arithmetic", lambda x, d=d: (x.astype(d) * 3 + 1).sum(axis=0), ints(-4, 4, 4, 6))

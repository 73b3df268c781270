"""The rest of jax.numpy, jax.lax and jax.nn, every element type, and flax: more cases for `functions`, as tables.

Names that begin with `x64` run with jax_enable_x64, where floats are f64 and integers i64."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from functions import CASES, case, ints, normal, positive

X, Y, P, V = normal(4, 6), normal(4, 6), positive(4, 6), normal(12)
I, J = ints(-9, 9, 4, 6), ints(1, 9, 4, 6)
B, C = X > 0, Y > 0
SMALL = np.tanh(X)


def each(module, prefix, names, *args):
    for name in names.split():
        case(f"{prefix}.{name}", getattr(module, name), *args)


# Elementwise.
each(jnp, "jnp", "absolute fabs rint exp2 log10 signbit sinc deg2rad rad2deg degrees radians positive isinf isneginf isposinf real imag angle "
     "conjugate modf frexp", X)
each(jnp, "jnp", "asin acos atan asinh atanh", SMALL)
case("jnp.acosh", jnp.acosh, P + 1)
each(jnp, "jnp", "atan2 fmin fmod logaddexp2 not_equal greater less_equal true_divide divmod isclose float_power", P, Y)
each(jnp, "jnp", "lcm bitwise_right_shift right_shift", np.abs(I), J)
each(jnp, "jnp", "bitwise_count bitwise_not", np.abs(I))
each(jnp, "jnp", "logical_and logical_or logical_xor", B, C)
case("jnp.logical_not", jnp.logical_not, B)
case("jnp.ldexp", jnp.ldexp, X, ints(-4, 4, 4, 6))
each(lax, "lax", "neg exp2 logistic is_finite tan asin acos atan atanh erf_inv stop_gradient bessel_i0e bessel_i1e", SMALL)
each(lax, "lax", "add sub mul div rem max min pow atan2 nextafter eq ne ge gt le lt", P, np.abs(Y) + 0.5)
each(lax, "lax", "shift_left shift_right_arithmetic shift_right_logical bitwise_and bitwise_or bitwise_xor", np.abs(I), J)
case("lax.integer_pow", lambda x: lax.integer_pow(x, 3), X)
case("lax.igamma", lax.igamma, P, P[::-1].copy())
case("lax.igammac", lax.igammac, P, P[::-1].copy())
case("lax.reduce_precision", lambda x: lax.reduce_precision(x, 5, 7), X)
case("lax.select_n", lambda c, x, y: lax.select_n(c, x, y), B, X, Y)
case("lax.convert_element_type", lambda x: lax.convert_element_type(x, jnp.int16), X)

# Reductions and scans.
each(jnp, "jnp", "amax amin average nansum nanmax nanmin nanprod nanstd nanvar nanargmax nanargmin nancumsum nancumprod count_nonzero "
     "nanmedian cumulative_sum trapezoid", V)
for name in "percentile nanpercentile".split():
    case(f"jnp.{name}", lambda x, f=getattr(jnp, name): f(x, 30.0, axis=0), X)
for name in "reduce_max reduce_min reduce_sum reduce_prod".split():
    case(f"lax.{name}", lambda x, f=getattr(lax, name): f(x, axes=(1,)), X)
for name in "reduce_and reduce_or reduce_xor".split():
    case(f"lax.{name}", lambda x, f=getattr(lax, name): f(x, axes=(0,)), I)
for name in "cummin cumsum cumprod".split():
    case(f"lax.{name} reversed", lambda x, f=getattr(lax, name): f(x, axis=1, reverse=True), X)
case("lax.argmin", lambda x: lax.argmin(x, 1, jnp.int32), X)
case("lax.sort_key_val", lambda k, v: lax.sort_key_val(k, v), ints(0, 99, 12), V)
case("lax.approx_max_k", lambda x: lax.approx_max_k(x, 3), X)
case("lax.approx_min_k along the first axis", lambda x: lax.approx_min_k(x, 2, reduction_dimension=0), X)

# Shapes.
each(jnp, "jnp", "fliplr flipud rot90 transpose matrix_transpose atleast_3d diag diagonal diagflat trace triu tril_indices_from", normal(5, 5))
for name, f in {
    "moveaxis": lambda x: jnp.moveaxis(x, 0, 2), "swapaxes": lambda x: jnp.swapaxes(x, 0, 1), "squeeze": lambda x: jnp.squeeze(x[:, :1], 1),
    "expand_dims": lambda x: jnp.expand_dims(x, (0, 2)), "broadcast_to": lambda x: jnp.broadcast_to(x, (2, *x.shape)),
    "reshape": lambda x: x.reshape(-1, 3), "split": lambda x: jnp.split(x, 3, 1), "array_split": lambda x: jnp.array_split(x, 3, 0),
    "hsplit": lambda x: jnp.hsplit(x, 3), "vsplit": lambda x: jnp.vsplit(x, 1), "unstack": lambda x: jnp.unstack(x, axis=2),
    "delete": lambda x: jnp.delete(x, 1, 0), "insert": lambda x: jnp.insert(x, 1, 7.0, 1), "append": lambda x: jnp.append(x, x, 0),
    "resize": lambda x: jnp.resize(x, (5, 5)), "diff": lambda x: jnp.diff(x, axis=1), "gradient": lambda x: jnp.gradient(x, axis=1),
    "ediff1d": jnp.ediff1d, "select": lambda x: jnp.select([x < 0, x < 1], [-x, x * 2], 9), "piecewise": lambda x: jnp.piecewise(x, [x < 0], [jnp.sin, jnp.cos]),
    "digitize": lambda x: jnp.digitize(x, jnp.array([-1.0, 0, 1])), "meshgrid": lambda x: jnp.meshgrid(x[0, 0], x[1, 1]),
    "kron": lambda x: jnp.kron(x[0], x[1]), "roll": lambda x: jnp.roll(x, (1, 2), (0, 1)), "rollaxis": lambda x: jnp.rollaxis(x, 2),
    "pad edge": lambda x: jnp.pad(x, 1, mode="edge"), "pad wrap": lambda x: jnp.pad(x, 1, mode="wrap"), "pad mean": lambda x: jnp.pad(x, 1, mode="mean"),
    "stack": lambda x: jnp.dstack([x, x]), "hstack": lambda x: jnp.hstack([x, x]), "vstack": lambda x: jnp.vstack([x, x]),
    "block": lambda x: jnp.block([[x[0], x[1]], [x[1], x[0]]]), "lexsort": lambda x: jnp.lexsort((x[0, 0], x[0, 1])),
    "partition": lambda x: jnp.partition(x, 2, axis=-1), "argpartition": lambda x: jnp.argpartition(x, 2, axis=-1),
    "take_along_axis": lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1),
    "put_along_axis": lambda x: jnp.put_along_axis(x, jnp.zeros((2, 1, 4), jnp.int32), 5.0, 1, inplace=False),
    "nonzero": lambda x: jnp.nonzero(x[0] > 0, size=6, fill_value=-1), "argwhere": lambda x: jnp.argwhere(x[0] > 0, size=6),
    "flatnonzero": lambda x: jnp.flatnonzero(x > 0, size=9), "packbits": lambda x: jnp.packbits(x > 0), "tri": lambda x: jnp.tri(3, 4) * x[0],
    "isin": lambda x: jnp.isin(jnp.round(x), jnp.array([0.0, 1])), "unwrap": lambda x: jnp.unwrap(x, axis=1), "clip": lambda x: jnp.clip(x, -1, 1),
    "unravel_index": lambda x: jnp.unravel_index(jnp.arange(6), (2, 3)),
    "cov": lambda x: jnp.cov(x[0]), "corrcoef": lambda x: jnp.corrcoef(x[0]), "correlate": lambda x: jnp.correlate(x[0, 0], x[0, 1]),
    "polymul": lambda x: jnp.polymul(x[0, 0], x[0, 1]), "polyder": lambda x: jnp.polyder(x[0, 0]), "polyint": lambda x: jnp.polyint(x[0, 0]),
    "polyadd": lambda x: jnp.polyadd(x[0, 0], x[0, 1]), "windows": lambda x: x[0] * jnp.hanning(4) + jnp.hamming(4) * jnp.blackman(4) + jnp.bartlett(4) + jnp.kaiser(4, 5.0),
    "inner": lambda x: jnp.inner(x, x), "vdot": lambda x: jnp.vdot(x, x), "vecdot": lambda x: jnp.vecdot(x, x), "matvec": lambda x: jnp.matvec(x, x[0, 0]),
    "histogram2d": lambda x: jnp.histogram2d(x.ravel(), x.ravel(), bins=3, range=((-2, 2), (-2, 2)))[0], "logspace": lambda x: jnp.logspace(0, 2, 5) + x[0, 0, 0],
    "geomspace": lambda x: jnp.geomspace(1.0, 9.0, 5) * x[0, 0, 0], "identity": lambda x: jnp.eye(4) @ x[0].T,
    "apply_along_axis": lambda x: jnp.apply_along_axis(jnp.sort, 1, x), "vectorize": lambda x: jnp.vectorize(lambda a: a @ a, signature="(n)->()")(x),
}.items():
    case(f"shape {name}", f, normal(2, 3, 4))
for name, f in {
    "iota": lambda x: lax.broadcasted_iota(jnp.int32, (3, 4), 1) + x.astype(jnp.int32)[0, 0], "pad": lambda x: lax.pad(x, 0.5, ((1, -1, 2), (0, 2, 1))),
    "slice": lambda x: lax.slice(x, (0, 1), (4, 6), (2, 3)), "collapse": lambda x: lax.collapse(x, 0), "squeeze": lambda x: lax.squeeze(x[:1], (0,)),
    "broadcast_in_dim": lambda x: lax.broadcast_in_dim(x, (4, 2, 6), (0, 2)),
    "dynamic_index_in_dim": lambda x: lax.dynamic_index_in_dim(x, 2, 0), "index_take": lambda x: lax.index_take(x, (jnp.array([0, 3]),), (0,)),
    "batch_matmul": lambda x: lax.batch_matmul(x[None], x.T[None]), "dot_general": lambda x: lax.dot_general(x, x, (((1,), (1,)), ((), ()))),
    "conv_patches": lambda x: lax.conv_general_dilated_patches(x[None, None], (2, 2), (1, 1), "VALID"), "full": lambda x: lax.full_like(x, 3) + x,
    "conv_1d": lambda x: lax.conv(x[None], x[:, None, :3].repeat(4, 1), (1,), "SAME"), "scatter_max": lambda x: x.at[jnp.array([1, 1])].max(9 * x[:2]),
    "scatter_min": lambda x: x.at[:, jnp.array([1, 1])].min(9 * x[:, :2]), "scatter_mul": lambda x: x.at[jnp.array([0, 2])].mul(x[1:3]),
    "scatter_apply": lambda x: x.at[jnp.array([0, 2])].apply(jnp.sin), "gather fill": lambda x: x.at[jnp.array([1, 9])].get(mode="fill", fill_value=7),
    "scatter drop": lambda x: x.at[jnp.array([1, 9])].set(5, mode="drop"), "avg_pool": lambda x: nn.avg_pool(x[None, :, :, None], (2, 2), (2, 2)),
    "cond in scan": lambda x: lax.scan(lambda c, r: (lax.cond(r[0] > 0, jnp.sin, jnp.cos, c), c), x[0], x),
    "scan reversed": lambda x: lax.scan(lambda c, r: (c * 0.5 + r, c + r), x[0], x, reverse=True), "while in scan": lambda x: lax.scan(
        lambda c, r: (lax.while_loop(lambda v: jnp.max(jnp.abs(v)) > 0.5, lambda v: v * 0.5, c + r), c), x[0], x),
    "vmap of scan": lambda x: jax.vmap(lambda r: lax.scan(lambda c, v: (c + v, c * v), 0.0, r))(x), "vmap of cond": lambda x: jax.vmap(
        lambda r: lax.cond(r[0] > 0, jnp.sum, jnp.prod, r))(x), "vmap of while": lambda x: jax.vmap(
        lambda r: lax.while_loop(lambda v: v < 10, lambda v: v * 1.7 + 1, jnp.abs(r)))(x[:, 0]),
    "grad of scan": jax.grad(lambda x: lax.scan(lambda c, r: (jnp.tanh(c + r), c), x[0], x)[0].sum()), "jvp": lambda x: jax.jvp(jnp.tanh, (x,), (x,)),
    "hessian": lambda x: jax.hessian(lambda v: jnp.sum(jnp.tanh(v) ** 3))(x[0]), "jacobian": lambda x: jax.jacobian(jax.nn.softmax)(x[0]),
    "grad of softmax": jax.grad(lambda x: jnp.sum(jax.nn.softmax(x) ** 2)), "grad of norm": jax.grad(lambda x: jnp.linalg.norm(x)),
    "remat": jax.grad(jax.checkpoint(lambda x: jnp.sum(jnp.sin(jnp.sin(x))))), "custom_jvp": jax.grad(lambda x: jax.nn.relu(x).sum()),
    "map batched": lambda x: lax.map(lambda r: r * 2, x, batch_size=2), "switch": lambda x: lax.switch(jnp.argmax(x[0]) % 3, [jnp.sin, jnp.cos, jnp.tanh], x),
}.items():
    case(f"lax {name}", f, X)

# jax.nn.
each(jax.nn, "jax.nn", "hard_silu identity logmeanexp sparse_plus sparse_sigmoid squareplus", X)
case("jax.nn.log1mexp", jax.nn.log1mexp, P)
case("jax.nn.softmax where", lambda x: jax.nn.softmax(x, where=x > -1, axis=-1), X)
case("jax.nn.causal attention", lambda q: jax.nn.dot_product_attention(q, q, q, is_causal=True), normal(2, 6, 4, 8))
case("jax.nn.grouped attention", jax.nn.dot_product_attention, normal(2, 6, 4, 8), normal(2, 6, 2, 8), normal(2, 6, 2, 8))
case("jax.nn.local attention", lambda q: jax.nn.dot_product_attention(q, q, q, local_window_size=2), normal(2, 6, 4, 8))
case("jax.nn.biased attention", lambda q, b: jax.nn.dot_product_attention(q, q, q, bias=b), normal(2, 6, 4, 8), normal(2, 4, 6, 6))
for name in "lecun_normal glorot_uniform he_normal orthogonal".split():
    case(f"jax.nn.initializers.{name}", lambda k, f=getattr(jax.nn.initializers, name): f()(jax.random.wrap_key_data(k), (4, 6)), np.array([3, 4], np.uint32))

# Element types: each kind of program in each type.
PROGRAMS = {
    "elementwise": lambda x: (x * x + x, jnp.maximum(x, 2), -x, jnp.abs(x), jnp.sign(x)), "matmul": lambda x: x @ x.T, "sum": lambda x: x.sum(1),
    "max": lambda x: x.max(0), "cumsum": lambda x: jnp.cumsum(x, 1), "sort": lambda x: jnp.sort(x, 1), "argmax": lambda x: jnp.argmax(x, 1),
    "gather": lambda x: x[jnp.array([2, 0])], "scatter": lambda x: x.at[jnp.array([2, 0])].add(x[:2]), "where": lambda x: jnp.where(x > 1, x, x + x),
    "compare": lambda x: (x < 2, x == x, x >= 1), "pad": lambda x: jnp.pad(x, 1), "to f32": lambda x: x.astype(jnp.float32), "dynamic slice":
    lambda x: lax.dynamic_slice(x, (x[0, 0].astype(jnp.int32), jnp.int32(1)), (2, 2)), "reduce window": lambda x: lax.reduce_window(x, jnp.zeros((), x.dtype), lax.add, (2, 2), (1, 1), "VALID"),
}
FLOATS = {"exp": jnp.exp, "softmax": jax.nn.softmax, "gelu": lambda x: jax.nn.gelu(x, approximate=False), "mean": lambda x: x.mean(1), "var": lambda x: x.var(1),
          "norm": lambda x: x / jnp.sqrt((x * x).mean(1, keepdims=True) + 1), "conv": lambda x: lax.conv(x[None, None], x[None, None, :2, :2], (1, 1), "SAME"),
          "trigonometry": lambda x: (jnp.sin(x), jnp.tanh(x), jnp.log1p(x), jnp.sqrt(x))}
SMALLS = np.abs(ints(0, 4, 4, 6))
for d in "float16 bfloat16 int8 int16 uint8 uint16 uint32".split():
    for name, f in (PROGRAMS | FLOATS if "float" in d else PROGRAMS).items():
        case(f"{d} {name}", f, SMALLS.astype(jnp.dtype(d)))
for name in "where gather sort max argmax compare pad".split():
    case(f"bool {name}", {"where": lambda x: jnp.where(x, 1.0, 2.0), "max": lambda x: (x.any(1), x.all(0)), "compare": lambda x: (x == ~x, x & x, x | x, x ^ x)}.get(name, PROGRAMS[name]), B)
for name in "elementwise matmul sum gather scatter pad cumsum where".split():
    f = {"elementwise": lambda x: (x * x + x, -x, jnp.abs(x), x / (x + 5)), "where": lambda x: jnp.where(x.real > 1, x, x + x)}.get(name, PROGRAMS[name])
    case(f"complex64 {name}", f, (X + 1j * Y).astype(np.complex64))
for d in "float64 int64 uint64".split():
    for name, f in (PROGRAMS | FLOATS if d == "float64" else PROGRAMS).items():
        case(f"x64 {d} {name}", f, SMALLS.astype(d))
for name in "elementwise matmul sum gather".split():
    case(f"x64 complex128 {name}", {"elementwise": lambda x: (x * x + x, -x, jnp.abs(x), jnp.exp(x))}.get(name, PROGRAMS[name]), X + 1j * Y)
for name in "erf erfc erf_inv lgamma digamma".split():
    for d in "float16 bfloat16 float64".split():
        args = (SMALL if name == "erf_inv" else P).astype(jnp.dtype(d))
        case(f"{'x64 ' if d == 'float64' else ''}{d} lax.{name}", getattr(lax, name), args)
case("x64 linear algebra", lambda a: (jnp.linalg.inv(a @ a.T + 6 * jnp.eye(4)), jnp.linalg.cholesky(a @ a.T + 6 * jnp.eye(4))), X.astype(np.float64))
case("x64 random", lambda k: jax.random.normal(jax.random.wrap_key_data(k), (5,)), np.array([3, 4], np.uint32))
case("x64 scan", lambda x: lax.scan(lambda c, r: (c * 0.9 + r, c.sum()), x[0], x), X.astype(np.float64))


# flax.

class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=4)(y, y)
        y = nn.Dense(64)(nn.RMSNorm()(x))
        return x + nn.Dense(x.shape[-1])(nn.gelu(y))


class Convolutions(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(8, (3, 3), strides=2)(x)))
        x = nn.silu(nn.GroupNorm(4)(nn.Conv(8, (3, 3), feature_group_count=8)(x)))
        x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(5)(nn.ConvTranspose(4, (2, 2), strides=(2, 2))(x).mean((1, 2)))


class Recurrent(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.RNN(nn.LSTMCell(8))(x), nn.RNN(nn.GRUCell(8))(x), nn.Embed(11, 6)(jnp.argmax(x, -1))


for name, module, x in [("block", Block(), normal(2, 6, 32)), ("convolutions", Convolutions(), normal(2, 12, 12, 3)), ("recurrent", Recurrent(), normal(2, 5, 6))]:
    weights = jax.tree.map(np.asarray, module.init(jax.random.key(0), x))
    case(f"flax {name}", module.apply, weights, x)
    if name != "recurrent":
        case(f"flax grad of {name}", jax.grad(lambda w, x, m=module: (m.apply(w, x) ** 2).mean()), weights, x)

assert len(CASES) > 500

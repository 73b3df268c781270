"""How JAX writes what ONNX has an op for, and that op: name -> (function, arguments, ONNX model of the same). For tests/jax/twins.py,
which counts the steps of each."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from onnx import TensorProto, helper, numpy_helper

KINDS = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "int64": TensorProto.INT64}


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, np.float32)


def ints(*shape):
    return jax.ShapeDtypeStruct(shape, np.int32)


def onnx(nodes, arguments, results, constants=()):
    """A model of `nodes` on arguments x0, x1, ..; results and constants by name."""
    def info(name, a):
        return helper.make_tensor_value_info(name, KINDS[np.dtype(a.dtype).name], a.shape)
    inputs = [info(f"x{i}", a) for i, a in enumerate(arguments)]
    outputs = [info(n, a) for n, a in results.items()]
    weights = [numpy_helper.from_array(np.asarray(v), n) for n, v in dict(constants).items()]
    graph = helper.make_graph([helper.make_node(op, i, o, **a) for op, i, o, a in nodes], "twin", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10)


CASES = {}


def case(name, f, arguments, nodes, constants=(), results=("y",), feed=None):
    """`feed` are the ONNX model's arguments where they are laid out otherwise. Types of its results are those of the function."""
    types = jax.tree.leaves(jax.eval_shape(f, *arguments)) if feed is None else feed[1]
    CASES[name] = (f, arguments, onnx(nodes, arguments if feed is None else feed[0], dict(zip(results, types)), constants))


def single(name, f, arguments, op, constants=(), **attributes):
    inputs = [f"x{i}" for i in range(len(arguments))] + list(dict(constants))
    case(name, f, arguments, [(op, inputs, ["y"], attributes)], constants)


def rms_norm(x, g):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * g


def layer_norm(x, g, b):
    m, v = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
    return (x - m) * lax.rsqrt(v + 1e-5) * g + b


def rotary(x, c, s):
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * c - b * s, b * c + a * s], -1)


def causal(q, k, v):
    at = jnp.arange(q.shape[1])
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 8
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(jnp.where(at[:, None] >= at, s, -1e9), -1), v)


def swiglu(x, gate, up, down):
    return (jax.nn.silu(x @ gate) * (x @ up)) @ down


X, W, B = floats(8, 96), floats(96, 96), floats(96)
ROWS, AT, HEADS = floats(100, 64), ints(8), floats(1, 16, 4, 64)

single("softmax", jax.nn.softmax, [X], "Softmax")
single("log_softmax", jax.nn.log_softmax, [X], "LogSoftmax")
single("logsumexp", lambda x: jax.nn.logsumexp(x, -1), [X], "ReduceLogSumExp", {"axes": np.array([1])}, keepdims=0)
single("layer norm", layer_norm, [floats(2, 8, 96), B, B], "LayerNormalization")
single("rms norm", rms_norm, [floats(2, 8, 96), B], "RMSNormalization")
single("erf", lax.erf, [X], "Erf")
single("gelu by erf", lambda x: jax.nn.gelu(x, approximate=False), [X], "Gelu")
single("gelu by tanh", jax.nn.gelu, [X], "Gelu", approximate="tanh")
single("silu", jax.nn.silu, [X], "Swish")
single("one_hot", lambda i: jax.nn.one_hot(i, 10), [AT], "OneHot", {"depth": np.array([10]), "values": np.array([0, 1], np.float32)})
single("take, filling", lambda x, i: jnp.take(x, i, axis=0), [ROWS, AT], "Gather")
single("take, clipping", lambda x, i: jnp.take(x, i, axis=0, mode="clip"), [ROWS, AT], "Gather")
single("indexing", lambda x, i: x[i], [ROWS, AT], "Gather")
single("take_along_axis", lambda x, i: jnp.take_along_axis(x, i, axis=1), [X, ints(8, 3)], "GatherElements", axis=1)
case("top_k", lambda x: lax.top_k(x, 5), [X], [("TopK", ["x0", "k"], ["v", "j"], {}), ("Cast", ["j"], ["i"], {"to": TensorProto.INT32})],
     {"k": np.array([5])}, ("v", "i"))
case("linear and gelu by erf", lambda x, w, b: jax.nn.gelu(x @ w + b, approximate=False), [X, W, B],
     [("Gemm", ["x0", "x1", "x2"], ["h"], {}), ("Gelu", ["h"], ["y"], {})])
case("swiglu", swiglu, [X, W, W, W],
     [("MatMul", ["x0", "x1"], ["g"], {}), ("Swish", ["g"], ["s"], {}), ("MatMul", ["x0", "x2"], ["u"], {}),
      ("Mul", ["s", "u"], ["h"], {}), ("MatMul", ["h", "x3"], ["y"], {})])
case("rotary embedding", rotary, [HEADS, floats(16, 1, 32), floats(16, 1, 32)], [("RotaryEmbedding", ["x0", "x1", "x2"], ["y"], {})],
     feed=([floats(1, 4, 16, 64), floats(1, 16, 32), floats(1, 16, 32)], [floats(1, 4, 16, 64)]))
for name, f, attributes in [("attention", jax.nn.dot_product_attention, {}), ("causal attention, mask of iota", causal, {"is_causal": 1}),
                            ("causal attention", lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True), {"is_causal": 1})]:
    heads_first = [("Transpose", [f"x{i}"], [n], {"perm": [0, 2, 1, 3]}) for i, n in enumerate("qkv")]
    case(name, f, [HEADS] * 3, [*heads_first, ("Attention", [*"qkv"], ["a"], attributes), ("Transpose", ["a"], ["y"], {"perm": [0, 2, 1, 3]})])
# Functions that ONNX has no op for: only the two forms of JAX are compared.
for name in ["erfc", "erf_inv", "lgamma", "digamma"]:
    CASES[name] = (getattr(lax, name), [X], None)

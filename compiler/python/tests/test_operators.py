"""Operators that ONNX's own tests cover thinly, on random data: the compiled model against onnxruntime, and against the evaluator."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from conftest import node_model
from onnx import TensorProto, helper

import beiming

FLOAT, DOUBLE, UINT8, INT32, INT64, BOOL = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL,
)


def hold(op, inputs, outputs, opset=21, tolerance=1e-5, open_axes=(), **attributes):
    """Compiles one node and compares all outputs; `inputs` are arrays by name, `outputs` (name, type, rank). The axes `(input, axis)` of
    `open_axes` are compiled for a range."""
    shapes = {n: list(a.shape) for n, a in inputs.items()}
    for name, axis in open_axes:
        shapes[name][axis] = f"{name}{axis}"
    given = [(n, helper.np_dtype_to_tensor_dtype(a.dtype), shapes[n]) for n, a in inputs.items()]
    model = node_model(op, given, [(n, t, [None] * r) for n, t, r in outputs], opset=opset, **attributes)
    want = onnxruntime.InferenceSession(model.SerializeToString()).run(None, inputs)
    dims = {f"{n}{a}": (1, 64) for n, a in open_axes}
    got = beiming.compile(model, dims=dims).module().run_list(None, inputs)
    for (name, *_), g, w in zip(outputs, got, want):
        assert g.dtype == w.dtype and g.shape == w.shape, (name, g.dtype, g.shape, w.dtype, w.shape)
        np.testing.assert_allclose(g.astype(float), w.astype(float), rtol=tolerance, atol=tolerance, err_msg=name)
    found = beiming.compare(model, inputs, against="eval", dims=dims)
    assert found.agrees, str(found)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "shape, attributes",
    [
        ((2, 3, 9, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((2, 3, 9, 8), {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1}),
        ((1, 2, 9, 8), {"kernel_shape": [3, 2], "dilations": [2, 3], "storage_order": 1}),
        ((1, 2, 11), {"kernel_shape": [4], "strides": [3], "auto_pad": "SAME_UPPER"}),
        ((1, 2, 5, 6, 7), {"kernel_shape": [2, 3, 2], "strides": [1, 2, 2], "pads": [1, 0, 0, 0, 1, 1]}),
    ],
)
def test_positions_of_maxima(shape, attributes):
    rank = len(shape)
    # Few values: equal ones are many, and the first of them counts.
    x = rng().integers(-3, 3, shape).astype(np.float32)
    hold("MaxPool", {"x": x}, [("y", FLOAT, rank), ("at", INT64, rank)], **attributes)
    hold("MaxPool", {"x": -1 - np.abs(x)}, [("y", FLOAT, rank), ("at", INT64, rank)], **attributes)
    hold("MaxPool", {"x": (x + 3).astype(np.uint8)}, [("y", UINT8, rank), ("at", INT64, rank)], **attributes)


def test_positions_of_maxima_in_an_open_batch():
    x = rng().standard_normal((4, 2, 8, 8)).astype(np.float32)
    hold("MaxPool", {"x": x}, [("y", FLOAT, 4), ("at", INT64, 4)], open_axes=[("x", 0), ("x", 3)], kernel_shape=[2, 2], strides=[2, 2])


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    "shape, axis, dtype",
    [
        ((40,), None, np.int64),
        ((5, 6), None, np.float32),
        ((30, 2), 0, np.float32),
        ((3, 25), 1, np.int64),
        ((4, 20, 2), -2, np.int8),
        ((0,), None, np.float32),
        ((17,), 0, np.float64),
    ],
)
def test_distinct_elements(shape, axis, dtype, order):
    x = rng().integers(-2, 3, shape).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    rank = 1 if axis is None else len(shape)
    outputs = [("y", kind, rank), ("first", INT64, 1), ("which", INT64, 1), ("count", INT64, 1)]
    given = {} if axis is None else {"axis": axis}
    hold("Unique", {"x": x}, outputs, sorted=order, **given)
    if shape[0]:
        hold("Unique", {"x": x}, outputs, sorted=order, open_axes=[("x", 0)], **given)


def test_distinct_elements_of_other_types():
    x = np.float32([np.nan, 2, np.nan, -0.0, 0.0, np.inf, -np.inf, 2])
    model = node_model("Unique", [("x", FLOAT, (8,))], [("y", FLOAT, (None,)), ("first", INT64, (None,))])
    y, first = beiming.compile(model).module()(x)
    np.testing.assert_array_equal(y, [-np.inf, 0, 2, np.inf, np.nan])
    np.testing.assert_array_equal(first, [6, 3, 1, 5, 0])
    model = node_model("Unique", [("x", BOOL, (5,))], [("y", BOOL, (None,))])
    np.testing.assert_array_equal(beiming.compile(model).module()(np.array([True, False, True, True, False])), [False, True])


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 1, 3])
@pytest.mark.parametrize("transform", ["half_pixel", "output_half_pixel"])
def test_regions(mode, ratio, transform):
    r = rng()
    x = r.standard_normal((2, 3, 12, 10)).astype(np.float32)
    corner = r.uniform(-3, 16, (7, 2))
    rois = np.concatenate([corner, corner + r.uniform(0.1, 14, (7, 2))], axis=1).astype(np.float32)
    images = r.integers(0, 2, 7)
    attributes = {"mode": mode, "sampling_ratio": ratio, "output_height": 3, "output_width": 4, "spatial_scale": 0.7}
    given = {"x": x, "rois": rois, "images": images}
    hold("RoiAlign", given, [("y", FLOAT, 4)], coordinate_transformation_mode=transform, **attributes)
    if transform == "half_pixel":
        hold("RoiAlign", given, [("y", FLOAT, 4)], open_axes=[("rois", 0), ("images", 0)], **attributes)


@pytest.mark.parametrize(
    "group, moved, bias, mask, attributes",
    [
        (1, 1, False, False, {"pads": [1, 1, 1, 1]}),
        (2, 1, True, False, {"strides": [2, 1]}),
        (1, 2, True, True, {"dilations": [2, 1], "pads": [2, 0, 1, 1]}),
        (2, 4, False, True, {"pads": [0, 1, 2, 3], "strides": [3, 2]}),
    ],
)
def test_convolutions_with_moved_taps(group, moved, bias, mask, attributes):
    r = rng()
    x = r.standard_normal((2, 4, 9, 8)).astype(np.float32)
    w = r.standard_normal((6, 4 // group, 3, 2)).astype(np.float32)
    pads, strides, dilations = (attributes.get(k, d) for k, d in (("pads", [0] * 4), ("strides", [1, 1]), ("dilations", [1, 1])))
    size = [(x.shape[2 + a] + pads[a] + pads[2 + a] - (w.shape[2 + a] - 1) * dilations[a] - 1) // strides[a] + 1 for a in range(2)]
    given = {"x": x, "w": w, "offset": (r.standard_normal((2, 12 * moved, *size)) * 2).astype(np.float32)}
    if bias or mask:
        given["b"] = r.standard_normal(6).astype(np.float32) if bias else np.zeros(6, np.float32)
    if mask:
        given["mask"] = r.uniform(0, 1, (2, 6 * moved, *size)).astype(np.float32)
    hold("DeformConv", given, [("y", FLOAT, 4)], opset=22, tolerance=1e-4, group=group, offset_group=moved, **attributes)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("lengths, skips", [((1, 1), 0), ((2, 2), 0), ((1, 3), 2), ((2, 3), 7)])
def test_n_grams(mode, lengths, skips):
    attributes = {
        "mode": mode,
        "min_gram_length": lengths[0],
        "max_gram_length": lengths[1],
        "max_skip_count": skips,
        "pool_int64s": [2, 3, 0, 1, 2, 2, 0, 3, 1, 0, 0, 2],
        "ngram_counts": [0, 2, 6],
        "ngram_indexes": [3, 1, 0, 5, 4, 2],
        "weights": [0.5, 1.5, 2.0, 2.5, 3.0, 1.0],
    }
    for shape in [(12,), (3, 9), (2, 2)]:
        x = rng().integers(0, 4, shape)
        hold("TfIdfVectorizer", {"x": x}, [("y", FLOAT, len(shape))], **attributes)
        hold("TfIdfVectorizer", {"x": x.astype(np.int32)}, [("y", FLOAT, len(shape))], **attributes)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 2, 2), (2, 3, 7, 7)])
def test_determinants(shape):
    x = rng().standard_normal(shape).astype(np.float32)
    rank = len(shape) - 2
    hold("Det", {"x": x}, [("y", FLOAT, rank)], tolerance=1e-3)
    # Of no full rank, and with nothing on the diagonal.
    x[..., -1, :] = x[..., 0, :]
    hold("Det", {"x": np.zeros(shape, np.float32)}, [("y", FLOAT, rank)])
    for i in range(shape[-1]):
        x[..., i, i] = 0
    hold("Det", {"x": x}, [("y", FLOAT, rank)], tolerance=1e-3)


def test_random_numbers_are_those_of_the_reference():
    from onnx.reference import ReferenceEvaluator

    cases = [
        ("RandomUniform", [], {"shape": [3, 5], "low": -1.0, "high": 4.0, "seed": 7.0}),
        ("RandomNormal", [], {"shape": [2, 9], "mean": 1.0, "scale": 2.0, "seed": 3.0, "dtype": DOUBLE}),
        ("RandomUniformLike", [("x", FLOAT, (4, 2))], {"seed": 1.0}),
        ("RandomNormalLike", [("x", FLOAT, (4, 2))], {"seed": 2.0, "dtype": DOUBLE}),
    ]
    for op, inputs, attributes in cases:
        model = node_model(op, inputs, [("y", attributes.get("dtype", FLOAT), None)], **attributes)
        x = [np.zeros((4, 2), np.float32)] * len(inputs)
        want = ReferenceEvaluator(model).run(None, dict(zip("x", x)))[0]
        np.testing.assert_allclose(beiming.compile(model).module()(*x), want, rtol=1e-6, atol=1e-6)


def test_random_choices_are_as_likely_as_they_are_said_to_be():
    p = np.linspace(0, 1, 5, dtype=np.float32).repeat(2000).reshape(5, 2000)
    model = node_model("Bernoulli", [("x", FLOAT, p.shape)], [("y", INT32, p.shape)], dtype=INT32)
    module = beiming.compile(model).module()
    y = module(p)
    assert set(np.unique(y)) == {0, 1}
    np.testing.assert_allclose(y.mean(axis=1), p[:, 0], atol=0.05)
    # A compiled model is a function.
    np.testing.assert_array_equal(y, module(p))
    weights = np.float32([[0.1, 0.2, 0.7], [0.5, 0.0, 0.5]])
    with np.errstate(divide="ignore"):
        logs = np.log(weights) + 3
    model = node_model("Multinomial", [("x", FLOAT, (2, 3))], [("y", INT64, (2, 5000))], dtype=INT64, sample_size=5000, seed=5.0)
    y = beiming.compile(model).module()(logs)
    assert y.dtype == np.int64
    np.testing.assert_allclose([np.bincount(r, minlength=3) / 5000 for r in y], weights, atol=0.05)
    with pytest.raises(beiming.UnsupportedOpsError, match="a shape that is not known"):
        beiming.compile(node_model("RandomUniformLike", [("x", FLOAT, ("N", 2))], [("y", FLOAT, ("N", 2))]), dims={"N": (1, 9)})

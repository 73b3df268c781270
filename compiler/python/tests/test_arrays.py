"""Arrays in and out: every layout and kind, and what is copied."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from conftest import identity, node_model
from onnx import TensorProto

import beiming


def expected(x):
    return np.maximum(np.asarray(x, np.float32), 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: x[:0],
        lambda x: x.astype(">f4"),
        lambda x: np.broadcast_to(x[0], x.shape),
        lambda x: memoryview(x),
        lambda x: x.tolist(),
    ],
    ids=["dense", "fortran", "strided rows", "strided columns", "reversed", "empty", "swapped", "broadcast", "memoryview", "list"],
)
def test_layouts(module, data, make):
    given = make(data)
    got = module(given)
    assert got.dtype == np.float32 and got.flags.c_contiguous and got.flags.writeable
    np.testing.assert_array_equal(got, expected(given))


def test_read_only_and_unaligned(module, data):
    data.setflags(write=False)
    np.testing.assert_array_equal(module(data), expected(data))
    raw = np.zeros(data.nbytes + 1, np.uint8)
    odd = raw[1:].view(np.float32).reshape(data.shape)
    odd[...] = data
    np.testing.assert_array_equal(module(odd), expected(data))


NUMPY = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.BFLOAT16: ml_dtypes.bfloat16,
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int32,
    TensorProto.INT16: np.int16,
    TensorProto.INT8: np.int8,
    TensorProto.UINT64: np.uint64,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT8: np.uint8,
    TensorProto.BOOL: np.bool_,
    TensorProto.FLOAT8E4M3FN: ml_dtypes.float8_e4m3fn,
    TensorProto.FLOAT8E5M2: ml_dtypes.float8_e5m2,
}


@pytest.mark.parametrize("kind", NUMPY, ids=lambda k: TensorProto.DataType.Name(k))
def test_every_element_type_passes(kind):
    x = np.array([0, 1, 1, 0, 1, 0]).astype(NUMPY[kind]).reshape(2, 3)
    got = beiming.compile(identity((2, 3), kind), progress=False).module(threads=1)(x)
    assert got.dtype == x.dtype
    assert got.tobytes() == x.tobytes()
    # A copy, strided: user types go the slow way too.
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    assert beiming.compile(identity((2, 3), kind)).module(threads=1)(wide).tobytes() == x.tobytes()


def test_scalars():
    m = beiming.compile(node_model("Add", [("a", 1, ()), ("b", 1, ())], [("y", 1, ())])).module()
    got = m(1.5, b=2)
    assert got.shape == () and got == 3.5


def test_results_live_longer_than_the_module(data):
    m = beiming.compile(identity((4, 3), TensorProto.FLOAT)).module()
    y = m(data)
    z = m(data + 1)
    del m
    np.testing.assert_array_equal(y, data)
    np.testing.assert_array_equal(z, data + 1)


def test_preallocated(module, data):
    y = np.full(data.shape, np.nan, np.float32)
    assert module.run({"x": data}, out={"y": y})["y"] is y
    np.testing.assert_array_equal(y, expected(data))
    for bad in (y[:2], y.astype(np.float64), np.asfortranarray(y), y.reshape(12)):
        with pytest.raises(beiming.ShapeError) as e:
            module.run({"x": data}, out={"y": bad})
        assert e.value.output == "y"
    with pytest.raises(beiming.ShapeError, match="an input's"):
        module.run({"x": data}, out={"y": data})
    y.setflags(write=False)
    with pytest.raises(beiming.ShapeError, match="read-only"):
        module.run({"x": data}, out={"y": y})


def test_dlpack_without_a_copy(module, data):
    t = beiming.compile(identity((4, 3), TensorProto.FLOAT)).module()
    got = t(data)
    # numpy's view of a result has the result as its base.
    assert isinstance(got.base, beiming.Tensor)
    again = np.from_dlpack(got.base)
    assert again.ctypes.data == got.ctypes.data
    assert np.asarray(got.base).ctypes.data == got.ctypes.data
    assert got.ctypes.data % 64 == 0


def test_what_is_refused(module, data):
    cases = [
        (lambda: module(data.astype(np.float64)), beiming.InputError, "float64"),
        (lambda: module(np.array(["a"])), beiming.InputError, "no tensor's"),
        (lambda: module(), beiming.InputError, "missing"),
        (lambda: module(data, x=data), beiming.InputError, "by name"),
        (lambda: module(x=data, z=data), beiming.InputError, "no input of this name"),
        (lambda: module(data, data), TypeError, "takes 1"),
        (lambda: module(data[:, :2]), beiming.ShapeError, "axis 1 is 2"),
        (lambda: module(data[0]), beiming.ShapeError, "number of axes"),
        (lambda: module(np.zeros((5000, 3), np.float32)), beiming.ShapeError, "0 to 4096"),
    ]
    for call, kind, words in cases:
        with pytest.raises(kind, match=words):
            call()
    with pytest.raises(beiming.ShapeError) as e:
        module(data[0])
    assert e.value.input == "x"


def test_an_onnx_model_with_data_dependent_shape():
    m = beiming.compile(node_model("NonZero", [("x", 1, (6,))], [("y", TensorProto.INT64, (1, "K"))])).module()
    np.testing.assert_array_equal(m(np.float32([0, 1, 0, 2, 0, 3])), [[1, 3, 5]])
    assert m(np.zeros(6, np.float32)).shape == (1, 0)
    assert onnx.__version__

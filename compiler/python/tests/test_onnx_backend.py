"""The ONNX project's own backend tests, and the page that says what became of them."""

from __future__ import annotations

import difflib

import onnx
import onnx_backend
import pytest


@pytest.fixture(scope="module")
def results() -> dict[str, tuple[str, str]]:
    return onnx_backend.run()


@pytest.mark.slow
def test_nothing_is_wrong(results):
    assert len(results) > 1500
    assert not {n: r for n, (k, r) in results.items() if k == "wrong"}


@pytest.mark.slow
def test_the_page_is_what_is_seen(results):
    if f"onnx {onnx.__version__} " not in onnx_backend.PUBLISHED.read_text():
        pytest.skip(f"the page is of another onnx than {onnx.__version__}")
    want, got = onnx_backend.PUBLISHED.read_text().splitlines(), onnx_backend.page(results).splitlines()
    assert want == got, "\n".join(difflib.unified_diff(want, got, lineterm="", n=0))


def test_inputs_that_decide_shapes_become_constants():
    import numpy as np
    from conftest import node_model

    from beiming.backend import Backend

    model = node_model("ReduceSum", [("x", 1, (2, 3)), ("axes", 7, (1,))], [("y", 1, ("A", "B"))])
    rep = Backend.prepare(model)
    assert rep.constants == ["axes"] and rep.module is None
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for axis in (0, 1, 0):
        np.testing.assert_array_equal(rep.run([x, np.int64([axis])])[0], x.sum(axis, keepdims=True))
    # A shape that the run reads needs no constant.
    model = node_model("Reshape", [("x", 1, (2, 3)), ("shape", 7, (2,))], [("y", 1, ("A", "B"))])
    rep = Backend.prepare(model)
    assert rep.constants == []
    for shape in ([3, 2], [6, 1], [-1, 2]):
        np.testing.assert_array_equal(rep.run([x, np.int64(shape)])[0], x.reshape(shape))
    assert Backend.supports_device("CPU") and not Backend.supports_device("CUDA")

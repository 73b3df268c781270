"""Models beside a reference: results, values between the ops, the first op that is wrong."""

from __future__ import annotations

import signal

import numpy as np
import onnx
import pytest
from conftest import MODELS, interrupted
from onnx import TensorProto, helper

import beiming


def network() -> onnx.ModelProto:
    """x -> Relu -> MatMul -> Tanh -> Softmax -> y, and a second result z."""
    rng = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(rng.standard_normal((6, 5), np.float32), "w")
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="n0"),
        helper.make_node("MatMul", ["a", "w"], ["m"], name="n1"),
        helper.make_node("Tanh", ["m"], ["t"], name="n2"),
        helper.make_node("Softmax", ["t"], ["y"], name="n3"),
        helper.make_node("Abs", ["m"], ["z"], name="n4"),
    ]
    value = helper.make_tensor_value_info
    outputs = [value("y", TensorProto.FLOAT, (4, 5)), value("z", TensorProto.FLOAT, (4, 5))]
    graph = helper.make_graph(nodes, "network", [value("x", TensorProto.FLOAT, (4, 6))], outputs, [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((4, 6), np.float32)


def values(x: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime computes of the network."""
    import onnxruntime

    model = network()
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in "amt")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x})))


@pytest.mark.parametrize("against", ["onnxruntime", "eval", None])
def test_a_right_model_agrees(x, against):
    found = beiming.compare(network(), {"x": x}, against=against, layers=True)
    assert found.agrees and found.first is None and [r.value for r in found.results] == ["y", "z"]
    assert found.against == (against or "onnxruntime") and found.kernels[0] == found.kernels[1] > 0
    assert all(v.agrees and v.kernel for v in found.layers), str(found)
    unfused = beiming.compare(network(), [x], against=against, unfused=True)
    assert [v.op.name for v in unfused.layers if v.op] == ["n0", "n1", "n2", "n3", "n4"]
    assert "all values agree" in str(found) and "<table>" in found._repr_html_()
    bisected = beiming.bisect(network(), [x], against=against)
    assert bisected.agrees and bisected.op is None and bisected.model is None and "agree" in str(bisected)


def test_a_wrong_value_is_found(x, tmp_path):
    wrong = values(x)
    wrong["t"] = wrong["t"].copy()
    wrong["t"][2, 3] += 0.5
    # What is computed from it follows; everything else is right.
    wrong["y"] = np.exp(wrong["t"]) / np.exp(wrong["t"]).sum(1, keepdims=True)
    found = beiming.compare(network(), {"x": x}, against=wrong, unfused=True)
    at = found.first
    assert not found.agrees and at is not None and at.value == "t" and at.op is not None and at.op.type == "Tanh"
    assert at.different == 1 and at.first is not None and at.first[0] == (2, 3)
    bisected = beiming.bisect(network(), {"x": x}, against=wrong, output=tmp_path / "wrong")
    assert [o.type for o in bisected.ops] == ["Tanh"] and bisected.op is not None and bisected.op.name == "n2"
    assert not bisected.agrees and "Tanh" in str(bisected) and bisected.runs >= 2 and bisected.skipped == 0
    # What is written is a model with its inputs, which still shows it.
    assert bisected.model == str(tmp_path / "wrong.onnx") and bisected.inputs == str(tmp_path / "wrong.npz")
    alone = onnx.load(bisected.model)
    assert [n.op_type for n in alone.graph.node] == ["Tanh"]
    feed = dict(np.load(bisected.inputs))
    again = beiming.bisect(bisected.model, feed, against={"t": wrong["t"]}, output=tmp_path / "again")
    assert [o.type for o in again.ops] == ["Tanh"]
    assert beiming.bisect(bisected.model, feed).agrees


def test_the_tolerance_counts(x, tmp_path):
    # Nothing is bit for bit what onnxruntime has, and everything is within a large tolerance.
    exact = beiming.bisect(network(), [x], tolerance=0, output=tmp_path / "exact")
    assert exact.op is not None and exact.op.type in ("MatMul", "Tanh", "Softmax")
    wrong = {"y": np.zeros((4, 5), np.float32)}
    assert not beiming.compare(network(), [x], against=wrong).agrees
    assert beiming.compare(network(), [x], against=wrong, tolerance=(0, 1)).results[0].agrees


def test_random_inputs_are_the_same_again():
    a, b = (beiming.compare(network(), seed=7, layers=True) for _ in range(2))
    assert a == b and a.agrees
    assert str(beiming.compare(network(), seed=8, layers=True)) != ""


def test_what_is_refused(x):
    for call, kind, words in [
        (lambda: beiming.compare(network(), {}), beiming.InputError, "missing"),
        (lambda: beiming.compare(network(), [x, x]), beiming.InputError, "takes 1 inputs, 2"),
        (lambda: beiming.compare(network(), [x.astype(np.float64)]), beiming.InputError, "float64"),
        (lambda: beiming.compare(network(), [x], against="jax"), ValueError, "lower"),
        (lambda: beiming.compare(network(), [x], against="nothing"), ValueError, "onnxruntime"),
        (lambda: beiming.compare(network(), [x], sharpness=3), TypeError, "sharpness"),
        (lambda: beiming.bisect(b"\xff" * 40, [x]), beiming.ModelError, "ONNX"),
        (lambda: beiming.compare(network(), [x[:2]]), beiming.ShapeError, "4, 6"),
    ]:
        with pytest.raises(kind, match=words):
            call()


def test_a_reference_that_fails_says_so(x):
    class Broken(dict):
        def items(self):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        beiming.compare(network(), [x], against=Broken())


def test_jax_objects():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def f(tree, unused, b):
        h = jnp.tanh(tree["k"] @ b)
        return {"h": h, "again": h, "sum": h.sum()}

    args = ({"k": jnp.ones((2, 3))}, jnp.ones(7), jnp.arange(12.0).reshape(3, 4) / 9)
    for model in (jax.jit(f).lower(*args), jax.export.export(jax.jit(f))(*args)):
        found = beiming.compare(model, args, layers=True)
        assert found.against == "jax" and found.agrees and found.results and found.layers, str(found)
        assert beiming.compare(model, args, against="eval").agrees
        assert beiming.bisect(model, args).agrees
        # By the module's own names.
        ports = beiming.compile(model, progress=False).inputs
        assert beiming.compare(model, dict(zip((p.name for p in ports), (args[0]["k"], args[2])))).agrees
        assert beiming.compare(model, seed=3).agrees


@pytest.mark.slow
def test_a_real_model():
    path = MODELS / "ppocr_cls.onnx"
    if not path.exists():
        pytest.skip("the package models are not collected")
    found = beiming.compare(path, layers=True, shapes={"x": (1, 3, 48, 192)})
    assert found.agrees and len(found.layers) > 20, str(found)
    assert beiming.bisect(path, shapes={"x": (1, 3, 48, 192)}).agrees


@pytest.mark.slow
def test_ctrl_c_stops_a_search():
    path = MODELS / "ppocr_rec.onnx"
    if not path.exists():
        pytest.skip("the package models are not collected")
    code = f"import beiming; print('go', flush=True); beiming.bisect({str(path)!r}, against='eval', shapes={{'x': (1, 3, 48, 320)}})"
    err, status = interrupted(code, 1)
    assert "KeyboardInterrupt" in err and status in (1, -signal.SIGINT, 130)

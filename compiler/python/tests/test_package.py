"""Compiling, artifacts, errors, threads, memory, the look-alike."""

from __future__ import annotations

import asyncio
import doctest
import gc
import importlib
import inspect
import json
import os
import pathlib
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
from conftest import MODELS, interrupted, node_model, relu
from onnx import helper

import beiming

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize(
    "name", ["", "_artifact", "_compile", "_debug", "_jax", "_module", "_profile", "_torch", "_types", "backend", "exceptions", "session"]
)
def test_examples(name):
    m = importlib.import_module("beiming" + ("." + name if name else ""))
    found = doctest.testmod(m, extraglobs={"beiming": beiming, "example_model": relu, "Artifact": beiming.Artifact})
    assert found.failed == 0


def test_artifacts(tmp_path):
    a = beiming.compile(relu(), target="kunpeng920")
    assert a.target == "kunpeng920" and a.summary["kernels"] == 1 and a.report["groups"] and a.nbytes > 0
    path = tmp_path / "m.bmg"
    a.save(path)
    assert os.listdir(tmp_path) == ["m.bmg"] and path.read_bytes() == a.to_bytes()
    again = beiming.Artifact.load(path)
    assert again.to_bytes() == a.to_bytes() and again.kernels == a.kernels
    assert pickle.loads(pickle.dumps(a)).to_bytes() == a.to_bytes()
    # The same model gives the same bytes, from memory and from a file.
    onnx.save(relu(), tmp_path / "relu.onnx")
    assert beiming.compile(tmp_path / "relu.onnx", "kunpeng920", output=tmp_path / "n.bmg").to_bytes() == a.to_bytes()
    with pytest.raises(beiming.TargetError) as e:
        a.module()
    assert e.value.target == "kunpeng920"
    broken = bytearray(a.to_bytes())
    broken[-9] ^= 1
    with pytest.raises(beiming.ArtifactError):
        beiming.load(bytes(broken))
    path.write_bytes(bytes(broken))
    with pytest.raises(beiming.ArtifactError) as f:
        beiming.load(path)
    assert f.value.path == str(path)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(beiming.compile(relu()).module())


def test_options():
    model = node_model("MatMul", [("a", 1, ("M", "K")), ("b", 1, ("K", 4))], [("y", 1, ("M", 4))])
    a = beiming.compile(model, shapes={"a": ("M", 8)}, dims={"M": (1, 16)}, exact=True, opt_level=1, reuse_memory=False, threads=1)
    assert [p.shape for p in a.inputs] == [("M", 8), (8, 4)]
    x, y = np.ones((5, 8), np.float32), np.ones((8, 4), np.float32)
    np.testing.assert_array_equal(a.module()(x, y), x @ y)
    fixed = beiming.compile(model, dims={"M": 2, "K": 3}, values={"b": np.arange(12)})
    assert [p.name for p in fixed.inputs] == ["a"]
    want = np.ones((2, 3), np.float32) @ np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(fixed.module()(np.ones((2, 3), np.float32)), want)
    for bad in ({"shapes": {"q": (1,)}}, {"dims": {"M": (4, 1)}}, {"dims": {"M": -2}}, {"opt_level": 9}, {"shapes": {"a": ("(",)}}):
        with pytest.raises(ValueError):
            beiming.compile(model, **bad)
    with pytest.raises(TypeError):
        beiming.compile(3)


def test_weights_functions_and_subnormal_numbers(tmp_path):
    model = node_model("MatMul", [("a", 1, (2, 3)), ("w", 1, (3, 4))], [("y", 1, (2, 4))])
    a, w = np.ones((2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez(tmp_path / "w.npz", w=w)
    for given in ({"w": w}, {"w": np.asfortranarray(w)}, tmp_path / "w.npz"):
        bound = beiming.compile(model, bind=given)
        assert [p.name for p in bound.inputs] == ["a"]
        np.testing.assert_array_equal(bound.module()(a), a @ w)
    with pytest.raises(beiming.OptionError):
        beiming.compile(model, bind={"nothing": w})
    with pytest.raises(TypeError, match="bind"):
        beiming.compile(model, bind={"w": "no array"})
    # An ONNX model flushes, unless it is told otherwise.
    small = np.float32([1e-39, -1e-39])
    halved = node_model("Mul", [("x", 1, (2,)), ("h", 1, (2,))], [("y", 1, (2,))])
    half = np.float32([0.5, 0.5])
    for what, want in ((None, small * 0), ("flush", small * 0), ("keep", small * half)):
        np.testing.assert_array_equal(beiming.compile(halved, subnormals=what).module()(small, half), want)
    with pytest.raises(ValueError, match="subnormals"):
        beiming.compile(halved, subnormals="round")
    # Of a module with several functions one is named.
    line = "  func.func public @{0}(%a: tensor<2xf32>) -> tensor<2xf32> {{ %0 = stablehlo.{0} %a : tensor<2xf32> return %0 : tensor<2xf32> }}"
    text = "module {\n" + "\n".join(line.format(f) for f in ("negate", "abs")) + "\n}\n"
    for name, f in (("negate", np.negative), ("abs", np.abs)):
        np.testing.assert_array_equal(beiming.compile(text.encode(), function=name).module()(half), f(half))
    # As it is written, each product is rounded before it is added; `exact` is implied, whatever is said about it.
    dot = """func.func public @main(%x: tensor<3xf32>, %y: tensor<3xf32>) -> tensor<f32> {
  %r = stablehlo.dot_general %x, %y, contracting_dims = [0] x [0] : (tensor<3xf32>, tensor<3xf32>) -> tensor<f32>
  return %r : tensor<f32>\n}\n"""
    x, y = np.float32([-1 - 2**-11, 1 + 2**-12, 2**-30]), np.float32([1, 1 + 2**-12, 1])
    for exact in (False, True):
        assert beiming.compile(dot.encode(), as_written=True, exact=exact).module()(x, y) == np.float32(2**-30)
    with pytest.raises(beiming.OptionError, match="as_written"):
        beiming.compile(model, as_written=True)


def test_ascend_targets(tmp_path):
    assert "ascend910b1" in beiming.targets()
    a = beiming.compile(relu((64, 64)), "ascend910b1", host="kunpeng920", project=tmp_path / "project")
    assert a.target == "ascend910b1" and (tmp_path / "project" / "host" / "model.cpp").exists()
    with pytest.raises(beiming.TargetError):
        beiming.compile(relu(), "ascend910b1", host="none")


def test_every_option_of_the_command_line_has_a_keyword():
    source = (HERE.parents[1] / "src" / "cli" / "model.rs").read_text() if (HERE.parents[1] / "src").exists() else ""
    if not source:
        pytest.skip("the command line's source is not here")
    fields = re.findall(r"^    pub (\w+): ", source[source.index("pub struct Args") : source.index("/// What arithmetic does")], re.M)
    other = {"shape": "shapes", "dim": "dims", "value": "values", "no_reuse": "reuse_memory", "compile_threads": "threads"}
    keywords = inspect.signature(beiming.compile).parameters
    assert fields and not [f for f in fields if other.get(f, f) not in keywords]


def test_panics_stay_inside():
    provoke = getattr(beiming._beiming, "provoke_panic", None)
    if provoke is None:
        pytest.skip("wheels do not provoke panics")
    with pytest.raises(beiming.CompilerBug, match="on purpose") as e:
        provoke("on purpose")
    assert e.value.code == "E9000" and e.value.dump is not None
    report = pathlib.Path(e.value.dump)
    assert "panic: on purpose" in report.read_text() and "a model" in report.read_text()
    report.unlink()
    # And the next compilation is as good as any.
    assert beiming.compile(relu()).summary["kernels"] == 1


def test_errors_have_data():
    nodes = [helper.make_node("Nope", ["x"], ["a"], name="first"), helper.make_node("Neither", ["a"], ["y"], name="second")]
    value = lambda n: helper.make_tensor_value_info(n, 1, [2])  # noqa: E731
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")])
    with pytest.raises(beiming.UnsupportedOpsError) as e:
        beiming.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert e.value.code == "E0002" and e.value.ops[0]["node"] == "first" and "Nope" in e.value.ops[0]["op"]
    assert pickle.loads(pickle.dumps(e.value)).ops == e.value.ops
    shaped = node_model("ReduceSum", [("x", 1, (2, 3)), ("axes", 7, (1,))], [("y", 1, ("A", "B"))])
    with pytest.raises(beiming.UnsupportedOpsError) as g:
        beiming.compile(shaped)
    assert g.value.ops[0]["wants"] == ["axes"]
    assert beiming.compile(shaped, values={"axes": [1]}).outputs[0].shape == (2, 1)
    with pytest.raises(beiming.ModelError) as f:
        beiming.compile(b"\xff" * 40)
    assert f.value.code == "E0101" and f.value.diagnostics[0]["message"]
    with pytest.raises(FileNotFoundError):
        beiming.compile("/no/such/model.onnx")
    with pytest.raises(FileNotFoundError):
        beiming.load("/no/such/artifact.bmg")


@pytest.mark.slow
def test_progress_and_interruption():
    seen = []
    model = str(MODELS / "ppocr_rec.onnx")
    if not os.path.exists(model):
        pytest.skip("the package models are not collected")

    def stop(stage, number, stages, kernels, total):
        seen.append((stage, kernels, total))
        if kernels:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        beiming.compile(model, shapes={"x": (1, 3, 48, 320)}, progress=stop)
    assert seen[-1][0] == "emit" and 0 < seen[-1][1] <= seen[-1][2]
    # Ctrl-C, in a process of its own.
    code = f"import beiming; print('go', flush=True); beiming.compile({model!r}, shapes={{'x': (1, 3, 48, 320)}})"
    err, status = interrupted(code, 0.5)
    assert "KeyboardInterrupt" in err and status in (1, -signal.SIGINT, 130)


def test_threads_at_once(module, data):
    wrong = []

    def work(seed):
        x = np.random.default_rng(seed).standard_normal((seed + 1, 3), np.float32)
        want = np.maximum(x, 0)
        for _ in range(1000):
            if not np.array_equal(module(x), want):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong and 1 <= module.idle_sessions <= 8


def test_a_forked_process_has_threads_of_its_own(data):
    m = beiming.compile(relu((4, 3))).module(threads=2)
    m(data)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(m(data), np.maximum(data, 0)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(m(data), np.maximum(data, 0))


def test_memory_stays_flat(module, data):
    def resident():
        gc.collect()
        return int(open("/proc/self/statm").read().split()[1]) * 4096

    big = np.zeros((4096, 3), np.float32)
    for _ in range(1000):
        module(big)
    before = resident()
    for _ in range(10000):
        module(big)
    assert resident() - before < 4 << 20


def test_async(module, data):
    futures = [module.run_async(data + i) for i in range(8)]
    for i, f in enumerate(futures):
        np.testing.assert_array_equal(f.result(), np.maximum(data + i, 0))

    async def one():
        return await asyncio.wrap_future(module.run_async(data))

    np.testing.assert_array_equal(asyncio.run(one()), np.maximum(data, 0))
    with pytest.raises(beiming.ShapeError):
        module.run_async(data[0]).result()


def test_several_modules_at_once(data):
    modules = [(beiming.compile(node_model(op, [("x", 1, (4, 3))], [("y", 1, (4, 3))])).module(threads=2), f) for op, f in ONE]
    wrong = []

    def work(module, f):
        wrong.extend(1 for _ in range(200) if not np.allclose(module(data), f(data), atol=1e-6))

    threads = [threading.Thread(target=work, args=m) for m in modules * 2]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


ONE = [("Relu", lambda x: np.maximum(x, 0)), ("Neg", np.negative), ("Tanh", np.tanh), ("Exp", np.exp)]


def test_profile(module, data, tmp_path):
    p = module.profile(data, runs=5)
    assert p.runs == 5 and len(p.ops) == 1 and p.ops[0].calls == 1 and p.microseconds > 0
    p.save(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert sum(e["name"] == "relu" for e in events) == 5 and all(e["dur"] >= 0 for e in events if e["ph"] == "X")


def test_session(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    options = beiming.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling = 1, True
    options.optimized_model_filepath = "kept.bmg"
    options.add_free_dimension_override_by_name("N", 4)
    s = beiming.InferenceSession(relu(("N", 3)).SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert s.get_inputs()[0].shape == [4, 3] and s.get_outputs()[0].type == "tensor(float)"
    want = np.maximum(data, 0)
    np.testing.assert_array_equal(s.run(["y"], {"x": data})[0], want)
    assert os.path.exists(s.end_profiling())
    with pytest.raises(beiming.InputError):
        s.run(["z"], {"x": data})
    done = threading.Event()
    got = []
    s.run_async(None, {"x": data}, lambda r, u, e: (got.extend([r, u, e]), done.set()), "mine")
    assert done.wait(10) and got[1:] == ["mine", ""]
    np.testing.assert_array_equal(got[0][0], want)
    b = s.io_binding()
    y = np.empty_like(data)
    b.bind_cpu_input("x", data)
    b.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)
    s.run_with_iobinding(b)
    np.testing.assert_array_equal(y, want)
    b.bind_output("y")
    s.run_with_iobinding(b)
    np.testing.assert_array_equal(b.copy_outputs_to_cpu()[0], want)
    np.testing.assert_array_equal(beiming.InferenceSession("kept.bmg").run(None, {"x": data})[0], want)
    with pytest.warns(UserWarning, match="CUDA"):
        beiming.InferenceSession("kept.bmg", providers=["CUDAExecutionProvider"])


def test_html_is_self_contained():
    html = beiming.compile(relu())._repr_html_()
    assert "<script" not in html and "http" not in html and "relu" in html


@pytest.mark.slow
def test_mypy():
    package = pathlib.Path(beiming.__file__).parent
    for strict, path in ((["--strict"], package), ([], HERE / "typed_example.py")):
        how = [sys.executable, "-m", "mypy", "--ignore-missing-imports", *strict, str(path)]
        done = subprocess.run(how, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["standard", "strict"])
def test_pyright(tmp_path, mode):
    # The package's own code, and strictly a program over its stubs; as of the oldest Python. It takes no paths outside of its folder.
    # What is imported when it is used (torch, IPython) may be missing.
    if mode == "standard":
        shutil.copytree(pathlib.Path(beiming.__file__).parent, tmp_path / "beiming", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    else:
        shutil.copy(HERE / "typed_example.py", tmp_path)
    config = {"typeCheckingMode": mode, "reportMissingImports": False, "reportMissingModuleSource": False, "pythonVersion": "3.9"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    how = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(how, capture_output=True, text=True)
    assert done.returncode == 0 and "0 errors" in done.stdout, done.stdout + done.stderr

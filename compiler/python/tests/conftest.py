"""Small models, and what the tests share."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import beiming


MODELS = pathlib.Path(os.environ.get("BEIMING_MODELS", pathlib.Path(__file__).parents[3] / "build" / "models"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: real models, all of ONNX's tests, type checkers; only where the wheel is tested")


def node_model(op: str, inputs, outputs, opset: int = 21, initializers=(), **attributes) -> onnx.ModelProto:
    """A model of one node; inputs and outputs are (name, element type, shape)."""
    fixed = {i.name for i in initializers}
    value = [helper.make_tensor_value_info(*i) for i in inputs]
    node = helper.make_node(op, [i[0] for i in inputs] + [i.name for i in initializers], [o[0] for o in outputs], name=op.lower())
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    given = [v for v in value if v.name not in fixed]
    graph = helper.make_graph([node], op.lower(), given, [helper.make_tensor_value_info(*o) for o in outputs], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def relu(shape=(2,), dtype=TensorProto.FLOAT) -> onnx.ModelProto:
    return node_model("Relu", [("x", dtype, shape)], [("y", dtype, shape)])


def identity(shape, dtype) -> onnx.ModelProto:
    return node_model("Identity", [("x", dtype, shape)], [("y", dtype, shape)])


def interrupted(code: str, after: float) -> tuple[str, int]:
    """Runs a program, presses Ctrl-C so many seconds after its first line, `go`; gives what it says of errors, and its exit code. The
    program minds Ctrl-C also where the tests run in the background, where it would be ignored."""
    mind = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    p = subprocess.Popen([sys.executable, "-c", mind + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stdout is not None and p.stdout.readline() == "go\n"
    time.sleep(after)
    p.send_signal(signal.SIGINT)
    return p.communicate(timeout=120)[1], p.returncode


@pytest.fixture(scope="session")
def module() -> beiming.Module:
    """relu over float32[N, 3]."""
    return beiming.compile(relu(("N", 3)), dims={"N": (0, 4096)}).module(threads=1)


@pytest.fixture
def data() -> np.ndarray:
    return np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)

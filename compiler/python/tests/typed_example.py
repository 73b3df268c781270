"""A program over the package, for type checkers."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import beiming


def run(path: str, x: Any) -> Any:
    artifact: beiming.Artifact = beiming.compile(path, "kunpeng920", shapes={"x": ("N", 3)}, dims={"N": (1, 8)}, exact=True)
    artifact.save("model.bmg")
    names: list[str] = [k.name for k in artifact.kernels]
    module: beiming.Module = beiming.load("model.bmg", threads=2)
    later: Future[Any] = module.run_async(x)
    profile: beiming.Profile = module.profile(x, runs=3)
    slowest: float = max(op.microseconds for op in profile.ops)
    session = beiming.InferenceSession("model.bmg", providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, {session.get_inputs()[0].name: x})
    layers: tuple[beiming.ValueDifference, ...] = beiming.compare(path, {"x": x}, against="eval", layers=True).layers
    found: beiming.Bisection = beiming.bisect(path, [x], tolerance=1e-3, output="wrong")
    names += [o.type for o in found.ops] + [v.value for v in layers]
    try:
        module(x)
    except beiming.UnsupportedOpsError as e:
        names += [op["op"] for op in e.ops]
    except beiming.CompilerBug as e:
        names.append(e.dump or "")
    return later.result(), slowest, outputs, names, artifact.inputs[0].shape

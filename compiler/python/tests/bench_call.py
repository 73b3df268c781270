"""What a call of a model of one node costs, beside onnxruntime: processor time of the calling thread, the least of interleaved rounds."""

from __future__ import annotations

import time
from typing import Any, Callable

import numpy as np
import onnxruntime
from conftest import relu

import beiming


def cost(call: Callable[[], Any], calls: int = 2000) -> float:
    """Microseconds of a call."""
    start = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - start) / calls * 1e6


def main() -> None:
    """Prints a line for each way to call."""
    model, feed = relu(), {"x": np.float32([1, -1])}
    theirs, ours = onnxruntime.SessionOptions(), beiming.SessionOptions()
    theirs.intra_op_num_threads = ours.intra_op_num_threads = 1
    ort = onnxruntime.InferenceSession(model.SerializeToString(), theirs)
    session = beiming.InferenceSession(model, ours)
    module, x = session.module, feed["x"]
    calls = {
        f"onnxruntime {onnxruntime.__version__}, InferenceSession.run": lambda: ort.run(None, feed),
        "beiming, InferenceSession.run": lambda: session.run(None, feed),
        "beiming, Module": lambda: module(x),
    }
    rounds = [[cost(c) for c in calls.values()] for _ in range(10)]
    for name, best in zip(calls, map(min, zip(*rounds))):
        print(f"{best:6.2f} us a call  {name}")


if __name__ == "__main__":
    main()

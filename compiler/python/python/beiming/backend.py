"""ONNX's own interface to backends, so that its tests run unchanged::

    import onnx.backend.test
    tests = onnx.backend.test.BackendTest(beiming.backend.Backend, __name__)
"""

from __future__ import annotations

from typing import Any

import numpy
from onnx import ModelProto
from onnx.backend.base import Backend as _Backend
from onnx.backend.base import BackendRep as _BackendRep

from ._compile import compile
from ._module import Module


class Rep(_BackendRep):
    """A model that is compiled for this machine."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._names = [p.name for p in module.inputs]

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Runs on arrays by position (or by name, in a dictionary); a single array stands for a list of one."""
        if isinstance(inputs, dict):
            feed = dict(inputs)
        else:
            given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            feed = dict(zip(self._names, given))
        return tuple(self.module.run_list(None, feed))


class Backend(_Backend):
    """This compiler, as ONNX wants a backend.

    >>> import numpy as np
    >>> from beiming.backend import Backend
    >>> Backend.run_model(example_model(), [np.float32([1, -2])])
    (array([1., 0.], dtype=float32),)
    """

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> Rep:
        """Compiles the model for this machine. ``kwargs`` are the options of :func:`beiming.compile`."""
        kwargs.setdefault("progress", False)
        return Rep(compile(model, **kwargs).module())

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Compiles and runs once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any) -> tuple[Any, ...]:
        """Runs one node on arrays. ``outputs_info`` gives type and shape of each output and is needed."""
        from onnx import helper

        if outputs_info is None:
            raise TypeError("run_node needs outputs_info: the element type and shape of each output")
        arrays = [numpy.asarray(a) for a in inputs]

        def value(name: str, dtype: Any, shape: Any) -> Any:
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(numpy.dtype(dtype)), list(shape))

        given = [value(n, a.dtype, a.shape) for n, a in zip(node.input, arrays)]
        wanted = [value(n, d, s) for n, (d, s) in zip(node.output, outputs_info)]
        return cls.run_model(helper.make_model(helper.make_graph([node], "node", given, wanted)), arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Only the CPU."""
        return device.split(":")[0] == "CPU"


prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device

"""ONNX's own interface to backends, so that its tests run unchanged::

    import onnx.backend.test
    tests = onnx.backend.test.BackendTest(beiming.backend.Backend, __name__)
"""

from __future__ import annotations

from typing import Any, Optional

import numpy
from onnx import GraphProto, ModelProto, numpy_helper
from onnx.backend.base import Backend as _Backend
from onnx.backend.base import BackendRep as _BackendRep

from ._compile import compile
from ._module import Module
from .exceptions import UnsupportedOpsError


class Rep(_BackendRep):
    """A model that is compiled for this machine.

    Some inputs must be known to the compiler: axes, shapes, counts. Where a model takes such as inputs, it is compiled when it is run,
    once for each set of their values. ``constants`` has their names.
    """

    def __init__(self, model: ModelProto, options: dict[str, Any]) -> None:
        self._model = model
        self._options = options
        self._inputs = _inputs(model.graph)
        self._modules: dict[Any, Module] = {}
        self.constants: list[str] = []
        #: The module, where it needs no values.
        self.module: Optional[Module] = None
        try:
            self.module = compile(model, **options).module()
        except UnsupportedOpsError as e:
            self.constants = _constants(model.graph, e)
            if not self.constants:
                raise

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Runs on arrays by position (or by name, in a dictionary); a single array stands for a list of one."""
        if isinstance(inputs, dict):
            feed = dict(inputs)
        else:
            given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            feed = dict(zip(self._inputs, given))
        module = self.module
        while module is None:
            module = self._with({n: numpy.asarray(feed[n]) for n in self.constants})
        for name in self.constants:
            del feed[name]
        return tuple(module.run_list(None, feed))

    def _with(self, values: dict[str, Any]) -> Optional[Module]:
        """The module for these values; ``None`` where more constants are wanted."""
        key = tuple((v.dtype, v.shape, v.tobytes()) for v in values.values())
        if key not in self._modules:
            fixed = ModelProto()
            fixed.CopyFrom(self._model)
            rest = [i for i in fixed.graph.input if i.name not in values]
            del fixed.graph.input[:]
            fixed.graph.input.extend(rest)
            fixed.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in values.items())
            try:
                self._modules[key] = compile(fixed, **self._options).module()
            except UnsupportedOpsError as e:
                more = _constants(fixed.graph, e)
                if not more:
                    raise
                self.constants += more
                return None
        return self._modules[key]


def _inputs(graph: GraphProto) -> list[str]:
    constant = {i.name for i in graph.initializer}
    return [i.name for i in graph.input if i.name not in constant]


def _constants(graph: GraphProto, e: UnsupportedOpsError) -> list[str]:
    """Inputs whose values the ops want to know, where that is all that stands in the way."""
    if not all(op["wants"] for op in e.ops):
        return []
    wanted = {name for op in e.ops for name in op["wants"]}
    return [name for name in _inputs(graph) if name in wanted]


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
        return Rep(model, {"progress": False, **kwargs})

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

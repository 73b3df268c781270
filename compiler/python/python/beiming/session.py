"""What programs written for onnxruntime use. ``import beiming as onnxruntime`` is the one line that changes.

Options that mean something here are honoured; the others are accepted with a warning where they would change results or memory.
"""

from __future__ import annotations

import enum
import os
import warnings
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from . import _beiming
from ._module import Module, executor
from .exceptions import InputError

PROVIDER = "BeimingExecutionProvider"

_ORT_TYPES = {
    "float32": "float",
    "float64": "double",
    "float8_e4m3fn": "float8e4m3fn",
    "float8_e4m3fnuz": "float8e4m3fnuz",
    "float8_e5m2": "float8e5m2",
    "float8_e5m2fnuz": "float8e5m2fnuz",
}


class GraphOptimizationLevel(enum.IntEnum):
    """How much to optimise. ``ORT_DISABLE_ALL`` leaves every operation a kernel of its own; the others are the default."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Accepted; kernels run one after the other, each over all threads."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class SessionOptions:
    """``intra_op_num_threads``, ``graph_optimization_level``, ``enable_profiling``, ``profile_file_prefix``,
    ``optimized_model_filepath`` (the artifact is written there), ``use_deterministic_compute`` (only rewrites that keep every bit)
    and free dimensions have their meaning. Other attributes are kept and have none.

    >>> options = beiming.SessionOptions()
    >>> options.intra_op_num_threads = 1
    >>> session = beiming.InferenceSession(example_model(), options)
    >>> session.run(None, {"x": [1, -2]})
    [array([1., 0.], dtype=float32)]
    """

    def __init__(self) -> None:
        self.intra_op_num_threads = 0
        self.inter_op_num_threads = 0
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.execution_mode = ExecutionMode.ORT_SEQUENTIAL
        self.enable_profiling = False
        self.profile_file_prefix = "beiming_profile"
        self.optimized_model_filepath = ""
        self.use_deterministic_compute = False
        self.enable_mem_pattern = True
        self.enable_cpu_mem_arena = True
        self.enable_mem_reuse = True
        self.log_severity_level = 2
        self.log_verbosity_level = 0
        self.logid = ""
        self._dims: dict[str, int] = {}
        self._config: dict[str, str] = {}

    def add_free_dimension_override_by_name(self, name: str, value: int) -> None:
        """Gives a symbol of the model's shapes a value."""
        self._dims[name] = value

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Kept, and has no meaning."""
        self._config[key] = value

    def get_session_config_entry(self, key: str) -> str:
        """What was kept."""
        return self._config[key]

    def register_custom_ops_library(self, path: str) -> None:
        """Refused: there are no custom operators."""
        raise NotImplementedError("custom operators of onnxruntime are not supported")


class RunOptions:
    """Accepted; nothing in it has a meaning."""

    def __init__(self) -> None:
        self.log_severity_level = 2
        self.log_verbosity_level = 0
        self.logid = ""
        self.terminate = False
        self.only_execute_path_to_fetches = False

    def add_run_config_entry(self, key: str, value: str) -> None:
        """Accepted."""


class NodeArg:
    """An input or output: ``name``, ``type`` such as ``tensor(float)``, and ``shape`` of numbers and names."""

    def __init__(self, name: str, dtype: str, shape: Sequence[Union[int, str]]) -> None:
        self.name = name
        self.type = f"tensor({_ORT_TYPES.get(dtype, dtype)})"
        self.shape: list[Union[int, str, None]] = list(shape)

    def __repr__(self) -> str:
        return f"NodeArg(name={self.name!r}, type={self.type!r}, shape={self.shape})"


class ModelMetadata:
    """Of the model file, as far as an artifact keeps it."""

    def __init__(self, graph_name: str, producer_name: str) -> None:
        self.graph_name = graph_name
        self.producer_name = producer_name
        self.domain = ""
        self.description = ""
        self.graph_description = ""
        self.version = 0
        self.custom_metadata_map: dict[str, str] = {}


class OrtValue:
    """A tensor on the CPU, for :class:`IOBinding`.

    >>> import numpy as np
    >>> beiming.OrtValue.ortvalue_from_numpy(np.zeros((2, 3), np.float32)).shape()
    [2, 3]
    """

    def __init__(self, array: Any) -> None:
        self._array = array

    @staticmethod
    def ortvalue_from_numpy(array: Any, device_type: str = "cpu", device_id: int = 0) -> "OrtValue":
        """Of an array, without a copy."""
        _cpu(device_type)
        return OrtValue(array)

    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0
    ) -> "OrtValue":
        """Of new memory."""
        import numpy

        _cpu(device_type)
        return OrtValue(numpy.empty(tuple(shape), element_type))

    def numpy(self) -> Any:
        """As a numpy array."""
        import numpy

        return numpy.asarray(self._array)

    def shape(self) -> list[int]:
        """Extents."""
        return list(self._array.shape)

    def data_type(self) -> str:
        """Such as ``tensor(float)``."""
        name = str(self._array.dtype)
        return f"tensor({_ORT_TYPES.get(name, name)})"

    def device_name(self) -> str:
        """``cpu``."""
        return "cpu"

    def is_tensor(self) -> bool:
        """True."""
        return True

    def has_value(self) -> bool:
        """True."""
        return True

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


def _cpu(device_type: str) -> None:
    if device_type != "cpu":
        raise ValueError(f"memory of `{device_type}`: only the CPU's is known here")


class IOBinding:
    """Inputs and outputs that stay bound from run to run. Outputs without an array of their own are fresh after each run."""

    def __init__(self, session: "InferenceSession") -> None:
        self._session = session
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._results: dict[str, Any] = {}

    def bind_cpu_input(self, name: str, array: Any) -> None:
        """Binds an array."""
        self._inputs[name] = array

    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        """Binds a value."""
        self._inputs[name] = value._array

    def bind_input(
        self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int
    ) -> None:
        """Binds memory by its address, which must stay valid."""
        self._inputs[name] = _at(device_type, element_type, shape, buffer_ptr)

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Optional[Sequence[int]] = None,
        buffer_ptr: Optional[int] = None,
    ) -> None:
        """Wants an output, in fresh memory or at an address."""
        _cpu(device_type)
        given = buffer_ptr is not None and shape is not None
        self._outputs[name] = _at(device_type, element_type, shape or (), buffer_ptr or 0) if given else None

    def bind_ortvalue_output(self, name: str, value: OrtValue) -> None:
        """Wants an output in a value's memory."""
        self._outputs[name] = value._array

    def clear_binding_inputs(self) -> None:
        """Forgets the inputs."""
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forgets the outputs."""
        self._outputs.clear()

    def synchronize_inputs(self) -> None:
        """Nothing: there is one memory."""

    def synchronize_outputs(self) -> None:
        """Nothing: there is one memory."""

    def get_outputs(self) -> list[OrtValue]:
        """The bound outputs after a run."""
        return [OrtValue(self._results[n]) for n in self._outputs]

    def copy_outputs_to_cpu(self) -> list[Any]:
        """The bound outputs after a run, as arrays."""
        return [self._results[n] for n in self._outputs]


def _at(device_type: str, element_type: Any, shape: Sequence[int], pointer: int) -> Any:
    import ctypes

    import numpy

    _cpu(device_type)
    dtype = numpy.dtype(element_type)
    count = 1
    for extent in shape:
        count *= extent
    raw = (ctypes.c_byte * (count * dtype.itemsize)).from_address(pointer)
    return numpy.frombuffer(memoryview(raw), dtype).reshape(tuple(shape))


def get_available_providers() -> list[str]:
    """What runs models here.

    >>> beiming.get_available_providers()
    ['BeimingExecutionProvider']
    """
    return [PROVIDER]


def get_device() -> str:
    """``CPU``."""
    return "CPU"


class InferenceSession:
    """A model that is compiled (or an artifact that is opened) and run as onnxruntime's sessions are.

    ``path_or_bytes`` is a model or an artifact. Of ``providers``, ``CPUExecutionProvider`` and ``BeimingExecutionProvider`` are this
    machine's CPU; others are passed over with a warning.

    A model whose shapes are open is compiled for all shapes. Where the compiler needs to know more, it says which shapes
    (``shapes`` and ``dims`` of :func:`beiming.compile` can be given here too).

    >>> session = beiming.InferenceSession(example_model())
    >>> session.get_inputs()
    [NodeArg(name='x', type='tensor(float)', shape=[2])]
    >>> session.run(["y"], {"x": [1, -2]})
    [array([1., 0.], dtype=float32)]
    """

    def __init__(
        self,
        path_or_bytes: Any,
        sess_options: Optional[SessionOptions] = None,
        providers: Optional[Sequence[Any]] = None,
        provider_options: Optional[Sequence[Mapping[str, Any]]] = None,
        **kwargs: Any,
    ) -> None:
        self._options = sess_options or SessionOptions()
        names = [p if isinstance(p, str) else p[0] for p in providers or []]
        strangers = [n for n in names if n not in (PROVIDER, "CPUExecutionProvider")]
        if strangers:
            warnings.warn(f"{', '.join(strangers)}: not known here; the model runs on the CPU", stacklevel=2)
        self._module = _open(path_or_bytes, self._options, kwargs)
        self._inputs = [NodeArg(p.name, p.dtype, p.shape) for p in self._module.inputs]
        self._outputs = [NodeArg(p.name, p.dtype, p.shape) for p in self._module.outputs]
        self._last: Optional[dict[str, Any]] = None

    def run(
        self, output_names: Optional[Sequence[str]], input_feed: Mapping[str, Any], run_options: Optional[RunOptions] = None
    ) -> list[Any]:
        """The outputs of these names (None: all), in order."""
        feed = input_feed if type(input_feed) is dict else dict(input_feed)
        if self._options.enable_profiling:
            self._last = dict(feed)
        return self._module.run_list(list(output_names) if output_names else None, feed)

    def run_async(
        self,
        output_names: Optional[Sequence[str]],
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], None],
        user_data: Any = None,
        run_options: Optional[RunOptions] = None,
    ) -> None:
        """Runs in another thread and calls ``callback(results, user_data, error)``; ``error`` is empty where all went well."""

        def work() -> None:
            try:
                results = self.run(output_names, input_feed, run_options)
            except Exception as e:
                callback([], user_data, str(e) or type(e).__name__)
            else:
                callback(results, user_data, "")

        executor().submit(work)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: Optional[RunOptions] = None) -> None:
        """Runs on what is bound."""
        places = {n: a for n, a in iobinding._outputs.items() if a is not None}
        if places and len(places) == len(self._outputs):
            iobinding._results = self._module.run(iobinding._inputs, out=places)
            return
        results = self._module.run(iobinding._inputs)
        for name, place in places.items():
            if name not in results:
                raise InputError(f"the model has no output `{name}`", input=name)
            place[...] = results[name]
            results[name] = place
        iobinding._results = results

    def run_with_ort_values(
        self, output_names: Optional[Sequence[str]], input_dict: Mapping[str, OrtValue], run_options: Any = None
    ) -> list[OrtValue]:
        """As :meth:`run`, on values."""
        return [OrtValue(r) for r in self.run(output_names, {k: v._array for k, v in input_dict.items()})]

    def io_binding(self) -> IOBinding:
        """A binding for this session."""
        return IOBinding(self)

    def get_inputs(self) -> list[NodeArg]:
        """The inputs, in order."""
        return self._inputs

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, in order."""
        return self._outputs

    def get_overridable_initializers(self) -> list[NodeArg]:
        """None: initializers are constants of the artifact."""
        return []

    def get_providers(self) -> list[str]:
        """What runs the model."""
        return [PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Empty."""
        return {PROVIDER: {}}

    def set_providers(self, providers: Any = None, provider_options: Any = None) -> None:
        """Nothing changes."""

    def get_session_options(self) -> SessionOptions:
        """The options the session was made with."""
        return self._options

    def get_modelmeta(self) -> ModelMetadata:
        """What is known of the model."""
        return ModelMetadata(self._module.name, f"beiming {_beiming.__version__}")

    def end_profiling(self) -> str:
        """Measures the inputs of the last run (``enable_profiling`` must be set) and writes a Chrome trace; returns its path."""
        if self._last is None:
            raise RuntimeError("nothing to profile: set SessionOptions.enable_profiling and run the model first")
        path = f"{self._options.profile_file_prefix}_{os.getpid()}.json"
        inputs = [self._last[p.name] for p in self._module.inputs]
        self._module.profile(*inputs).save(path)
        return path

    @property
    def module(self) -> Module:
        """The module underneath."""
        return self._module


_MAGIC = b"BEIMING\0"


def _open(given: Any, options: SessionOptions, extra: dict[str, Any]) -> Module:
    threads = options.intra_op_num_threads
    if isinstance(given, bytes) and given.startswith(_MAGIC) or isinstance(given, _beiming.Artifact):
        return Module(given, threads=threads)
    if isinstance(given, (str, os.PathLike)):
        with open(given, "rb") as f:
            if f.read(len(_MAGIC)) == _MAGIC:
                return Module(os.fspath(given), threads=threads)
    if not _beiming.COMPILER:
        raise InputError("this is no artifact, and the runtime alone cannot compile models: install `beiming`")
    from ._compile import compile

    settings: dict[str, Any] = {"progress": False, "exact": options.use_deterministic_compute, **extra}
    settings["dims"] = {**settings.get("dims", {}), **options._dims}
    if options.graph_optimization_level == GraphOptimizationLevel.ORT_DISABLE_ALL:
        settings.setdefault("opt_level", 0)
    if not options.enable_mem_reuse:
        settings.setdefault("reuse_memory", False)
    if options.optimized_model_filepath:
        settings["output"] = options.optimized_model_filepath
    return compile(given, **settings).module(threads=threads)

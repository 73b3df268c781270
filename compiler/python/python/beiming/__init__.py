"""Compiles machine-learning models to machine code and runs them.

>>> artifact = beiming.compile(example_model())
>>> module = artifact.module()
>>> module(x=[1, -2])
array([1., 0.], dtype=float32)
"""

from __future__ import annotations

import atexit as _atexit

from . import _beiming, exceptions
from .exceptions import (
    ArtifactError,
    BeimingError,
    CompilerBug,
    InputError,
    ModelError,
    OptionError,
    RunError,
    ShapeError,
    TargetError,
    UnsupportedOpsError,
)

_beiming.bind_exceptions(exceptions)
_atexit.register(_beiming.finish)

from ._artifact import Artifact  # noqa: E402
from ._beiming import Tensor, __version__  # noqa: E402
from ._compile import compile, targets  # noqa: E402
from ._debug import Bisection, Comparison, Op, ValueDifference, bisect, compare  # noqa: E402
from ._jax import jit  # noqa: E402
from ._module import Module, load  # noqa: E402
from ._profile import OpTime, Profile  # noqa: E402
from ._types import Port  # noqa: E402
from .session import (  # noqa: E402
    ExecutionMode,
    GraphOptimizationLevel,
    InferenceSession,
    IOBinding,
    NodeArg,
    OrtValue,
    RunOptions,
    SessionOptions,
    get_available_providers,
    get_device,
)

__all__ = [
    "Artifact",
    "ArtifactError",
    "BeimingError",
    "Bisection",
    "Comparison",
    "CompilerBug",
    "ExecutionMode",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "InputError",
    "ModelError",
    "Module",
    "NodeArg",
    "Op",
    "OpTime",
    "OptionError",
    "OrtValue",
    "Port",
    "Profile",
    "RunError",
    "RunOptions",
    "SessionOptions",
    "ShapeError",
    "TargetError",
    "Tensor",
    "UnsupportedOpsError",
    "ValueDifference",
    "__version__",
    "bisect",
    "compare",
    "compile",
    "exceptions",
    "get_available_providers",
    "get_device",
    "jit",
    "load",
    "targets",
]

"""Runs models that beiming compiled, without the compiler: ``beiming_runtime.load("model.bmg")(x)``."""

from __future__ import annotations

from . import _beiming, exceptions
from .exceptions import ArtifactError, BeimingError, InputError, RunError, ShapeError, TargetError

_beiming.bind_exceptions(exceptions)

from ._artifact import Artifact  # noqa: E402
from ._beiming import Tensor, __version__  # noqa: E402
from ._module import Module, load  # noqa: E402
from ._profile import OpTime, Profile  # noqa: E402
from ._types import Port  # noqa: E402
from .session import InferenceSession, RunOptions, SessionOptions  # noqa: E402

__all__ = [
    "Artifact",
    "ArtifactError",
    "BeimingError",
    "InferenceSession",
    "InputError",
    "Module",
    "OpTime",
    "Port",
    "Profile",
    "RunError",
    "RunOptions",
    "SessionOptions",
    "ShapeError",
    "TargetError",
    "Tensor",
    "__version__",
    "exceptions",
    "load",
]

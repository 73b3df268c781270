"""What can go wrong, with data.

Every exception has ``code``, a stable code such as ``E0002`` where there is one, and ``diagnostics``, all that was found, each a
dictionary with ``code``, ``message`` and, where known, ``places``, ``notes`` and ``help``.
"""

from __future__ import annotations

from typing import Any, Optional


class BeimingError(Exception):
    """The base of all exceptions here.

    >>> issubclass(ShapeError, BeimingError)
    True
    """

    code: str = ""
    diagnostics: list[dict[str, Any]]

    def __init__(self, message: str = "", **data: Any) -> None:
        super().__init__(message)
        self.diagnostics = []
        self.__dict__.update(data)


class ModelError(BeimingError, ValueError):
    """The model is not valid. ``diagnostics`` has everything that is wrong with it."""


class OptionError(BeimingError, ValueError):
    """An option names nothing in the model or does not fit what it names."""


class UnsupportedOpsError(BeimingError, NotImplementedError):
    """Operators that are not supported. ``ops`` has all of them: dictionaries with ``op``, ``node``, ``place``, ``why``, and
    ``wants``: names of inputs of the model with whose values known (``compile(values=...)``) it would be supported."""

    ops: list[dict[str, Any]]

    def __init__(self, message: str = "", **data: Any) -> None:
        self.ops = []
        super().__init__(message, **data)


class TargetError(BeimingError):
    """There is no such target, or this machine cannot run code for it."""

    target: str = ""


class ArtifactError(BeimingError):
    """A file is no artifact, or is cut off, altered, or of another version. ``path`` is the file's, where there is one."""

    path: str = ""


class InputError(BeimingError, ValueError):
    """An input is missing, unknown, or of another element type than the model's. ``input`` is its name."""

    input: str = ""


class ShapeError(InputError):
    """An input or a given output does not have the shape that the model says. ``input`` or ``output`` is its name."""

    output: str = ""


class RunError(BeimingError, RuntimeError):
    """A value was computed that the model's plan does not allow, such as an extent out of its range."""


class CompilerBug(BeimingError, RuntimeError):
    """A fault of the compiler. ``dump`` is a file that shows it, where one could be written."""

    dump: Optional[str] = None

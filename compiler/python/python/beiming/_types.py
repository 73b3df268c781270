"""Inputs and outputs as a model declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Union

Dim = Union[int, str]


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    ``dtype`` is numpy's name of the element type. An extent in ``shape`` is a number, or text where it depends on the inputs: the
    name of a symbol or an expression over symbols, such as ``floordiv(T, 2)``.

    >>> Port("x", "float32", ("N", 3))
    Port(name='x', dtype='float32', shape=('N', 3))
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    @property
    def is_static(self) -> bool:
        """Whether all extents are numbers."""
        return all(isinstance(d, int) for d in self.shape)


def ports(raw: Iterable[tuple[str, str, list[str]]]) -> tuple[Port, ...]:
    """Ports of what the extension module gives."""
    return tuple(Port(n, d, tuple(int(e) if e.lstrip("-").isdigit() else e for e in s)) for n, d, s in raw)

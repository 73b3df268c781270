"""A compiled model."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from . import _beiming
from ._module import Module
from ._types import Dim, Port, ports

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Kernel:
    """One function of the artifact's code: its symbol, the element types of its buffers, its grid, and how often the plan calls it."""

    name: str
    buffers: tuple[str, ...]
    grid: tuple[Dim, ...]
    scratch_bytes: int
    calls: int


class Artifact(_beiming.Artifact):
    """A compiled model, for any target. :func:`beiming.compile` makes one; ``Artifact(path_or_bytes)`` or :meth:`load` opens one.

    Every byte is checked against hashes before anything of it is used. It can be pickled: as its bytes.

    Raises :class:`ArtifactError` where the bytes are no artifact or are altered, and ``OSError``.

    >>> artifact = beiming.compile(example_model())
    >>> artifact.inputs, artifact.outputs
    ((Port(name='x', dtype='float32', shape=(2,)),), (Port(name='y', dtype='float32', shape=(2,)),))
    >>> [k.calls for k in artifact.kernels]
    [1]
    """

    def __new__(cls, source: Any, summary: str = "{}") -> Self:
        return super().__new__(cls, source)

    def __init__(self, source: Any, summary: str = "{}") -> None:
        #: Times of the compiler's stages and sizes; empty where the artifact was opened and not made here.
        self.summary: dict[str, Any] = json.loads(summary)

    @staticmethod
    def load(path: Union[str, "os.PathLike[str]", bytes]) -> "Artifact":
        """Opens the file at ``path``, or the bytes of one.

        >>> Artifact.load(beiming.compile(example_model()).to_bytes()).target
        'host'
        """
        return Artifact(path if isinstance(path, bytes) else os.fspath(path))

    def module(self, *, threads: int = 0, poison: bool = False) -> Module:
        """Loads the code on this machine; see :class:`Module`.

        >>> beiming.compile(example_model()).module(threads=1)(x=[1, -2])
        array([1., 0.], dtype=float32)
        """
        return Module(self, threads=threads, poison=poison)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the artifact says about itself: buffers, kernels, steps."""
        raw = self.section("manifest")
        return json.loads(raw) if raw is not None else {}

    @property
    def report(self) -> dict[str, Any]:
        """What the compiler decided and why: rewrites, groups of ops with predicted times, edges that were not fused."""
        raw = self.section("report")
        return json.loads(raw) if raw is not None else {}

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.manifest["model"])

    @property
    def target(self) -> str:
        """Name of the target."""
        return str(self.manifest["target"]["name"])

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The inputs, in order."""
        return self._ports("inputs")

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs, in order."""
        return self._ports("outputs")

    def _ports(self, key: str) -> tuple[Port, ...]:
        m = self.manifest
        slots = m["slots"]
        return ports((p["name"], _NUMPY.get(slots[p["slot"]]["dtype"], "?"), slots[p["slot"]]["shape"]) for p in m[key])

    @property
    def kernels(self) -> list[Kernel]:
        """The functions of the code, in the order of its table."""
        m = self.manifest
        calls = [0] * len(m["kernels"])
        _count(m["steps"], calls)
        return [
            Kernel(
                k["symbol"],
                tuple(_NUMPY.get(p["dtype"], "?") for p in k["params"]),
                tuple(int(g) if g.isdigit() else g for g in k["grid"]),
                k["scratch"],
                n,
            )
            for k, n in zip(m["kernels"], calls)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all sections."""
        return sum(n for _, n in self.sections())

    def __repr__(self) -> str:
        def text(p: Port) -> str:
            return f"{p.name}: {p.dtype}[{', '.join(map(str, p.shape))}]"

        results = ", ".join(map(text, self.outputs))
        return f"<beiming.Artifact {self.name} for {self.target}: ({', '.join(map(text, self.inputs))}) -> {results}>"

    def _repr_html_(self) -> str:
        from ._html import artifact_html

        return artifact_html(self)


# The artifact's names of element types, as numpy has them.
_NUMPY = {
    **{f"{a}{n}": f"{b}{n}" for a, b in (("f", "float"), ("i", "int"), ("u", "uint")) for n in (2, 4, 8, 16, 32, 64)},
    **{"bool": "bool", "bf16": "bfloat16", "c64": "complex64", "c128": "complex128", "f4e2m1": "float4_e2m1fn"},
    **{"f8e4m3fn": "float8_e4m3fn", "f8e4m3fnuz": "float8_e4m3fnuz", "f8e5m2": "float8_e5m2"},
    **{"f8e5m2fnuz": "float8_e5m2fnuz", "f8e8m0": "float8_e8m0fnu"},
}


def _count(steps: list[Any], calls: list[int]) -> None:
    for step in steps:
        kind, body = next(iter(step.items()))
        if kind == "launch":
            calls[body["kernel"]] += 1
        for key in ("then", "otherwise", "body"):
            _count(body.get(key, []), calls)

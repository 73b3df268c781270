"""From a model to an artifact."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from . import _beiming
from ._artifact import Artifact
from ._progress import Progress

Extent = Union[int, str]
ProgressFunction = Callable[[str, int, int, int, int], None]


def compile(
    model: Any,
    target: str = "host",
    *,
    shapes: Optional[Mapping[str, Sequence[Extent]]] = None,
    dims: Optional[Mapping[str, Union[int, str, tuple[int, int]]]] = None,
    values: Optional[Mapping[str, Any]] = None,
    bind: Optional[Union[Mapping[str, Any], str, "os.PathLike[str]"]] = None,
    function: Optional[str] = None,
    host: Optional[str] = None,
    output: Optional[Union[str, "os.PathLike[str]"]] = None,
    name: Optional[str] = None,
    folder: Optional[Union[str, "os.PathLike[str]"]] = None,
    project: Optional[Union[str, "os.PathLike[str]"]] = None,
    exact: bool = False,
    as_written: bool = False,
    opt_level: Optional[int] = None,
    subnormals: Optional[str] = None,
    reuse_memory: bool = True,
    threads: int = 0,
    allow_external_links: bool = False,
    progress: Union[bool, ProgressFunction] = True,
) -> Artifact:
    """Compiles a model.

    ``model`` is the path of an ONNX or StableHLO file (or of a stage that the command line wrote), the bytes of one, an
    ``onnx.ModelProto``, what ``jax.jit(f).trace(...)``, ``jax.jit(f).lower(...)`` or ``jax.export.export(...)`` gives, or a
    ``torch.export.ExportedProgram``.

    - ``target``: what to compile for; see :func:`targets`.
    - ``shapes``: shape by name of input. Extents are numbers, symbols, or expressions over symbols.
    - ``dims``: the meaning of symbols: a number, a range ``(1, 64)``, or an expression.
    - ``values``: inputs that always have the same value; they are no inputs of the result. ``bind``: the same for weights: arrays by
      name, or a file of them, .safetensors or .npz.
    - ``function``: of a StableHLO module the one to compile. ``host``: for an NPU the CPU of its server.
    - ``output``: a file for the artifact; without, it is kept in memory until :meth:`Artifact.save`.
    - ``project``: for an NPU, a folder that the kernels and host code are written to as well.
    - ``name``, ``folder``: of a model in memory: what to call it, and where its external data lies.
    - ``exact``: only rewrites that keep every bit. ``as_written``: a StableHLO program's products and sums one by one, each rounded, as
      its reference interpreter does; slow, and implies ``exact``. ``opt_level``: 0 to 3. ``reuse_memory``: whether buffers share memory.
    - ``subnormals``: what arithmetic does with subnormal numbers, ``"keep"`` or ``"flush"``; without, what the model's format stands for:
      StableHLO asks for IEEE 754, ONNX flushes.
    - ``threads``: threads that generate code. ``allow_external_links``: see the command line.
    - ``progress``: show it, on a terminal or in a notebook; or a function that gets stage, number of the stage, number of stages,
      kernels written and kernels in all.

    Ctrl-C stops it, as does an exception of ``progress``. Raises :class:`ModelError`, :class:`UnsupportedOpsError` with all ops that
    stand in the way, :class:`OptionError`, :class:`TargetError`, :class:`CompilerBug`, ``OSError``.

    >>> artifact = beiming.compile(example_model(("N",)), dims={"N": (1, 8)})
    >>> artifact.inputs
    (Port(name='x', dtype='float32', shape=('N',)),)
    """
    from ._convert import model_source

    source, own_name, own_folder = model_source(model)
    options = read_options(
        shapes=shapes,
        dims=dims,
        values=values,
        function=function,
        host=host,
        project=os.fspath(project) if project is not None else None,
        subnormals=subnormals,
        **_bound(bind),
        exact=exact,
        as_written=as_written,
        opt_level=opt_level,
        reuse_memory=reuse_memory,
        threads=threads,
        allow_external_links=allow_external_links,
    )
    bar = Progress() if progress is True else None
    watch = bar if bar is not None else (progress if callable(progress) else None)
    where = os.fspath(output) if output is not None else None
    try:
        made, summary = _beiming.compile(
            source, name or own_name, os.fspath(folder) if folder is not None else own_folder, target, options, where, watch
        )
    finally:
        if bar is not None:
            bar.done()
    return Artifact(made, summary)


def _bound(bind: Any) -> dict[str, Any]:
    """Weights as the compiler takes them: arrays by name, or a file that it reads itself."""
    if bind is None or isinstance(bind, Mapping):
        return {"bind": bind}
    path = os.fspath(bind)
    if not path.endswith((".npz", ".npy")):
        return {"safetensors": path}
    import numpy

    with numpy.load(path) as arrays:
        return {"bind": {name: arrays[name] for name in arrays.files}}


def read_options(**given: Any) -> dict[str, Any]:
    """The options of :func:`compile` as the compiler takes them; those that are not given are left out."""
    maps = ("shapes", "dims", "values", "bind")
    options = {k: dict(v) if k in maps else v for k, v in given.items() if v is not None}
    return {k: v for k, v in options.items() if k not in maps or v}


def targets() -> list[str]:
    """Names of the targets.

    >>> "kunpeng920" in beiming.targets()
    True
    """
    return _beiming.targets()

"""A model side by side with a reference: its results, its values between the ops, the first op that is wrong."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from . import _beiming
from ._equations import Equations, trace
from .exceptions import InputError

Tolerance = Union[float, tuple[float, float]]
Reference = Union[str, Mapping[str, Any], None]


@dataclass(frozen=True)
class Op:
    """An operator of a model: its type, the name of its node (may be empty), where it stands, and the values it gives."""

    type: str
    name: str
    place: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ValueDifference:
    """A value of the model, computed and expected.

    ``different`` of ``elements`` are past the tolerance; ``max_error`` is the largest difference in units of what is allowed. ``nan``
    and ``inf`` count those in the computed value and in the expected one. ``first`` is the first element past the tolerance: its index,
    what was computed, what was expected. ``problem`` says why elements could not be compared.

    Of a value between the ops ``op`` is the operator that gives it and ``kernel`` the core ops of the kernel that computed it. ``verdict``
    is ``agrees``, ``differs``, or ``absorbed``: past the tolerance, but what is computed from it agrees, so that rewriting made a value
    that the model does not have.
    """

    value: str
    verdict: str
    elements: int
    different: int
    max_abs: float
    max_error: float
    nan: tuple[int, int]
    inf: tuple[int, int]
    first: Optional[tuple[tuple[int, ...], str, str]]
    problem: Optional[str]
    op: Optional[Op] = None
    kernel: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether all elements are within the tolerance."""
        return self.problem is None and self.different == 0

    def __str__(self) -> str:
        if self.agrees:
            return f"`{self.value}` agrees"
        if self.problem is not None:
            return f"`{self.value}`: {self.problem}"
        where = f": at {list(self.first[0])} got {self.first[1]}, expected {self.first[2]}" if self.first else ""
        return f"`{self.value}` differs in {self.different} of {self.elements} elements{where}"


@dataclass(frozen=True)
class Comparison:
    """What :func:`beiming.compare` found.

    ``results`` are the model's results; ``layers`` the values between the ops, in the order in which they are computed, where they were
    asked for. ``kernels`` counts the kernels that ran and are those of the model as it is compiled, and all kernels of that.
    """

    against: str
    tolerance: tuple[float, float]
    results: tuple[ValueDifference, ...]
    layers: tuple[ValueDifference, ...] = ()
    kernels: tuple[int, int] = (0, 0)

    @property
    def agrees(self) -> bool:
        """Whether the results agree, and with them all values that they are computed from."""
        return all(r.agrees for r in self.results) and self.first is None

    @property
    def first(self) -> Optional[ValueDifference]:
        """The first value between the ops that differs and reaches a result."""
        return next((v for v in self.layers if v.verdict == "differs"), None)

    def __str__(self) -> str:
        mark = {"agrees": " ", "absorbed": "~", "differs": "x"}
        lines = [f"{mark[v.verdict]} {v.op.type if v.op else '':<20} {v.max_error:10.3g}  {v}" for v in self.layers]
        lines += [str(r) for r in self.results]
        return "\n".join([*lines, f"against {self.against}: " + ("all values agree" if self.agrees else "values differ")])

    def _repr_html_(self) -> str:
        from ._html import comparison_html

        return comparison_html(self)


@dataclass(frozen=True)
class Bisection:
    """What :func:`beiming.bisect` found.

    ``ops`` is the first op whose results differ when it is given right values; empty where none does, several where they differ together
    and none of them alone. ``results`` compares their results, ``whole`` the model's. ``model`` and ``inputs`` are the files of the ops
    alone. ``runs`` counts the stretches of ops that were run, ``skipped`` those that could not be, the first because of ``why_skipped``.
    """

    against: str
    ops: tuple[Op, ...]
    results: tuple[ValueDifference, ...]
    whole: tuple[ValueDifference, ...]
    kernel: tuple[str, ...]
    model: Optional[str]
    inputs: Optional[str]
    runs: int
    skipped: int
    why_skipped: Optional[str]

    @property
    def op(self) -> Optional[Op]:
        """The first op that differs."""
        return self.ops[0] if self.ops else None

    @property
    def agrees(self) -> bool:
        """Whether no op differs and the model's results agree."""
        return not self.ops and all(r.agrees for r in self.whole)

    def __str__(self) -> str:
        if self.agrees:
            return f"all results agree with {self.against}"
        if not self.ops:
            return f"the results differ from those of {self.against}, but no stretch of ops does when it is given right values"
        names = ", ".join(f"{o.type} `{o.name}` ({o.place})" for o in self.ops)
        return "\n".join([f"first to differ: {names}", *(f"  {r}" for r in self.results if not r.agrees), f"written: {self.model}"])


def compare(
    model: Any,
    inputs: Any = None,
    *,
    against: Reference = None,
    layers: bool = False,
    unfused: bool = False,
    tolerance: Tolerance = (1e-3, 1e-4),
    seed: int = 0,
    target: str = "host",
    name: Optional[str] = None,
    folder: Optional[Union[str, "os.PathLike[str]"]] = None,
    **options: Any,
) -> Comparison:
    """Compiles and runs a model and holds what it computes against a reference.

    - ``model``: as for :func:`compile`, or a function of JAX or of ``jax.jit``, which is traced with ``inputs``.
    - ``inputs``: arrays by name, or in order; of a JAX object the arguments of its function, or arrays by name. ``None``: random by
      ``seed``, the same on every machine.
    - ``against``: ``"onnxruntime"`` (the default for ONNX models), ``"jax"`` (the default for JAX objects: what JAX computes itself),
      ``"eval"`` (the meaning of the imported graph: slow, needs nothing), or arrays by the name of the value; what such a mapping does
      not know comes from ``"eval"``.
    - ``layers``: compare values between the ops too, those that the kernels give; ``unfused``: those of every op, each a kernel.
    - ``tolerance``: allowed difference: a share of the expected value, and absolute; both are added. One number stands for both.
      Integers must be equal.
    - ``options``: those of :func:`compile`.

    The ops of a function of JAX, and of what ``jax.jit(f).trace(...)`` gives, are its equations: an op's type is the primitive, its name
    the line of the source, and JAX computes each by itself. A loop or branch is one op. Lowered and exported objects do not have them:
    values between their ops come from ``"eval"``.

    Raises what :func:`compile` raises, :class:`InputError`, and ``ModuleNotFoundError`` where the reference is not installed.

    >>> found = beiming.compare(example_model(), {"x": [1, -2]}, layers=True)
    >>> found.agrees, [v.op.type for v in found.layers]
    (True, ['Relu'])
    >>> print(beiming.compare(example_model(), {"x": [1, -2]}, against={"y": [1.0, 2.0]}))
    `y` differs in 1 of 2 elements: at [1] got 0.0, expected 2.0
    against given values: values differ

    Of a function (not run as a test: it needs JAX)::

        found = beiming.compare(lambda x: jnp.tanh(x) + 1, [x], unfused=True)
        [v.op.type for v in found.layers]    # ['tanh', 'add']
        found.layers[0].op.name              # 'model.py:12 (<lambda>)'
    """
    subject, feed, ask, evaluate, said, _ = _prepare(model, inputs, against, seed, target, name, folder, options)
    raw = json.loads(subject.compare(feed, ask, evaluate, _pair(tolerance), layers or unfused, unfused))
    found = raw["layers"]
    return Comparison(
        said,
        _pair(tolerance),
        tuple(map(_value, raw["results"])),
        tuple(map(_value, found["layers"])) if found else (),
        tuple(found["kernels"]) if found else (0, 0),
    )


def bisect(
    model: Any,
    inputs: Any = None,
    tolerance: Tolerance = (1e-3, 1e-4),
    *,
    against: Reference = None,
    output: Optional[Union[str, "os.PathLike[str]"]] = None,
    seed: int = 0,
    target: str = "host",
    name: Optional[str] = None,
    folder: Optional[Union[str, "os.PathLike[str]"]] = None,
    **options: Any,
) -> Bisection:
    """Names the first op whose result differs from a reference's when it is given the reference's values, and writes it as a model.

    Parameters are those of :func:`compare`. ``output`` is the path of the files, without extension (``NAME.bisect`` in the working
    folder): the op alone, as ONNX where the model was and as the text of a graph otherwise, and its inputs as ``.npz``. The command
    line takes both: ``beiming compare FILE --inputs FILE.npz``.

    >>> import os, tempfile
    >>> stem = os.path.join(tempfile.mkdtemp(), "wrong")
    >>> found = beiming.bisect(example_model(), [[1, -2]], against={"y": [1.0, 2.0]}, output=stem)
    >>> found.op.type, found.model == stem + ".onnx"
    ('Relu', True)
    >>> beiming.bisect(example_model(), [[1, -2]]).agrees
    True
    """
    subject, feed, ask, evaluate, said, own = _prepare(model, inputs, against, seed, target, name, folder, options)
    stem = os.fspath(output) if output is not None else f"{own}.bisect"
    raw = json.loads(subject.bisect(feed, ask, evaluate, _pair(tolerance), stem))
    found, files = raw["found"], raw["files"] or {}
    return Bisection(
        said,
        tuple(_op(o) for o in found["ops"]),
        tuple(map(_value, found["results"])),
        tuple(map(_value, found["whole"])),
        tuple(found["group"]),
        files.get("model"),
        files.get("inputs"),
        found["runs"],
        found["skipped"][0],
        found["skipped"][1],
    )


def _pair(t: Tolerance) -> tuple[float, float]:
    return (float(t), float(t)) if isinstance(t, (int, float)) else (float(t[0]), float(t[1]))


def _op(raw: Mapping[str, Any]) -> Op:
    return Op(raw["op"], raw["name"], raw["place"], tuple(raw["outputs"]))


def _value(raw: Mapping[str, Any]) -> ValueDifference:
    first = raw.get("first")
    agrees = raw.get("problem") is None and not raw["different"]
    return ValueDifference(
        raw["value"],
        raw.get("verdict", "agrees" if agrees else "differs"),
        raw["elements"],
        raw["different"],
        raw["max_abs"],
        # JSON has no infinity.
        raw["max_error"] if raw["max_error"] is not None else float("inf"),
        tuple(raw["nan"]),
        tuple(raw["inf"]),
        (tuple(first["index"]), first["got"], first["expected"]) if first else None,
        raw.get("problem"),
        Op(raw["op"], raw["node"], raw["place"], (raw["value"],)) if "op" in raw else None,
        tuple(raw.get("group", ())),
    )


Ask = Callable[[Optional[bytes], Sequence[str]], dict[str, Any]]


def _prepare(
    model: Any,
    inputs: Any,
    against: Reference,
    seed: int,
    target: str,
    name: Optional[str],
    folder: Optional[Union[str, "os.PathLike[str]"]],
    options: dict[str, Any],
) -> tuple[_beiming.Subject, dict[str, Any], Optional[Ask], bool, str, str]:
    """The model, its inputs by name, who says what values should be, whether the evaluator does, and how to call both."""
    from ._compile import read_options
    from ._convert import is_jax, model_source

    traced = trace(model, inputs)
    equations = Equations(traced) if traced is not None else None
    model = model if equations is None else equations.lowered
    source, own_name, own_folder = model_source(model)
    own = name or own_name
    where = os.fspath(folder) if folder is not None else own_folder
    subject = _beiming.Subject(source, own, where, target, read_options(**options), equations.steps if equations else None)
    ports = subject.input_ports()
    if inputs is None:
        feed = _random(subject, seed)
    elif isinstance(inputs, Mapping):
        feed = dict(inputs)
    else:
        from ._jax import leaves

        given = leaves(model, inputs) if is_jax(model) else list(inputs)
        if len(given) != len(ports):
            raise InputError(f"the model takes {len(ports)} inputs, {len(given)} are given")
        feed = {p[0]: x for p, x in zip(ports, given)}
    if isinstance(against, Mapping):
        return subject, feed, _given(against), True, "given values", own
    said = against or ("jax" if is_jax(model) else "onnxruntime" if subject.is_onnx else "eval")
    if said == "eval":
        return subject, feed, None, True, said, own
    if said == "onnxruntime":
        return subject, feed, _onnxruntime(feed), False, said, own
    if said == "jax" and equations is not None:
        return subject, feed, _equations(equations, [feed[p[0]] for p in ports], subject.outputs), False, said, own
    if said == "jax" and is_jax(model):
        return subject, feed, _jax(model, [feed[p[0]] for p in ports], subject.outputs), True, said, own
    if said == "jax":
        raise ValueError('against="jax" takes functions, and what jax.jit(f).trace(...), .lower(...) or jax.export.export(...) gives')
    raise ValueError(f'against={said!r}: there are "onnxruntime", "jax", "eval", and arrays by name')


def _random(subject: _beiming.Subject, seed: int) -> dict[str, Any]:
    import numpy

    def dtype(name: str) -> Any:
        try:
            return numpy.dtype(name)
        except TypeError:
            import ml_dtypes

            return numpy.dtype(getattr(ml_dtypes, name))

    return {n: numpy.frombuffer(data, dtype(d)).reshape(shape) for n, d, shape, data in subject.random(seed)}


def _given(values: Mapping[str, Any]) -> Ask:
    import numpy

    def array(v: Any) -> Any:
        a = numpy.asarray(v)
        # Python's own numbers are of no type in particular.
        return a.astype(numpy.float32) if a.dtype == numpy.float64 and not hasattr(v, "dtype") else a

    arrays = {n: array(v) for n, v in values.items()}
    return lambda model, names: {n: arrays[n] for n in names if n in arrays}


def _onnxruntime(feed: Mapping[str, Any]) -> Ask:
    import numpy
    import onnx
    import onnxruntime

    def ask(model: Optional[bytes], names: Sequence[str]) -> dict[str, Any]:
        if model is None:
            raise ValueError("onnxruntime reads ONNX models, and this is none")
        loaded = onnx.load_from_string(model)
        made = {n for node in loaded.graph.node for n in node.output}
        declared = {o.name for o in loaded.graph.output}
        loaded.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n in made and n not in declared)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(loaded.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        wanted = [o.name for o in session.get_outputs()]
        types = {i.name: _ORT.get(i.type) for i in session.get_inputs()}
        arrays = {n: numpy.asarray(feed[n], dtype=t) for n, t in types.items() if n in feed}
        got = dict(zip(wanted, session.run(wanted, arrays)))
        return {n: got[n] for n in names if isinstance(got.get(n), numpy.ndarray)}

    return ask


# Lists and numbers take the type that the model wants.
_ORT = {
    **{f"tensor({n})": n for n in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "float16")},
    **{"tensor(float)": "float32", "tensor(double)": "float64"},
}


def _equations(equations: Equations, given: Sequence[Any], results: Sequence[str]) -> Ask:
    told: dict[str, Any] = {}

    def ask(_: Optional[bytes], names: Sequence[str]) -> dict[str, Any]:
        if not told:
            told.update(equations.values(given, results))
        return {n: told[n] for n in names if n in told}

    return ask


def _jax(model: Any, given: Sequence[Any], results: Sequence[str]) -> Ask:
    from ._jax import call

    def ask(_: Optional[bytes], names: Sequence[str]) -> dict[str, Any]:
        got = dict(zip(results, call(model, given)))
        return {n: got[n] for n in names if n in got}

    return ask

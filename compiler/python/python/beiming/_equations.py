"""A traced JAX function as its equations: what JAX computes in each of them, and a module that gives all of these values."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import types
from typing import Any, Callable, Optional, Sequence

from .exceptions import InputError

# Equations that stand for the function inside; where a name is not a JAX version's, nothing has it. Loops and branches are one equation.
_CALLS = {
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "checkpoint",
    "remat",
    "remat2",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
}

Note = Callable[[str, str, list[Any]], None]


def trace(model: Any, inputs: Any) -> Optional[Any]:
    """What ``jax.jit(f).trace(...)`` gives: the model itself, or of a function. ``None`` for other objects."""
    if is_traced(model):
        return model
    of_jit = _from_jax(model) and hasattr(model, "trace")
    if not of_jit and not isinstance(model, (types.FunctionType, types.MethodType, functools.partial)):
        return None
    import jax

    if inputs is None or hasattr(inputs, "keys"):
        raise InputError("a function needs its arguments, in order; or give jax.jit(f).trace(...)")
    function: Any = model
    if not of_jit:
        # Of what beiming.jit gives, the function inside.
        function = jax.jit(getattr(model, "__wrapped__") if hasattr(model, "compiled") else model)
    return function.trace(*inputs)


def is_traced(model: Any) -> bool:
    """Whether it is what ``jax.jit(f).trace(...)`` gives."""
    return _from_jax(model) and hasattr(model, "jaxpr") and hasattr(model, "lower")


def _from_jax(model: Any) -> bool:
    return type(model).__module__.split(".")[0].startswith("jax")


class Equations:
    """The equations of a traced function; of a call of a function (``jit``, ``custom_jvp_call``) those inside.

    ``lowered`` gives the function's results and then those of the equations. ``steps`` are the names of the function's results and, for
    each equation, its primitive, the line of the source, and how many of the values are its.
    """

    def __init__(self, traced: Any) -> None:
        import jax

        self._traced = traced
        self._steps: list[tuple[str, str, int]] = []

        def opened(*flat: Any) -> Any:
            found: list[Any] = []
            self._steps = []

            def note(primitive: str, line: str, values: list[Any]) -> None:
                self._steps.append((primitive, line, len(values)))
                found.extend(values)

            return self._run(flat, note), found

        opened.__name__ = traced.fun_name
        struct: Any = jax.ShapeDtypeStruct
        shapes = [struct(v.aval.shape, v.aval.dtype) for v in traced.jaxpr.jaxpr.invars]
        self.lowered = jax.jit(opened, keep_unused=True).lower(*shapes)
        paths = jax.tree_util.tree_flatten_with_path(traced.out_info)[0]
        self.steps = ["result" + jax.tree_util.keystr(path) for path, _ in paths], self._steps

    def values(self, given: Sequence[Any], results: Sequence[str]) -> dict[str, Any]:
        """What JAX computes of the arguments' arrays: the function as it compiles it, and each equation by itself.

        ``results`` are what its results are called. What equation 7 gives is called ``tanh_7``, or ``scan_7.0`` where that is several.
        """
        import jax
        import numpy

        flat = [jax.numpy.asarray(x, dtype=v.aval.dtype) for x, v in zip(given, self._traced.jaxpr.jaxpr.invars)]
        args, kwargs = jax.tree_util.tree_unflatten(self._traced.in_tree, flat)
        whole = jax.tree_util.tree_leaves(self._traced.lower().compile()(*args, **kwargs))
        told = {n: numpy.asarray(x) for n, x in zip(results, whole)}
        count = itertools.count()

        def note(primitive: str, _: str, values: list[Any]) -> None:
            name = f"{primitive}_{next(count)}"
            for k, x in enumerate(values):
                told[name if len(values) == 1 else f"{name}.{k}"] = numpy.asarray(x)

        self._run(flat, note)
        return told

    def _run(self, flat: Sequence[Any], note: Note) -> list[Any]:
        closed = self._traced.jaxpr
        return _run(closed.jaxpr, closed.consts, flat, None, note)


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], line: Optional[str], note: Note) -> list[Any]:
    """The equations in order, on arrays or on what stands for them while JAX traces. ``line`` is that of all of them, where it is known."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args]))

    def read(v: Any) -> Any:
        return v.val if hasattr(v, "val") else known[v]

    for e in jaxpr.eqns:
        at = _line(e) if line is None else line
        given = [read(v) for v in e.invars]
        body = _called(e)
        if body is not None:
            # JAX traces its own functions once: the lines in them are those of the first call.
            inner = getattr(body, "jaxpr", body)
            results = _run(inner, getattr(body, "consts", ()), given, at if line is not None or _is_of_jax(inner) else None, note)
        else:
            # Some versions of JAX give the functions inside apart from the rest.
            bound = e.primitive.get_bind_params(e.params)
            functions, params = bound if isinstance(bound, tuple) else ((), bound)
            with getattr(e.ctx, "manager", contextlib.nullcontext()):
                made = e.primitive.bind(*functions, *given, **params)
            results = list(made) if e.primitive.multiple_results else [made]
            note(e.primitive.name, at, [x for x, v in zip(results, e.outvars) if _is_array(v.aval)])
        known.update(zip(e.outvars, results))
    return [read(v) for v in jaxpr.outvars]


def _called(e: Any) -> Optional[Any]:
    if e.primitive.name not in _CALLS:
        return None
    return next((e.params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in e.params), None)


def _is_array(aval: Any) -> bool:
    """Whether numpy has such arrays: not keys of random numbers, not references."""
    import jax
    import jax.core

    dtype = getattr(aval, "dtype", None)
    if not isinstance(aval, jax.core.ShapedArray) or dtype is None:
        return False
    return dtype != jax.dtypes.float0 and not jax.numpy.issubdtype(dtype, jax.dtypes.extended)


def _is_of_jax(jaxpr: Any) -> bool:
    file = getattr(jaxpr.debug_info, "func_filename", None)
    return file is not None and file.startswith(_home())


def _line(e: Any) -> str:
    """The innermost line of the source that is not JAX's, such as ``model.py:12 (norm)``; empty where JAX does not know."""
    traceback = e.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith(_home()):
            return f"{os.path.basename(frame.file_name)}:{frame.line_num} ({frame.function_name.rsplit('.', 1)[-1]})"
    return ""


def _home() -> str:
    import jax

    return os.path.dirname(jax.__file__) + os.sep

"""JAX functions, compiled; and what JAX itself says of a lowered one."""

from __future__ import annotations

import functools
import warnings
from typing import Any, Callable, Optional, Sequence

from .exceptions import UnsupportedOpsError


def jit(fun: Optional[Callable[..., Any]] = None, *, fallback: bool = True, **options: Any) -> Any:
    """Compiles a JAX function for each set of argument shapes and types it is called with, and runs it.

    The function is traced by ``jax.jit``, as StableHLO. Arguments and results are pytrees of arrays; results are JAX arrays.
    ``static_argnums`` and ``static_argnames`` are those of ``jax.jit``; other options are :func:`beiming.compile`'s. Derivatives are not
    taken through it.

    A function with ops that cannot be compiled runs in JAX, and a warning names the ops; with ``fallback=False`` it raises
    :class:`UnsupportedOpsError`. All other errors are raised.

    ``compiled(*args)`` of the result gives the :class:`Module` that these arguments run, or ``None`` where JAX runs them.
    """
    if fun is None:
        return functools.partial(jit, fallback=fallback, **options)
    import jax

    statics: dict[str, Any] = {k: options.pop(k) for k in ("static_argnums", "static_argnames") if k in options}
    traced = jax.jit(fun, keep_unused=True, **statics)
    cache: dict[Any, tuple[Any, Any]] = {}
    options.setdefault("progress", False)

    def prepare(args: Any, kwargs: Any) -> tuple[Any, Any, list[Any]]:
        dynamic, static = _split(args, kwargs, statics)
        flat, tree = jax.tree_util.tree_flatten(dynamic)
        key = (tree, static, tuple((jax.numpy.shape(x), jax.numpy.result_type(x), _weak(x)) for x in flat))
        if key not in cache:
            from ._compile import compile

            lowered = traced.lower(*args, **kwargs)
            try:
                module = compile(lowered, **options).module()
            except UnsupportedOpsError as e:
                if not fallback:
                    raise
                name = getattr(fun, "__name__", "the function")
                warnings.warn(f"beiming: JAX runs `{name}` itself: not supported: {op_names(e)}", stacklevel=3)
                module = None
            cache[key] = (module, jax.tree_util.tree_structure(lowered.out_info))
        module, out_tree = cache[key]
        if module is None:
            return None, out_tree, []
        arrays = [jax.numpy.asarray(x, dtype=jax.numpy.result_type(x)) for x in flat]
        return module, out_tree, arrays

    @functools.wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        module, out_tree, arrays = prepare(args, kwargs)
        if module is None:
            return traced(*args, **kwargs)
        results = module(*arrays)
        return jax.tree_util.tree_unflatten(out_tree, results if isinstance(results, tuple) else [results])

    call.compiled = lambda *args, **kwargs: prepare(args, kwargs)[0]  # type: ignore[attr-defined]
    return call


def op_names(e: UnsupportedOpsError) -> str:
    """The ops of an error, each once."""
    return ", ".join(dict.fromkeys(o["op"] for o in e.ops if o["op"])) or str(e).splitlines()[0]


def leaves(model: Any, args: Sequence[Any]) -> list[Any]:
    """The arrays that a lowered or exported function takes, of the arguments of the function."""
    import jax

    flat = jax.tree_util.tree_leaves(tuple(args))
    kept = _kept(model)
    return flat if len(flat) == len(kept) else [flat[i] for i in kept if i < len(flat)]


def call(model: Any, given: Sequence[Any]) -> list[Any]:
    """What JAX computes of the arrays that a lowered or exported function takes."""
    import jax
    import numpy

    avals, tree = jax.tree_util.tree_leaves(model.in_avals), model.in_tree
    # Arguments that the function does not use were left out: their values do not matter.
    flat = [numpy.zeros(a.shape, a.dtype) for a in avals]
    for i, x in zip(_kept(model), given):
        flat[i] = numpy.asarray(x, dtype=avals[i].dtype)
    args, kwargs = jax.tree_util.tree_unflatten(tree, flat)
    run = model.compile() if hasattr(model, "compile") else model.call
    return [numpy.asarray(x) for x in jax.tree_util.tree_leaves(run(*args, **kwargs))]


def _kept(model: Any) -> list[int]:
    """Positions of the arguments that the module takes, of all arrays that the function has."""
    if hasattr(model, "module_kept_var_idx"):
        return sorted(model.module_kept_var_idx)
    import jax

    count = len(jax.tree_util.tree_leaves(model.in_avals))
    # JAX has no public name for it on what `lower` gives.
    known = getattr(getattr(model, "_lowering", None), "compile_args", {}).get("kept_var_idx")
    return list(range(count)) if known is None else sorted(known)


def _weak(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex)) or bool(getattr(x, "weak_type", False))


def _split(args: Any, kwargs: Any, statics: dict[str, Any]) -> tuple[Any, Any]:
    """Arguments that are arrays, and those that belong to the function."""
    numbers = statics.get("static_argnums", ())
    numbers = {numbers} if isinstance(numbers, int) else set(numbers)
    numbers = {n % max(len(args), 1) for n in numbers}
    names = statics.get("static_argnames", ())
    names = {names} if isinstance(names, str) else set(names)
    dynamic = ([a for i, a in enumerate(args) if i not in numbers], {k: v for k, v in kwargs.items() if k not in names})
    static = (
        tuple((i, a) for i, a in enumerate(args) if i in numbers),
        tuple(sorted((k, v) for k, v in kwargs.items() if k in names)),
    )
    return dynamic, static

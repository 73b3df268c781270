"""JAX functions, compiled."""

from __future__ import annotations

import functools
from typing import Any, Callable, Optional


def jit(fun: Optional[Callable[..., Any]] = None, **options: Any) -> Any:
    """Compiles a JAX function for each set of argument shapes and types it is called with, and runs it.

    The function is traced by ``jax.jit``, as StableHLO. Arguments and results are pytrees of arrays; results are JAX arrays.
    ``static_argnums`` and ``static_argnames`` are those of ``jax.jit``; other options are :func:`beiming.compile`'s. Nothing falls back
    to JAX: what cannot be compiled raises :class:`UnsupportedOpsError`. Derivatives are not taken through it.

    ``compiled(*args)`` of the result gives the :class:`Module` that these arguments run.
    """
    if fun is None:
        return functools.partial(jit, **options)
    import jax

    statics: dict[str, Any] = {k: options.pop(k) for k in ("static_argnums", "static_argnames") if k in options}
    traced = jax.jit(fun, keep_unused=True, **statics)
    cache: dict[Any, tuple[Any, Any]] = {}
    options.setdefault("progress", False)

    def prepare(args: Any, kwargs: Any) -> tuple[Any, Any, list[Any]]:
        dynamic, static = _split(args, kwargs, statics)
        leaves, tree = jax.tree_util.tree_flatten(dynamic)
        key = (tree, static, tuple((jax.numpy.shape(x), jax.numpy.result_type(x), _weak(x)) for x in leaves))
        if key not in cache:
            from ._compile import compile

            lowered = traced.lower(*args, **kwargs)
            module = compile(lowered, **options).module()
            cache[key] = (module, jax.tree_util.tree_structure(lowered.out_info))
        module, out_tree = cache[key]
        arrays = [jax.numpy.asarray(x, dtype=jax.numpy.result_type(x)) for x in leaves]
        return module, out_tree, arrays

    @functools.wraps(fun)
    def call(*args: Any, **kwargs: Any) -> Any:
        module, out_tree, arrays = prepare(args, kwargs)
        results = module(*arrays)
        return jax.tree_util.tree_unflatten(out_tree, results if isinstance(results, tuple) else [results])

    call.compiled = lambda *args, **kwargs: prepare(args, kwargs)[0]  # type: ignore[attr-defined]
    return call


def _weak(x: Any) -> bool:
    return isinstance(x, (bool, int, float, complex)) or bool(getattr(x, "weak_type", False))


def _split(args: Any, kwargs: Any, statics: dict[str, Any]) -> tuple[Any, Any]:
    """Arguments that are arrays, and those that belong to the function."""
    numbers = statics.get("static_argnums", ())
    numbers = {numbers} if isinstance(numbers, int) else {n % max(len(args), 1) for n in numbers}
    names = statics.get("static_argnames", ())
    names = {names} if isinstance(names, str) else set(names)
    dynamic = ([a for i, a in enumerate(args) if i not in numbers], {k: v for k, v in kwargs.items() if k not in names})
    static = (
        tuple((i, a) for i, a in enumerate(args) if i in numbers),
        tuple(sorted((k, v) for k, v in kwargs.items() if k in names)),
    )
    return dynamic, static

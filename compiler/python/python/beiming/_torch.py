"""``torch.compile(model, backend="beiming")``."""

from __future__ import annotations

import warnings
from typing import Any, Callable

from ._convert import torch_to_onnx
from .exceptions import BeimingError


def backend(graph: Any, example_inputs: list[Any], **options: Any) -> Callable[..., Any]:
    """Compiles a graph that ``torch.compile`` traced: through ``torch.export`` and ONNX. For inference on the CPU.

    Where a graph cannot be exported or compiled, or wants gradients, a warning says why and torch runs that graph itself.
    Options: those of :func:`beiming.compile`, and ``fallback=False`` to raise instead.
    """
    import torch

    fallback = options.pop("fallback", True)
    settings = {"progress": False, **options}

    def give_up(why: str) -> Callable[..., Any]:
        if not fallback:
            raise BeimingError(f"torch graph: {why}")
        warnings.warn(f"beiming: torch runs a graph of {len(list(graph.graph.nodes))} nodes itself: {why}", stacklevel=2)
        return graph.forward  # type: ignore[no-any-return]

    if torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in example_inputs):
        return give_up("it needs gradients; call it under torch.inference_mode()")
    if any(not isinstance(x, torch.Tensor) for x in example_inputs):
        return give_up("it has symbolic sizes; use torch.compile(..., dynamic=False)")
    try:
        from ._compile import compile

        with torch.no_grad():
            program = torch.export.export(graph, tuple(example_inputs))
        module = compile(torch_to_onnx(program), **settings).module()
    except Exception as e:
        if not fallback:
            raise
        return give_up(f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
    kept = len(module.inputs)
    if kept != len(example_inputs):
        return give_up(f"the exporter kept {kept} of {len(example_inputs)} inputs")

    def run(*args: Any) -> tuple[Any, ...]:
        results = module(*args)
        return results if isinstance(results, tuple) else (results,)

    return run

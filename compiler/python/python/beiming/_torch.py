"""``torch.compile(model, backend="beiming")``."""

from __future__ import annotations

import warnings
from typing import Any, Callable, Optional

from ._convert import torch_to_onnx
from ._module import Module
from .exceptions import BeimingError, UnsupportedOpsError


def backend(graph: Any, example_inputs: list[Any], **options: Any) -> Callable[..., Any]:
    """Compiles a graph that ``torch.compile`` traced: through ``torch.export`` and ONNX. For inference on the CPU.

    Parameters and buffers become constants of the compiled code; when one of them changes, the graph is compiled again at its next
    call. A graph with symbolic sizes is compiled for each set of sizes that it is called with. Where a graph cannot be exported or
    compiled, or wants gradients, a warning says why, naming ops that are not supported, and torch runs that graph itself. Options
    (``torch.compile(..., options={...})``): those of :func:`beiming.compile`, and ``fallback=False`` to raise instead.
    """
    given = {"fallback": True, "progress": False, **options.pop("options", {}), **options}
    fallback = bool(given.pop("fallback"))
    compiled = _Compiled(graph, example_inputs, given, fallback)
    return compiled.torch() or compiled


class _Compiled:
    """A graph, compiled for each set of shapes; parameters, buffers and numbers are constants."""

    def __init__(self, graph: Any, example_inputs: list[Any], settings: dict[str, Any], fallback: bool) -> None:
        self._graph = graph
        self._settings = settings
        self._fallback = fallback
        self._count = len(example_inputs)
        self._fixed = [i for i, x in enumerate(example_inputs) if _is_fixed(x)]
        self._free = [i for i in range(self._count) if i not in set(self._fixed)]
        self._modules: dict[Any, Optional[Module]] = {}
        self._seen: list[Any] = []
        #: Why torch runs it, whatever the shapes.
        self._refused = self._why_not(example_inputs)
        if self._refused:
            self._give_up(self._refused)
        elif all(map(_is_known, example_inputs)):
            self._find(example_inputs)

    def torch(self) -> Optional[Callable[..., Any]]:
        """The graph itself, where torch runs it."""
        return self._graph.forward if self._refused else None

    def _why_not(self, given: list[Any]) -> Optional[str]:
        import torch

        tensors = [x for x in given if isinstance(x, torch.Tensor)]
        if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
            return "it needs gradients; call it under torch.inference_mode() or torch.no_grad()"
        if any(x.device.type != "cpu" for x in tensors):
            return "its tensors are not in the CPU's memory"
        results = next(n for n in self._graph.graph.nodes if n.op == "output").args[0]
        for r in results if isinstance(results, (tuple, list)) else [results]:
            if not isinstance(getattr(r, "meta", {}).get("example_value"), torch.Tensor):
                return "it gives something that is no tensor"
        return None

    def _give_up(self, why: str) -> None:
        if not self._fallback:
            raise BeimingError(f"torch graph: {why}")
        count = sum(n.op not in ("placeholder", "output", "get_attr") for n in self._graph.graph.nodes)
        warnings.warn(f"beiming: torch runs a graph of {count} ops itself: {why}", stacklevel=4)

    def _find(self, given: Any) -> Optional[Module]:
        """The module for these shapes and these constants; ``None`` where torch runs them."""
        seen = [_version(given[i]) for i in self._fixed if not isinstance(given[i], int)]
        if seen != self._seen:
            self._modules.clear()
            self._seen = seen
        key = tuple(x if isinstance(x, int) else x.shape for x in given)
        if key not in self._modules:
            self._modules[key] = self._try(given)
        return self._modules[key]

    def _try(self, given: Any) -> Optional[Module]:
        try:
            return self._compile(given)
        except UnsupportedOpsError as e:
            if not self._fallback:
                raise
            from ._jax import op_names

            self._give_up(f"not supported: {op_names(e)}")
        except Exception as e:
            if not self._fallback:
                raise
            self._give_up(f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
        return None

    def _compile(self, given: Any) -> Module:
        import torch

        from ._compile import compile

        part = _Frozen.of(self._graph, {i: given[i] for i in self._fixed}, self._count)
        # Outside of inference mode: its tensors cannot be saved for a graph.
        with torch.inference_mode(False), torch.no_grad():
            program = torch.export.export(part, tuple(given[i].detach().clone() for i in self._free))
            if _writes(program):
                raise BeimingError("it writes to its inputs")
            module = compile(torch_to_onnx(program), **self._settings).module()
        if len(module.inputs) != len(self._free):
            raise BeimingError(f"the exporter kept {len(module.inputs)} of {len(self._free)} inputs")
        return module

    def __call__(self, *args: Any) -> Any:
        module = self._find(args)
        if module is None:
            return self._graph.forward(*args)
        results = module(*[args[i] for i in self._free])
        return results if isinstance(results, tuple) else (results,)


class _Frozen:
    """Makes the module that has some of a graph's inputs inside. (A class in a function: torch is not imported before it is used.)"""

    @staticmethod
    def of(graph: Any, fixed: dict[int, Any], count: int) -> Any:
        import torch

        class Frozen(torch.nn.Module):  # type: ignore[misc, unused-ignore]
            def __init__(self) -> None:
                super().__init__()
                self.graph = graph
                for i, x in fixed.items():
                    if not isinstance(x, int):
                        self.register_buffer(f"fixed{i}", x.detach())

            def forward(self, *free: Any) -> Any:
                rest = iter(free)
                known = {i: x if isinstance(x, int) else getattr(self, f"fixed{i}") for i, x in fixed.items()}
                return self.graph(*[known[i] if i in known else next(rest) for i in range(count)])

        return Frozen()


def _is_fixed(x: Any) -> bool:
    """Whether it is a number, or a parameter or buffer of the model, which torch hands to the graph like an input."""
    import torch

    return not isinstance(x, torch.Tensor) or isinstance(x, torch.nn.Parameter) or getattr(x, "_dynamo_static_input_type", None) is not None


def _writes(program: Any) -> bool:
    """Whether it writes to its inputs, which a compiled model does not."""
    if not any(getattr(getattr(n.target, "_schema", None), "is_mutable", False) for n in program.graph.nodes):
        return False
    # Only the functional form tells writing to an input from writing to an intermediate value.
    signature = program.run_decompositions({}).graph_signature
    return bool(signature.buffers_to_mutate or signature.user_inputs_to_mutate)


def _is_known(x: Any) -> bool:
    """Whether a number or the extents of a tensor are known."""
    return all(isinstance(n, int) for n in getattr(x, "shape", (x,)))


def _version(x: Any) -> tuple[int, Optional[int]]:
    """Changes when the tensor is written to or replaced."""
    return x.data_ptr(), None if x.is_inference() else x._version

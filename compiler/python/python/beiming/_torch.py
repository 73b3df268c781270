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
    call. A graph with symbolic sizes is compiled once for a range of them, which grows when a size is past it; where it cannot be, for each
    set of sizes that it is called with. Where a graph cannot be exported or
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
        #: Symbolic extents: the symbol by position among the free inputs and axis; where each number of the graph is such an extent.
        self._symbols, self._sizes = _symbolic(graph, self._free)
        self._open: Optional[tuple[dict[str, int], Module]] = None
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
            self._open = None
            self._seen = seen
        if self._symbols:
            module = self._find_open(given)
            if module is not None:
                return module
        key = tuple(x if isinstance(x, int) else x.shape for x in given)
        if key not in self._modules:
            self._modules[key] = self._try(given)
        return self._modules[key]

    def _find_open(self, given: Any) -> Optional[Module]:
        """The module for a range of sizes that holds these; ``None`` where there is none, which makes each size one of its own."""
        sizes: dict[str, int] = {}
        for (at, axis), symbol in self._symbols.items():
            size = int(given[self._free[at]].shape[axis])
            # Sizes of 0 and 1 broadcast, and are graphs of their own.
            if size < 2 or sizes.setdefault(symbol, size) != size:
                return None
        if self._open is not None and all(size <= self._open[0][symbol] for symbol, size in sizes.items()):
            return self._open[1]
        # Room to grow: twice the size, as a power of two.
        most = {symbol: max(64, 1 << size.bit_length() + 1) for symbol, size in sizes.items()}
        try:
            self._open = most, self._compile(given, most)
        except Exception:
            # Not for open sizes: then for each by itself, which says why where that fails, too.
            self._symbols = {}
            return None
        return self._open[1]

    def _try(self, given: Any) -> Optional[Module]:
        try:
            return self._compile(given)
        except UnsupportedOpsError as e:
            if not self._fallback:
                raise
            from ._jax import op_names

            self._give_up(f"not supported: {op_names(e)}")
        except Exception as e:
            if not self._fallback and isinstance(e, BeimingError):
                raise
            self._give_up(_first_cause(e))
        return None

    def _compile(self, given: Any, most: Optional[dict[str, int]] = None) -> Module:
        """Compiles for these sizes, or for symbolic ones up to ``most``."""
        import torch

        from ._compile import compile

        part = _Frozen.of(self._graph, {i: given[i] for i in self._fixed}, self._count, self._sizes if most else {})
        settings, shapes = dict(self._settings), None
        if most:
            dims = {symbol: torch.export.Dim(symbol, min=2, max=n) for symbol, n in most.items()}
            axes: list[dict[int, Any]] = [{} for _ in self._free]
            for (at, axis), symbol in self._symbols.items():
                axes[at][axis] = dims[symbol]
            shapes = {"free": tuple(axes)}
        # Outside of inference mode: its tensors cannot be saved for a graph.
        with torch.inference_mode(False), torch.no_grad():
            program = torch.export.export(part, tuple(given[i].detach().clone() for i in self._free), dynamic_shapes=shapes)
            if _writes(program):
                raise BeimingError("it writes to its inputs")
            model = torch_to_onnx(program)
            if most:
                largest = max(most.values())
                names = {d.dim_param for i in model.graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}
                settings["dims"] = {**{n: (1, most.get(n, largest)) for n in names}, **settings.get("dims", {})}
            module = compile(model, **settings).module()
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
    def of(graph: Any, fixed: dict[int, Any], count: int, sizes: dict[int, tuple[int, int]]) -> Any:
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
                # Numbers that are extents stay so.
                known.update((i, free[at].shape[axis]) for i, (at, axis) in sizes.items())
                return self.graph(*[known[i] if i in known else next(rest) for i in range(count)])

        return Frozen()


def _symbolic(graph: Any, free: list[int]) -> tuple[dict[tuple[int, int], str], dict[int, tuple[int, int]]]:
    """Which axes of the free inputs are symbolic, by what symbol, and which inputs are such an extent; nothing where an axis is an
    expression, or a number is an extent of no free input."""
    import torch

    values = [n.meta.get("example_value") for n in graph.graph.nodes if n.op == "placeholder"]
    symbols: dict[tuple[int, int], str] = {}
    for at, i in enumerate(free):
        for axis, n in enumerate(getattr(values[i], "shape", ())):
            if isinstance(n, torch.SymInt):
                symbols[at, axis] = str(n)
    if not all(s.isidentifier() for s in symbols.values()):
        return {}, {}
    places = {symbol: place for place, symbol in symbols.items()}
    numbers = {i: str(v) for i, v in enumerate(values) if isinstance(v, torch.SymInt)}
    if not all(s in places for s in numbers.values()):
        return {}, {}
    return symbols, {i: places[s] for i, s in numbers.items()}


def _first_cause(e: BaseException) -> str:
    """What went wrong first: torch's exporter wraps the error that names the op in others that do not."""
    while (cause := e.__cause__ or (None if e.__suppress_context__ else e.__context__)) is not None:
        e = cause
    return f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"


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

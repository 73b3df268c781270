"""What can be compiled, as a path or bytes that the compiler reads."""

from __future__ import annotations

import os
from typing import Any, Optional, Union

from ._equations import is_traced

Source = tuple[Union[str, bytes], str, Optional[str]]


def model_source(model: Any) -> Source:
    """A path or bytes, a name, and a folder for external data."""
    if isinstance(model, (str, os.PathLike)):
        path = os.fspath(model)
        # Python's own words for a file that is not there.
        with open(path, "rb"):
            pass
        return path, os.path.splitext(os.path.basename(path))[0], None
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), "model", None
    module = type(model).__module__.split(".")[0]
    if module.startswith("onnx") and hasattr(model, "SerializeToString"):
        return model.SerializeToString(), model.graph.name or "model", None
    if is_jax(model):
        return _jax(model)
    if module == "torch":
        return _torch(model)
    # An onnx_ir or onnxscript model, or any other that has the message inside.
    proto = getattr(model, "model_proto", None)
    if proto is not None and hasattr(proto, "SerializeToString"):
        return model_source(proto)
    raise TypeError(
        f"cannot compile a {type(model).__module__}.{type(model).__qualname__}; give a path, bytes, an onnx.ModelProto, "
        "jax.jit(f).lower(...), jax.export.export(...), or a torch.export.ExportedProgram"
    )


def is_jax(model: Any) -> bool:
    """Whether it is an object of JAX."""
    return type(model).__module__.split(".")[0].startswith("jax")


def _jax(model: Any) -> Source:
    if is_traced(model):
        return _jax(model.lower())
    if hasattr(model, "compiler_ir"):
        text = str(model.compiler_ir("stablehlo"))
        return text.encode(), _mlir_name(text), None
    if hasattr(model, "mlir_module"):
        text = model.mlir_module()
        return text.encode(), getattr(model, "fun_name", "") or _mlir_name(text), None
    raise TypeError(
        f"cannot compile a {type(model).__qualname__}; give jax.jit(f).trace(...), jax.jit(f).lower(...) or "
        "jax.export.export(jax.jit(f))(...)"
    )


def _mlir_name(text: str) -> str:
    head = text.split("\n", 1)[0].split("@", 1)
    return head[1].split(" ", 1)[0] if len(head) == 2 else "model"


def _torch(model: Any) -> Source:
    import torch

    if not isinstance(model, torch.export.ExportedProgram):
        raise TypeError(
            f"cannot compile a {type(model).__qualname__}; export it first: torch.export.export(model, example_inputs), or use "
            'torch.compile(model, backend="beiming")'
        )
    return torch_to_onnx(model).SerializeToString(), "exported", None


def torch_to_onnx(program: Any) -> Any:
    """A ``torch.export.ExportedProgram`` as an ``onnx.ModelProto``."""
    import torch

    made = torch.onnx.export(program, dynamo=True, verbose=False)
    if made is None:
        raise RuntimeError("torch.onnx.export gave no model")
    return made.model_proto

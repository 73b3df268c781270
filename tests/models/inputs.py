"""Inputs for the models of models.toml: random by a fixed seed, of the kind the file names."""

import tomllib
from pathlib import Path

import numpy as np

DTYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}


def table() -> dict:
    """The models by name."""
    return tomllib.loads((Path(__file__).parent / "models.toml").read_text())


def shapes(entry: dict) -> dict:
    """Shapes by input name; a symbol has the value that it is tried with."""
    out, symbols = {}, entry.get("try", {})
    for s in entry.get("shape", []):
        name, dims = s.rsplit(":", 1)
        out[name] = [int(symbols.get(d, d)) for d in dims.split("x")]
    return out


def options(entry: dict) -> list[str]:
    """The command line's arguments that say the same."""
    return [a for key in ("shape", "dim") for s in entry.get(key, []) for a in (f"--{key}", s)]


def make(entry: dict, session, seed: int = 0) -> dict:
    """Random arrays for every input of an onnxruntime session."""
    rng, fixed, out = np.random.default_rng(seed), shapes(entry), {}
    for i in session.get_inputs():
        shape = fixed.get(i.name, i.shape)
        dtype, kind = DTYPES[i.type], entry.get("input", {}).get(i.name, "normal")
        if isinstance(kind, dict) and "value" in kind:
            out[i.name] = np.full(shape, kind["value"], dtype)
        elif isinstance(kind, dict):
            out[i.name] = rng.integers(kind["lo"], kind["hi"], shape).astype(dtype)
        elif kind == "image":
            out[i.name] = rng.random(shape).astype(dtype)
        else:
            out[i.name] = rng.standard_normal(shape).astype(dtype)
    return out

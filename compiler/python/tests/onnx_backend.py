"""Runs the ONNX project's own backend tests through `beiming.backend.Backend` and writes what became of each.

    python onnx_backend.py            says what differs from the published list (docs/onnx-backend.md)
    python onnx_backend.py --write    publishes

A test passes, is refused (an exception that says what is not supported), or is wrong. There must be none of the last kind.
Results of float16 that are all within two units in the last place, which ONNX's tolerance does not always allow, are told apart, and
so are those of random choices: ONNX's expected numbers are those of one run of its own generator, so that only type, shape and range
can be held against them.
"""

from __future__ import annotations

import pathlib
import re
import sys
import unittest
import warnings
from collections import Counter, defaultdict
from typing import Any, Iterator

import numpy as np
import onnx
import onnx.backend.test

import beiming
from beiming.backend import Backend

PUBLISHED = pathlib.Path(__file__).parents[3] / "docs" / "onnx-backend.md"


# What ONNX rounds after every step and kernels at the end may differ by, in units in the last place of float16.
UNITS = 2


# Operators of ONNX's tests that choose 0 or 1 by chance.
RANDOM = ("Bernoulli", "RandomUniformLike")


class Suite(onnx.backend.test.BackendTest):
    """ONNX's tests, which tell a result that is rounded otherwise from one that is wrong."""

    @classmethod
    def assert_similar_outputs(cls, ref_outputs: Any, outputs: Any, rtol: float, atol: float, model_dir: Any = None) -> None:
        try:
            super().assert_similar_outputs(ref_outputs, outputs, rtol, atol, model_dir)
        except AssertionError as e:
            pairs = list(zip(ref_outputs, outputs))
            if all(a.dtype == b.dtype == np.float16 and a.shape == b.shape for a, b in pairs):
                # Neighbours of one sign have neighbouring bits.
                units = max(int(np.abs(a.view(np.int16).astype(int) - b.view(np.int16)).max(initial=0)) for a, b in pairs)
                if units <= UNITS:
                    raise Rounding from e
            if any(n.op_type in RANDOM for n in Recorder.model.graph.node):
                if all(a.dtype == b.dtype and a.shape == b.shape and np.isin(b, (0, 1)).all() for a, b in pairs):
                    raise Chance from e
            if any(n.op_type == "DFT" for n in Recorder.model.graph.node) and all(_near_its_largest(a, b) for a, b in pairs):
                raise Rounding from e
            raise


def _near_its_largest(want: np.ndarray, got: np.ndarray) -> bool:
    """Whether float32 numbers differ by less than a unit in the last place of the largest of them. A transform is no more exact than
    that in any element; where the exact result is zero, ONNX expects the noise of the transform that wrote its test."""
    if not want.dtype == got.dtype == np.float32 or want.shape != got.shape or not want.size:
        return False
    return float(np.abs(want.astype(float) - got).max()) <= float(np.spacing(np.abs(want).max()))


class Rounding(Exception):
    """The result is rounded otherwise than the expected one; see `Suite`."""


class Chance(Exception):
    """The result is drawn from another generator than the expected one, of the same type, shape and values."""


class Recorder(Backend):
    """The backend, which keeps what it prepared."""

    last: Any = None
    model: onnx.ModelProto

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Any:
        cls.last, cls.model = None, model
        cls.last = super().prepare(model, device, **kwargs)
        return cls.last


def cases(kind: str = "Node") -> Iterator[tuple[str, unittest.TestCase]]:
    """ONNX's own test cases for the CPU, by name."""
    made = Suite(Recorder, __name__).test_cases[f"OnnxBackend{kind}ModelTest"]
    for method in sorted(dir(made)):
        if method.startswith("test_") and method.endswith("_cpu"):
            yield method.removeprefix("test_").removesuffix("_cpu"), made(method)


def outcome(case: unittest.TestCase) -> tuple[str, str]:
    """`passes`, `constant` where some inputs became constants first, `rounded`, `chance`, `refused` with the reason, or `wrong`."""
    try:
        with warnings.catch_warnings():
            # Some tests compute with NaN on purpose, in numpy.
            warnings.simplefilter("ignore")
            getattr(case, case._testMethodName)()
    except beiming.UnsupportedOpsError as e:
        reasons = [f"{o['op'].split(',')[0]}: {general(o['why'])}" if o["op"] else general(o["why"]) for o in e.ops]
        return "refused", "; ".join(dict.fromkeys(reasons)) or general(e.diagnostics[0]["message"])
    except beiming.BeimingError as e:
        kind = "wrong" if isinstance(e, beiming.CompilerBug) else "refused"
        return kind, f"{type(e).__name__} {e.code}: {general(e.diagnostics[0]['message'] if e.diagnostics else str(e))}"
    except unittest.SkipTest as e:
        return "refused", f"skipped by ONNX: {e}"
    except Rounding:
        return "rounded", ""
    except Chance:
        return "chance", ""
    except Exception as e:
        lines = [line.strip() for line in str(e).splitlines() if line.strip()]
        return "wrong", f"{type(e).__name__}: {' / '.join(lines[:4])}"
    return ("constant" if Recorder.last is not None and Recorder.last.constants else "passes"), ""


def general(message: str) -> str:
    """A message without what is only this model's: its names."""
    return re.sub(r" *`[^`]*`,?", "", message.split("\n")[0])


def run(wanted: str = "") -> dict[str, tuple[str, str]]:
    """The outcome of every test whose name contains `wanted`."""
    return {name: outcome(case) for name, case in cases() if wanted in name}


def page(results: dict[str, tuple[str, str]]) -> str:
    """What is published."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, (kind, reason) in results.items():
        if kind == "refused":
            by_reason[reason].append(name)
    wrong = {n: r for n, (k, r) in results.items() if k == "wrong"}
    rounded = [n for n, (k, _) in results.items() if k == "rounded"]
    chance = [n for n, (k, _) in results.items() if k == "chance"]
    count = Counter(k for k, _ in results.values())
    lines = [
        "# ONNX's backend tests",
        "",
        f"The {len(results)} node tests of onnx {onnx.__version__} through `beiming.backend.Backend`, for the machine they run on. Written by",
        "`compiler/python/tests/onnx_backend.py --write`; `make test-python` runs them all and fails where this page is not what it sees.",
        "",
        "| tests | |",
        "|---|---|",
        f"| pass | {count['passes']} |",
        f"| pass, with inputs that decide shapes (axes, sizes, counts) as constants of the compiled model | {count['constant']} |",
        f"| rounded otherwise, past ONNX's tolerance: float16 within {UNITS} units in the last place, a Fourier transform within one of its largest element | {count['rounded']} |",
        f"| chosen by chance: type, shape and range compared, as the numbers are of another generator | {count['chance']} |",
        f"| refused, with an error that says why | {count['refused']} |",
        f"| wrong | {count['wrong']} |",
        "",
        "Every test that is not listed here passes.",
        "",
        "## Refused",
        "",
        "| reason | tests | |",
        "|---|---|---|",
    ]
    for reason, names in sorted(by_reason.items(), key=lambda x: (-len(x[1]), x[0])):
        lines.append(f"| {reason.replace('|', '/')} | {len(names)} | {', '.join(f'`{n}`' for n in names)} |")
    if rounded:
        lines += ["", "## Rounded otherwise", "", "ONNX's expected values are rounded after every step, kernels round what they store; where a transform's exact result is zero, ONNX expects the noise of another."]
        lines += ["", ", ".join(f"`{n}`" for n in rounded)]
    if chance:
        lines += ["", "## Chosen by chance", "", ", ".join(f"`{n}`" for n in chance)]
    if wrong:
        lines += ["", "## Wrong", "", "| test | |", "|---|---|", *(f"| `{n}` | {r.replace('|', '/')} |" for n, r in wrong.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    flags = [a for a in sys.argv[1:] if a.startswith("--")]
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    found = run(*names)
    text = page(found)
    if "--write" in flags:
        PUBLISHED.write_text(text)
    else:
        print(text)
    sys.exit(any(kind == "wrong" for kind, _ in found.values()))

"""Where the time of a run goes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Union


@dataclass
class OpTime:
    """Time of one step of the plan, the mean over runs: a kernel by the names of the model's nodes in it."""

    name: str
    kernel: str
    calls: float
    microseconds: float
    gflops: float
    gigabytes_per_second: float


class Profile:
    """Times of every step of some runs."""

    def __init__(self, model: str, measured: list[tuple[int, list[tuple[str, str, int, int, int, int]]]]) -> None:
        self.model = model
        self._measured = measured

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self._measured)

    @property
    def microseconds(self) -> float:
        """Mean time of a run."""
        return sum(total for total, _ in self._measured) / max(self.runs, 1) / 1e3

    @property
    def ops(self) -> list[OpTime]:
        """The steps in the plan's order."""
        sums: dict[tuple[int, str, str], list[int]] = {}
        for _, steps in self._measured:
            for i, (name, kernel, *numbers) in enumerate(steps):
                total = sums.setdefault((i, name, kernel), [0, 0, 0, 0])
                total[:] = [a + b for a, b in zip(total, numbers)]
        n = max(self.runs, 1)
        return [
            OpTime(name, kernel, calls / n, ns / n / 1e3, flops / max(ns, 1), moved / max(ns, 1))
            for (_, name, kernel), (calls, ns, flops, moved) in sums.items()
        ]

    def trace(self) -> dict[str, Any]:
        """The runs as a Chrome trace (chrome://tracing, Perfetto). Steps are laid end to end: what lies between two is shown after
        the last; a step in a loop is shown once, with the time of all its calls."""
        events: list[dict[str, Any]] = [{"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": self.model}}]
        start = 0.0
        for i, (total, steps) in enumerate(self._measured):
            events.append({"ph": "X", "pid": 1, "tid": 1, "name": f"run {i}", "ts": start, "dur": total / 1e3})
            at = start
            for name, kernel, calls, ns, flops, moved in steps:
                data = {"kernel": kernel, "calls": calls, "flops": flops, "bytes": moved}
                events.append({"ph": "X", "pid": 1, "tid": 1, "name": name, "ts": at, "dur": ns / 1e3, "args": data})
                at += ns / 1e3
            start = max(start + total / 1e3, at)
        return {"traceEvents": events, "displayTimeUnit": "ns"}

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes the Chrome trace."""
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.trace(), f)

    def __repr__(self) -> str:
        rows = sorted(self.ops, key=lambda o: -o.microseconds)
        lines = [f"{self.model}: {self.microseconds:.1f} us a run, mean of {self.runs}"]
        lines += [f"{o.microseconds:10.1f} us  {o.gflops:7.1f} GFLOP/s  {o.gigabytes_per_second:6.1f} GB/s  {o.name}" for o in rows[:20]]
        return "\n".join(lines + ([f"  and {len(rows) - 20} more"] if len(rows) > 20 else []))

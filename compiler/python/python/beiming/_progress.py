"""Progress of a compilation: a line in a terminal, a bar in a notebook, nothing elsewhere and nothing for short work."""

from __future__ import annotations

import sys
import time
from typing import Any, Optional


class Progress:
    """Called by the compiler some twenty times a second."""

    def __init__(self, wait: float = 0.5) -> None:
        self._start = time.monotonic()
        self._wait = wait
        self._handle: Any = None
        self._drawn = False
        self._kind = _where()

    def __call__(self, stage: str, number: int, stages: int, kernels: int, total: int) -> None:
        elapsed = time.monotonic() - self._start
        if elapsed < self._wait or not self._kind:
            return
        part = (number + (kernels / total if total else 0)) / stages
        text = f"{stage} {kernels}/{total}" if total else stage
        if self._kind == "terminal":
            bar = "=" * int(part * 24)
            sys.stderr.write(f"\r[{bar:<24}] {text:<20} {elapsed:5.1f} s")
            sys.stderr.flush()
            self._drawn = True
            return
        from IPython.display import HTML, display  # type: ignore[import-not-found, unused-ignore]

        html = HTML(f'<progress max="1" value="{part:.3f}"></progress> {text} {elapsed:.1f} s')
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)

    def done(self) -> None:
        """Takes what was drawn away."""
        if self._drawn:
            sys.stderr.write("\r" + " " * 64 + "\r")
            sys.stderr.flush()
        if self._handle is not None:
            from IPython.display import HTML  # type: ignore[import-not-found, unused-ignore]

            self._handle.update(HTML(""))


def _where() -> Optional[str]:
    shell = sys.modules.get("IPython")
    if shell is not None:
        current = shell.get_ipython()
        if current is not None and type(current).__name__ == "ZMQInteractiveShell":
            return "notebook"
    return "terminal" if sys.stderr is not None and sys.stderr.isatty() else None

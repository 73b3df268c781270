"""A model that runs."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Mapping, Optional, Union

from . import _beiming
from ._profile import Profile
from ._types import Port, ports

_executor: Optional[ThreadPoolExecutor] = None
_lock = threading.Lock()


def executor() -> ThreadPoolExecutor:
    """Threads for asynchronous calls: made at the first, one for each core."""
    global _executor
    with _lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(thread_name_prefix="beiming")
        return _executor


class Module(_beiming.Module):
    """A loaded model that can be called.

    ``Module(artifact, *, threads=0, poison=False)`` opens the path of an artifact, its bytes, or an :class:`Artifact`. ``threads``
    counts the threads of one call, the caller's among them; 0 is one for each core this process may use. ``poison`` fills memory
    with NaN before every run, so that a missing write shows.

    A call takes arrays by position or by the inputs' names and returns one array, or a tuple where the model has several outputs.
    Arrays of numpy, torch and jax are taken without a copy where they are dense, row-major and in main memory; results are of
    the same kind as the first input that is no numpy array. Element types must be the model's; scalars and lists take them.

    Any number of threads may call one module at once; each call works in memory of its own, and Python's lock is not held.

    Raises :class:`InputError`, :class:`ShapeError` and :class:`RunError`; opening raises :class:`ArtifactError`,
    :class:`TargetError` and ``OSError``.

    >>> import numpy as np
    >>> module = beiming.compile(example_model()).module()
    >>> module(np.float32([1, -2]))
    array([1., 0.], dtype=float32)
    >>> module(x=[1, -2])
    array([1., 0.], dtype=float32)
    """

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The inputs, in order."""
        return ports(self.input_ports())

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs, in order."""
        return ports(self.output_ports())

    def run(self, inputs: Mapping[str, Any], out: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        """Runs on arrays by name; for names that are no Python identifiers. Returns the results by name.

        ``out`` gives an array for every output: dense, row-major, writeable, of the output's type and shape. The results are
        written to them, and they are returned.

        >>> import numpy as np
        >>> module = beiming.compile(example_model()).module()
        >>> y = np.empty(2, np.float32)
        >>> module.run({"x": np.float32([3, -3])}, out={"y": y})["y"] is y
        True
        """
        feed = inputs if type(inputs) is dict else dict(inputs)
        if out is None:
            return super().run(feed)
        places = dict(out)
        self.run_to(feed, places)
        return places

    def run_async(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """As a call, in another thread: a future of what the call returns. ``asyncio.wrap_future`` makes it awaitable.

        >>> beiming.compile(example_model()).module().run_async(x=[1, -2]).result()
        array([1., 0.], dtype=float32)
        """
        return executor().submit(self, *args, **kwargs)

    def profile(self, *args: Any, runs: int = 10, **kwargs: Any) -> Profile:
        """Runs ``runs`` times (after one that is not counted) and measures every step.

        An input named ``runs`` must be given by position.

        >>> profile = beiming.compile(example_model()).module().profile(x=[1, -2], runs=3)
        >>> [op.name for op in profile.ops], profile.runs
        (['relu'], 3)
        """
        names = [p.name for p in self.inputs]
        feed = dict(zip(names, args), **kwargs)
        if len(args) > len(names):
            raise TypeError(f"the model takes {len(names)} inputs, {len(args)} are given")
        return Profile(self.name, self.measure(feed, runs))

    def __repr__(self) -> str:
        def text(p: Port) -> str:
            return f"{p.name}: {p.dtype}[{', '.join(map(str, p.shape))}]"

        results = ", ".join(map(text, self.outputs))
        return f"<beiming.Module {self.name} for {self.target}: ({', '.join(map(text, self.inputs))}) -> {results}>"


def load(path: Union[str, "os.PathLike[str]", bytes], *, threads: int = 0) -> Module:
    """Opens an artifact (a file's path, or the bytes of one) to run it. Only open what you would run as a program.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "relu.bmg")
    >>> beiming.compile(example_model()).save(path)
    >>> beiming.load(path)(x=[1, -2])
    array([1., 0.], dtype=float32)
    """
    return Module(path, threads=threads)

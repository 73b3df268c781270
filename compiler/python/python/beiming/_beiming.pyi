"""The extension module: what the package is written over. Use the package."""

from types import ModuleType
from typing import Any, Callable, Optional

from typing_extensions import Self

__version__: str
COMPILER: bool

_Ports = list[tuple[str, str, list[str]]]
_Step = tuple[str, str, int, int, int, int]

class Tensor:
    """A result that owns its elements; any library takes it over by DLPack, without a copy."""

    @property
    def shape(self) -> list[int]: ...
    @property
    def dtype(self) -> str: ...
    def __dlpack__(self, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __array__(self, dtype: Any = ..., copy: Optional[bool] = ...) -> Any: ...

class Artifact:
    def __new__(cls, source: Any) -> Self: ...
    def save(self, path: Any) -> None:
        """Writes the file. It appears under its name only when it is whole."""
    def to_bytes(self) -> bytes:
        """The bytes of the file."""
    def sections(self) -> list[tuple[str, int]]:
        """Name and number of bytes of each section."""
    def section(self, name: str) -> Optional[bytes]:
        """The bytes of a section, or None."""

class Module:
    def __new__(cls, artifact: Any, *, threads: int = 0, poison: bool = False) -> Self: ...
    def __init__(self, artifact: Any, *, threads: int = 0, poison: bool = False) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def run(self, inputs: dict[str, Any]) -> dict[str, Any]: ...
    def run_list(self, names: Optional[list[str]], inputs: dict[str, Any]) -> list[Any]: ...
    def run_to(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None: ...
    def measure(self, inputs: dict[str, Any], runs: int) -> list[tuple[int, list[_Step]]]: ...
    def input_ports(self) -> _Ports: ...
    def output_ports(self) -> _Ports: ...
    @property
    def name(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def idle_sessions(self) -> int: ...

class Subject:
    """A model that is held against a reference."""

    def __new__(
        cls,
        model: Any,
        name: str,
        folder: Optional[str],
        target: str,
        options: dict[str, Any],
        steps: Optional[tuple[list[str], list[tuple[str, str, int]]]] = None,
    ) -> Self: ...
    @property
    def is_onnx(self) -> bool: ...
    @property
    def outputs(self) -> list[str]: ...
    def input_ports(self) -> _Ports: ...
    def random(self, seed: int) -> list[tuple[str, str, list[int], bytes]]: ...
    def compare(
        self,
        inputs: dict[str, Any],
        ask: Optional[Callable[[Optional[bytes], list[str]], dict[str, Any]]],
        evaluate: bool,
        tolerance: tuple[float, float],
        layers: bool,
        unfused: bool,
    ) -> str: ...
    def bisect(
        self,
        inputs: dict[str, Any],
        ask: Optional[Callable[[Optional[bytes], list[str]], dict[str, Any]]],
        evaluate: bool,
        tolerance: tuple[float, float],
        stem: str,
    ) -> str: ...

def bind_exceptions(module: ModuleType) -> None: ...
def compile(
    model: Any,
    name: str,
    folder: Optional[str],
    target: str,
    options: dict[str, Any],
    output: Optional[str],
    progress: Optional[Callable[[str, int, int, int, int], Any]],
) -> tuple[Artifact, str]: ...
def finish() -> None: ...
def targets() -> list[str]: ...

"""What the sweep asks of whatever runs agents: start, stop, list, events, and little else.

Implemented by ``docker_runtime`` and ``process_runtime``; a cluster can be the next one. Every
method may block and is called on worker threads. Names are fixed per session, so that a second
start of the same session is refused by the runtime itself, whatever the callers believe.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nanoclaw.containers.spec import ContainerSpec
from nanoclaw.errors import ContainerError


class EngineDown(ContainerError):  # noqa: N818  reads as the state it reports
    """Nothing answers, or the connection broke in the middle of a call."""


class ImageMissing(ContainerError):  # noqa: N818
    """The image is not there (any more)."""


class NameTaken(ContainerError):  # noqa: N818
    """A container of this name runs already; ``args[0]`` is its id."""


class RunState(StrEnum):
    """As far as it matters here: created but never started, alive, or dead."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class Found:
    """A container of this installation as the runtime lists it. None: the label is missing."""

    container_id: str
    name: str
    state: RunState
    session_id: str | None
    runtime_version: str | None
    lease: int | None


@dataclass(frozen=True, slots=True)
class Died:
    """A container ended just now."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Listening:
    """The first event of every stream: what happens from now on will be told."""


RuntimeEvent = Died | Listening


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a container ended. ``code`` None: nobody knows any more."""

    code: int | None
    out_of_memory: bool = False
    detail: str = ""
    log_tail: bytes = b""


class Runtime(Protocol):
    """Raises ContainerError and its classes above, and nothing else."""

    def start(self, spec: ContainerSpec) -> str:
        """The id of the container, which runs. A dead one of the same name is removed first."""

    def stop(self, container_id: str, grace_seconds: int) -> None:
        """Returns when it is dead or not there: politely first, then by force."""

    def list_containers(self) -> list[Found]:
        """Everything that carries this installation's label."""

    def read_exit(self, container_id: str) -> ExitReport:
        """How it ended, with the last of its log."""

    def remove(self, container_id: str) -> None:
        """Gone afterwards, even if it was running; not an error when it is not there."""

    def events(self) -> Iterator[RuntimeEvent]:
        """Blocks for the next event; ends or raises EngineDown when the connection breaks."""

    def close(self) -> None:
        """Ends what the runtime itself keeps running."""

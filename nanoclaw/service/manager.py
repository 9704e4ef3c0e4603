"""What every service manager offers to ``actions``.

Implemented by ``systemd``, ``launchd`` and ``wrapper``. A manager knows its file and the commands
that make it count; whether the host answers is asked elsewhere.
"""

from pathlib import Path
from typing import Protocol

from nanoclaw.service.kinds import Kind, ManagerState


class Manager(Protocol):
    """Methods that change something raise ServiceError with the manager's reason."""

    kind: Kind
    name: str
    file: Path
    mode: int

    def content(self) -> bytes:
        """What belongs into ``file``."""

    def plan(self) -> list[str]:
        """The commands of ``load``, for people."""

    def load(self) -> list[str]:
        """After ``file`` was written: makes it count, at every boot too, and (re)starts the host.
        Returns what people should know."""

    def unload(self) -> list[str]:
        """Stops the host and its start at boot; ``file`` still exists."""

    def forget(self) -> None:
        """After ``file`` was removed."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def restart(self) -> None: ...

    def state(self) -> ManagerState: ...

    def linger(self) -> bool | None:
        """Whether it goes on when the user logs out; None where the question makes no sense."""

"""The words of this package: kinds of service, what a manager says, what went wrong.

Used by every module of ``service`` and by its callers. Data only.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from nanoclaw.errors import NanoclawError


class Kind(StrEnum):
    """Who starts the host and keeps it running (S-123)."""

    SYSTEMD_USER = "systemd-user"
    SYSTEMD_SYSTEM = "systemd-system"
    LAUNCHD = "launchd"
    NOHUP = "nohup"


class ServiceError(NanoclawError):
    """Installing or steering the service failed; the text names the next command."""


@dataclass(frozen=True, slots=True)
class ManagerState:
    """What the service manager says. ``text`` is its own word; ``last_exit`` why it ended last."""

    installed: bool
    active: bool
    failed: bool = False
    text: str = "not installed"
    pid: int | None = None
    since: str = ""
    restarts: int = 0
    last_exit: str = ""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What ``nanoclaw service status`` shows; ``running`` is S-124's: active and it answers."""

    kind: str
    name: str
    file: str
    home: str
    running: bool
    answers: bool
    manager: ManagerState
    host_pid: int | None = None
    linger: bool | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """What a command that changes something has done; no field ever holds a secret."""

    action: str
    kind: str
    name: str
    file: str
    running: bool
    changed: bool
    dry_run: bool = False
    linger: bool | None = None
    docker_group_stale: bool = False
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    error_lines: tuple[str, ...] = field(default=())

"""The supervisor's view of itself and its children, as a file that anybody may read.

Written by ``supervisor`` at every change and refreshed slowly; read by the command line and the
admin process through the same functions. Replaced in one step, so that a reader never meets
half a file. A reader must ask ``instance`` whether the writer still lives.
"""

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

MAX_STATUS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child; times are ISO text, for people."""

    name: str
    wanted: bool
    state: str
    pid: int | None = None
    since: str = ""
    restarts: int = 0
    last_exit: str = ""
    reason: str = ""
    next_attempt: str = ""
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The whole tree; ``state`` is starting, running, stopping or stopped."""

    version: str
    pid: int
    state: str
    started_at: str
    updated_at: str
    children: tuple[ChildStatus, ...] = ()

    def child(self, name: str) -> ChildStatus | None:
        return next((child for child in self.children if child.name == name), None)


def write_status(path: Path, status: HostStatus) -> None:
    """Raises OSError, for instance on a full disk; the earlier file then stays."""
    temporary = path.with_name(path.name + ".new")
    content = json.dumps(dataclasses.asdict(status), indent=1) + "\n"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(content)
    temporary.replace(path)


def read_status(path: Path) -> HostStatus | None:
    """None when there is no status that makes sense."""
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(MAX_STATUS_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    try:
        children = tuple(_child(item) for item in _list(fields.get("children")))
        return HostStatus(
            version=_text(fields, "version"),
            pid=_integer(fields, "pid"),
            state=_text(fields, "state"),
            started_at=_text(fields, "started_at"),
            updated_at=_text(fields, "updated_at"),
            children=children,
        )
    except TypeError:
        return None


def _child(item: object) -> ChildStatus:
    if not isinstance(item, dict):
        raise TypeError("a child is not an object")
    notes, pid = item.get("notes"), item.get("pid")
    return ChildStatus(
        name=_text(item, "name"),
        wanted=bool(item.get("wanted")),
        state=_text(item, "state"),
        pid=pid if isinstance(pid, int) else None,
        since=_text(item, "since"),
        restarts=_integer(item, "restarts"),
        last_exit=_text(item, "last_exit"),
        reason=_text(item, "reason"),
        next_attempt=_text(item, "next_attempt"),
        notes={str(k): str(v) for k, v in notes.items()} if isinstance(notes, dict) else {},
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"{key} is not text")
    return value


def _integer(fields: dict[str, object], key: str) -> int:
    value = fields.get(key, 0)
    if not isinstance(value, int):
        raise TypeError(f"{key} is not a number")
    return value

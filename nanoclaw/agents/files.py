"""Files that one agent sends to another: from the sender's folder into the target's inbox (H-244).

Used by ``agents.messages``. The sender's folder is hostile and read only through
``sessions.out_files``; the target's ``in`` belongs to the host. Large messages take several rounds,
so that nobody else waits for their bytes: what is there already is not copied again.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from contract.layout import FILES_DIR
from nanoclaw.effects.base import Again
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import READABLE_FOLDER, SessionFolder
from nanoclaw.sessions.out_files import (
    MIB,
    BadFile,
    FileWanted,
    OutFileLimits,
    clear_out_files,
    copy_out_file,
    is_safe_name,
)

LIMITS = OutFileLimits()
BYTES_PER_ROUND = 16 * MIB
"""A twentieth of a second or so; the rest comes in the next round."""
GO_ON = Again("more files are to be copied", 0.0)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileOrder:
    """``message_id`` names the sender's folder, ``arrives_as`` the target's."""

    sender: Session
    target: SessionFolder
    message_id: str
    arrives_as: str


@dataclass(frozen=True, slots=True)
class Brought:
    """Attachments as the content lists them, and what was left out and why.

    ``more``: some are still to be copied; call again.
    """

    attachments: tuple[dict[str, object], ...] = ()
    problems: tuple[str, ...] = ()
    more: bool = False


def bring(paths: HostPaths, order: FileOrder, names: object) -> Brought:
    """Raises OSError for trouble with the host's own folders only."""
    wanted = _names(names)
    if not wanted:
        return Brought()
    folder = SessionFolder.of(paths, order.sender.agent_group_id, order.sender.id)
    try:
        out_fd = folder.open_out()
    except OSError as error:
        reason = f"they cannot be reached: {error.strerror or error}"
        return Brought(problems=tuple(f"{name} ({reason})" for name in wanted))
    try:
        with _inbox(order) as target_fd:
            return _bring(out_fd, target_fd, order, wanted)
    finally:
        os.close(out_fd)


def clear(paths: HostPaths, order: FileOrder) -> None:
    """The sender's copies are not needed any more. Never raises."""
    folder = SessionFolder.of(paths, order.sender.agent_group_id, order.sender.id)
    try:
        out_fd = folder.open_out()
    except OSError:
        return
    try:
        clear_out_files(out_fd, order.message_id)
    finally:
        os.close(out_fd)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(dict.fromkeys(name for name in value if isinstance(name, str) and name))


def _bring(out_fd: int, target_fd: int, order: FileOrder, names: tuple[str, ...]) -> Brought:
    attachments: list[dict[str, object]] = []
    problems = [f"{name} (is one too many)" for name in names[LIMITS.files :]]
    total = this_round = 0
    for name in names[: LIMITS.files]:
        size = _size_of(name, target_fd)
        if size is None:
            if this_round >= BYTES_PER_ROUND:
                return Brought(more=True)
            most = min(LIMITS.file_bytes, LIMITS.total_bytes - total)
            file = FileWanted(order.message_id, name, target_fd, name, most)
            found = copy_out_file(out_fd, file)
            if isinstance(found, BadFile):
                problems.append(f"{name} ({found.reason})")
                continue
            size = found.size
            this_round += size
        total += size
        attachments.append(_attachment(name, size, order.arrives_as))
    os.fsync(target_fd)
    return Brought(tuple(attachments), tuple(problems))


def _attachment(name: str, size: int, arrives_as: str) -> dict[str, object]:
    return {
        "name": name,
        "filename": name,
        "type": "file",
        "size": size,
        "localPath": f"{FILES_DIR}/{arrives_as}/{name}",
    }


def _size_of(name: str, target_fd: int) -> int | None:
    """Of the copy that an earlier round made; it got its name when it was whole."""
    if not is_safe_name(name):
        return None
    try:
        found = os.stat(name, dir_fd=target_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


@contextmanager
def _inbox(order: FileOrder) -> Iterator[int]:
    """``in/files/<arrives_as>``, made step by step below the host's own folder."""
    in_fd = os.open(order.target.in_dir, _FOLDER)
    try:
        files_fd = _subfolder(FILES_DIR, in_fd)
        try:
            inbox_fd = _subfolder(order.arrives_as, files_fd)
        finally:
            os.close(files_fd)
    finally:
        os.close(in_fd)
    try:
        yield inbox_fd
    finally:
        os.close(inbox_fd)


def _subfolder(name: str, parent_fd: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, READABLE_FOLDER, dir_fd=parent_fd)
    fd = os.open(name, _FOLDER, dir_fd=parent_fd)
    os.fchmod(fd, READABLE_FOLDER)
    return fd

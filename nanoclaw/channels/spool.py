"""Files on their way between processes; their bytes never travel in frames (C-18).

``spool/in`` holds what came from the platform, ``spool/out`` what goes there. A frame names a
file, its size and its hash; the receiver opens it beneath the folder without following links and
believes nothing else. Leftovers are swept after a day, those on their way out after a week: their
message may wait a day for a person and another one for its channel.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from contract.ids import new_id
from nanoclaw.errors import ChannelError

KEPT_FOR = timedelta(hours=24)
OUT_KEPT_FOR = timedelta(days=7)
_CHUNK_BYTES = 1024 * 1024
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class SpoolError(ChannelError):
    """A spooled file is missing, is not what its frame says, or is too large."""

    retryable = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in ``spool/in``."""

    spool: str
    size: int
    sha256: str


def open_spool(folder: Path) -> None:
    """Creates both folders of an account."""
    for name in ("in", "out"):
        (folder / "spool" / name).mkdir(mode=0o700, parents=True, exist_ok=True)


def store_inbound(folder: Path, chunks: Iterable[bytes], max_bytes: int) -> Stored:
    """Writes a file that came from the platform. Raises SpoolError above ``max_bytes``."""
    name = new_id("file")
    path = folder / "spool" / "in" / name
    digest, size = hashlib.sha256(), 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                path.unlink()
                raise SpoolError(f"the file is larger than {max_bytes} bytes")
            digest.update(chunk)
            file.write(chunk)
    return Stored(name, size, digest.hexdigest())


def copy_outbound(folder: Path, spooled: Stored, target: Path) -> None:
    """Copies a checked file from ``spool/out`` to ``target``. Raises SpoolError."""
    folder_fd = os.open(folder / "spool" / "out", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _copy_checked(folder_fd, spooled, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpoolError(f"the file cannot be read: {reason}") from error
    finally:
        os.close(folder_fd)


def _copy_checked(folder_fd: int, spooled: Stored, target: Path) -> None:
    if "/" in spooled.spool or spooled.spool in ("", ".", ".."):
        raise SpoolError("the file's name leads out of the spool folder")
    source_fd = os.open(spooled.spool, os.O_RDONLY | _FLAGS, dir_fd=folder_fd)
    with os.fdopen(source_fd, "rb") as source:
        facts = os.fstat(source_fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != spooled.size:
            raise SpoolError("the file is not the one that was announced")
        temporary = target.with_name(target.name + ".new")
        digest = hashlib.sha256()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o600)
        with os.fdopen(fd, "wb") as copy:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
        if digest.hexdigest() != spooled.sha256:
            temporary.unlink()
            raise SpoolError("the file's content is not what was announced")
        temporary.replace(target)


def remove_outbound(folder: Path, names: Iterable[str]) -> None:
    """Forgets files whose message has arrived."""
    for name in names:
        if "/" not in name and name not in ("", ".", ".."):
            (folder / "spool" / "out" / name).unlink(missing_ok=True)


def sweep_spool(folder: Path, now: datetime) -> int:
    """Removes leftovers of crashes; returns how many."""
    removed = 0
    for name, kept_for in (("in", KEPT_FOR), ("out", OUT_KEPT_FOR)):
        oldest = (now - kept_for).timestamp()
        for path in (folder / "spool" / name).glob("*"):
            removed += _remove_if_older(path, oldest)
    return removed


def _remove_if_older(path: Path, oldest: float) -> int:
    try:
        if path.lstat().st_mtime >= oldest:
            return 0
        path.unlink()
    except FileNotFoundError:
        return 0  # the delivery process removes what it put there
    return 1

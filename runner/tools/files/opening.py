"""Opens files that may be anything: never touches a device, never waits for a pipe (R-326)."""

import contextlib
import difflib
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contract.ids import new_id

MAX_NAMES = 1000


class FileProblemError(Exception):
    """What is wrong with a path, for the model to read."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Tells whether a file is still the one that was read; times alone are too coarse."""

    changed_ns: int
    size: int
    inode: int


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Stamp]]:
    """A regular file to read. Raises FileProblemError, also for what goes wrong while reading."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # some devices do something when opened
            raise FileProblemError(f"{path} is not a regular file")
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise FileProblemError(f"{path} is not a regular file")
            yield file, _stamp(facts)
    except FileNotFoundError:
        raise FileProblemError(f"there is no file {path}{similar(path)}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise FileProblemError(f"{path} cannot be read: {reason_of(error)}") from error


def read_whole(path: Path, limit: int, instead: str) -> tuple[bytes, Stamp]:
    """All of it; raises FileProblemError if that is more than ``limit`` bytes, with what to do
    instead."""
    with opened(path) as (file, stamp):
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FileProblemError(f"{path} is larger than {limit / 2**20:g} MB; {instead}")
    return data, stamp


def current_stamp(path: Path) -> Stamp | None:
    """None for what does not exist."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError) as error:
        raise FileProblemError(f"{path} cannot be reached: {reason_of(error)}") from error
    if not stat.S_ISREG(facts.st_mode):
        raise FileProblemError(f"{path} is not a regular file")
    return _stamp(facts)


def similar(path: Path) -> str:
    """Up to three names in the same folder that look alike."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, MAX_NAMES)]
    except (OSError, ValueError):
        return ""
    close = difflib.get_close_matches(path.name, names, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def replace_file(path: Path, data: bytes, known: Stamp | None) -> Stamp:
    """The whole file at once; mode, owner and symbolic links stay. ``known`` is what it has to be
    still; None: it must not exist. Raises FileProblemError."""
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        if known is None:
            return _create(target, path, data)
        if current_stamp(target) != known:
            raise FileProblemError(f"{path} has changed since you read it; read it again")
        return _swap(target, data)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileProblemError(f"{path} cannot be written: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """In words; an error of the system without its numbers and names."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _create(target: Path, path: Path, data: bytes) -> Stamp:
    """Takes the name first, so that nobody else's file is replaced."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        raise FileProblemError(f"{path} exists by now; read it before you change it") from None
    try:
        return _swap(target, data)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _swap(target: Path, data: bytes) -> Stamp:
    facts = target.stat()
    fresh = target.with_name(f".{new_id('new')}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            with contextlib.suppress(PermissionError):
                os.fchown(fd, facts.st_uid, facts.st_gid)
            os.fchmod(fd, stat.S_IMODE(facts.st_mode))
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return _stamp(target.stat())


def _stamp(facts: os.stat_result) -> Stamp:
    return Stamp(facts.st_mtime_ns, facts.st_size, facts.st_ino)

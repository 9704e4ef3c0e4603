"""Opens files that may be anything: never follows into a device, never waits for a pipe (R-326)."""

import difflib
import os
import stat
from pathlib import Path

MAX_NAMES = 1000


class FileProblemError(Exception):
    """What is wrong with a path, for the model to read."""


def read_bytes(path: Path, limit: int) -> tuple[bytes, int]:
    """At most ``limit`` bytes and the size of the file. Raises FileProblemError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileProblemError(f"there is no file {path}{similar(path)}") from None
    except OSError as error:
        raise FileProblemError(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise FileProblemError(f"{path} is not a regular file")
        try:
            return file.read(limit), facts.st_size
        except OSError as error:
            raise FileProblemError(f"{path} cannot be read: {error.strerror}") from error


def similar(path: Path) -> str:
    """Up to three names in the same folder that look alike."""
    try:
        names = [entry.name for entry in list(path.parent.iterdir())[:MAX_NAMES]]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def replace_file(path: Path, data: bytes) -> None:
    """The whole file at once; mode and links stay. Raises FileProblemError."""
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
        if target.exists() and not target.is_file():
            raise FileProblemError(f"{path} is not a regular file")
        fresh = target.with_name(f".{target.name[:100]}.{os.getpid()}.new")
        try:
            fresh.write_bytes(data)
            fresh.chmod(mode)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise FileProblemError(f"{path} cannot be written: {error.strerror}") from error

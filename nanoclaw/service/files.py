"""Files that a service manager reads, replaced in one step.

Used by every module of ``service`` that writes or compares one.
"""

import os
from pathlib import Path

from nanoclaw.service.kinds import ServiceError


def write_file(path: Path, content: bytes, mode: int) -> None:
    """In one step, so that a manager never reads half a file. Raises ServiceError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ServiceError(
            f"cannot write {path}: {error.strerror or error}; correct the rights of {path.parent}"
        ) from error


def read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

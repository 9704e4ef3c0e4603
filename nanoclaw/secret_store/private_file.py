"""Files that nobody but their owner may read: written whole, read only as they should be.

Used by the store. A file is replaced by renaming, so that a reader sees the old content or the new
one and a killed writer leaves the old one. What others can read, a link and anything that is no
plain file is refused with the command that helps.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from contract.ids import new_id
from nanoclaw.secret_store.entries import SecretError

FILE_MODE = 0o600
Stamp = tuple[int, ...]


def read_private(path: Path, max_bytes: int) -> str | None:
    """The content; None without such a file. Raises SecretError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise SecretError(f"{path} is a link; put the file itself there") from None
        raise SecretError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        problem = problem_of(path, os.fstat(fd))
        if problem is not None:
            raise SecretError(problem)
        content = os.read(fd, max_bytes + 1)
    finally:
        os.close(fd)
    if len(content) > max_bytes:
        raise SecretError(f"{path} is larger than {max_bytes} bytes; it is no secret of ours")
    return content.decode("utf-8", "replace")


def problem_of(path: Path, found: os.stat_result) -> str | None:
    """Why this is no safe place for a secret; None: it is one."""
    if stat.S_ISLNK(found.st_mode):
        return f"{path} is a link; put the file itself there"
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a file"
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}"
    if found.st_uid != os.geteuid():
        return f"{path} belongs to user id {found.st_uid}; run: chown {os.geteuid()} {path}"
    return None


def write_private(path: Path, content: str) -> None:
    """Beside it, synced, and renamed over it. Raises SecretError and leaves the old one then."""
    beside = path.with_name(f".{new_id('new')}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise SecretError(f"{path} cannot be written: {error.strerror or error}") from None


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_leftovers(folder: Path) -> None:
    """What killed writers left behind; called under the store's lock."""
    for path in folder.glob(".new-*"):
        with suppress(OSError):
            path.unlink()


def stamp_of(path: Path) -> Stamp | None:
    """Another one after every change; None: there is nothing."""
    try:
        return stamp_from(path.lstat())
    except OSError:
        return None


def stamp_from(found: os.stat_result) -> Stamp:
    return (
        found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode,
        found.st_uid,
    )  # fmt: skip

"""Puts a file beside the message that will carry it: ``out/files/<message id>/<name>``.

Called by the desk in a thread, before the row is written: a kill in between leaves a file without
message, which the next start removes, and never a message without its file. Only plain files are
opened, so that a pipe or a device can neither hang nor drain us.
"""

import os
import shutil
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.durable import sync_folder
from contract.killpoint import reached

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_NAME_BYTES = 255
MAX_SWEPT = 10_000
"""Folders looked at when left-overs are removed."""
_CHUNK = 1024 * 1024
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class OutboxError(Exception):
    """Why the file cannot be sent, in words for the agent."""


def name_problem(name: str) -> str | None:
    """What is wrong with a shown name (H-54), or None."""
    if name in ("", ".", "..") or any(c in name for c in "/\\\0"):
        return f"{name!r} is not a plain file name"
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "the file name contains control characters"
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "the file name is not valid text; give another one as 'filename'"
    # Room for the temporary name's prefix.
    return "the file name is too long" if len(encoded) > MAX_NAME_BYTES - 1 else None


def copy_in(source: Path, folder: Path, name: str) -> None:
    """The file is durable under its name when this returns; raises OutboxError."""
    try:
        with _opened(source) as fd:
            folder.mkdir(parents=True)
            try:
                _copy(fd, folder / f".{name}", folder / name, str(source))
            except BaseException:
                remove(folder)
                raise
    except OSError as error:
        raise OutboxError(f"{source}: {error.strerror or error}") from error
    reached("runner.file_copied")


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def remove_orphans(files_dir: Path, known: Container[str]) -> int:
    """Deletes folders without a message in the queue; how many went. Never raises."""
    removed = 0
    with suppress(OSError), os.scandir(files_dir) as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_SWEPT:
                break
            if entry.name not in known and entry.is_dir(follow_symlinks=False):
                remove(Path(entry.path))
                removed += 1
    return removed


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of a plain, readable file of bounded size."""
    _check(path, path.stat())  # before opening: opening a device can have effects
    fd = os.open(path, _READ)
    try:
        _check(path, os.fstat(fd))
        yield fd
    finally:
        os.close(fd)


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OutboxError(f"{path} is not a regular file; pack a folder into an archive first")
    if found.st_size > MAX_FILE_BYTES:
        raise OutboxError(_too_large(str(path)))


def _copy(fd: int, temporary: Path, target: Path, shown: str) -> None:
    out = os.open(temporary, _CREATE, 0o644)
    try:
        left = MAX_FILE_BYTES
        while chunk := os.read(fd, _CHUNK):
            left -= len(chunk)
            if left < 0:
                raise OutboxError(_too_large(shown))
            _write_all(out, chunk)
        os.fsync(out)
    finally:
        os.close(out)
    temporary.rename(target)
    for folder in (target.parent, target.parent.parent):
        sync_folder(folder)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _too_large(shown: str) -> str:
    return f"{shown} is over the limit of {MAX_FILE_BYTES // (1024 * 1024)} MiB; send a smaller one"

"""Takes files out of a folder that an agent can write: ``out/files/<message id>/<name>``.

The one way for bytes of an agent into the host's hands: delivery copies them for a channel,
messages between agents for the other agent (H-59 to H-61, W-1, W-2). Every step goes through a
directory handle and follows no link; a file is a regular one with a single name, of the owner of
the ``out`` folder, on its file system and of bounded size. What goes wrong concerns one file and
never raises.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from contract.layout import FILES_DIR

MIB = 1024 * 1024
MAX_NAME_BYTES = 255
TEMPORARY_SUFFIX = ".part"
MAX_CLEARED = 1000
"""Entries of one message folder; more were not put there by a runner."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 * MIB
_FILE_MODE = 0o644

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutFileLimits:
    """Of one message."""

    files: int = 20
    file_bytes: int = 100 * MIB
    total_bytes: int = 100 * MIB


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """``name`` is what the agent called it, ``stored_as`` its name in the target folder."""

    name: str
    stored_as: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BadFile:
    """One that was left out; ``reason`` is the rest of a sentence that begins with its name."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileWanted:
    """One file of a message, and where it goes: a name in a folder of the host."""

    message_id: str
    name: str
    target_fd: int
    stored_as: str
    max_bytes: int


class _BadError(Exception):
    """Why this file is not taken."""


def is_safe_name(name: object) -> bool:
    """H-54: one component of a path, and nothing that means something to the system."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not any(character in name for character in "/\\\0")
        and len(os.fsencode(name.encode("utf-8", "replace").decode())) <= MAX_NAME_BYTES
    )


def copy_out_files(
    out_fd: int,
    message_id: str,
    names: Sequence[str],
    target_fd: int,
    limits: OutFileLimits | None = None,
) -> tuple[tuple[CopiedFile, ...], tuple[BadFile, ...]]:
    """All files of a message under their own names; a name twice is one file."""
    limits = limits or OutFileLimits()
    copied: list[CopiedFile] = []
    bad: list[BadFile] = []
    left = limits.total_bytes
    for number, name in enumerate(dict.fromkeys(names)):
        if number >= limits.files:
            bad.append(BadFile(name, f"is one too many: at most {limits.files} files are sent"))
            continue
        most = min(limits.file_bytes, left)
        found = copy_out_file(out_fd, FileWanted(message_id, name, target_fd, name, most))
        if isinstance(found, CopiedFile):
            left -= found.size
            copied.append(found)
        else:
            bad.append(found)
    return tuple(copied), tuple(bad)


def copy_out_file(out_fd: int, wanted: FileWanted) -> CopiedFile | BadFile:
    """Whole or not at all, on disk when this returns; an earlier copy of that name is replaced."""
    try:
        return _copy(out_fd, wanted)
    except _BadError as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot be copied: {error.strerror or error}"
    log.warning(
        "file of an agent refused", extra={"message_id": wanted.message_id, "reason": reason}
    )
    return BadFile(wanted.name, reason)


def clear_out_files(out_fd: int, message_id: str) -> bool:
    """Removes ``out/files/<message id>``; False when something of it stayed. Never raises (H-60).

    The agent's own files only: no link is followed, and whatever a name stands for by then is
    unlinked in that folder and nowhere else.
    """
    if not is_safe_name(message_id):
        return False
    try:
        with _folder(out_fd, FILES_DIR) as files_fd:
            with _folder(files_fd, message_id) as message_fd:
                for name in os.listdir(message_fd)[:MAX_CLEARED]:  # noqa: PTH208  a handle
                    os.unlink(name, dir_fd=message_fd)
            os.rmdir(message_id, dir_fd=files_fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        log.warning("files not cleared", extra={"message_id": message_id, "reason": str(error)})
        return False
    return True


def _copy(out_fd: int, wanted: FileWanted) -> CopiedFile:
    if not is_safe_name(wanted.message_id):
        raise _BadError("belongs to a message whose id is no file name")
    if not is_safe_name(wanted.name) or not is_safe_name(wanted.stored_as):
        raise _BadError("is not a plain file name")
    with _opened(out_fd, wanted) as source_fd:
        _check(os.fstat(source_fd), os.fstat(out_fd))
        return _copied(source_fd, wanted)


@contextmanager
def _opened(out_fd: int, wanted: FileWanted) -> Iterator[int]:
    """Looked at before opening as well, because opening a device can have effects."""
    try:
        with (
            _folder(out_fd, FILES_DIR) as files_fd,
            _folder(files_fd, wanted.message_id) as message_fd,
        ):
            _check(os.stat(wanted.name, dir_fd=message_fd, follow_symlinks=False), None)
            source_fd = os.open(wanted.name, _READ, dir_fd=message_fd)
    except FileNotFoundError:
        raise _BadError("does not exist") from None
    try:
        yield source_fd
    finally:
        os.close(source_fd)


def _check(found: os.stat_result, out: os.stat_result | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _BadError("is not a regular file")
    if found.st_nlink != 1:
        raise _BadError("has several names")
    if out is not None and (found.st_uid != out.st_uid or found.st_dev != out.st_dev):
        raise _BadError("does not belong to the agent")


def _copied(source_fd: int, wanted: FileWanted) -> CopiedFile:
    """Under a passing name first, so that nobody meets half a file."""
    temporary = wanted.stored_as.encode("utf-8", "surrogateescape")[: MAX_NAME_BYTES - 8]
    passing = os.fsdecode(temporary) + TEMPORARY_SUFFIX
    _forget(passing, wanted.target_fd)
    target_fd = os.open(passing, _WRITE, _FILE_MODE, dir_fd=wanted.target_fd)
    try:
        os.fchmod(target_fd, _FILE_MODE)
        size, digest = _stream(source_fd, target_fd, wanted.max_bytes)
        os.fsync(target_fd)
        os.replace(
            passing, wanted.stored_as, src_dir_fd=wanted.target_fd, dst_dir_fd=wanted.target_fd
        )
    except (_BadError, OSError):
        _forget(passing, wanted.target_fd)
        raise
    finally:
        os.close(target_fd)
    return CopiedFile(wanted.name, wanted.stored_as, size, digest)


def _stream(source_fd: int, target_fd: int, max_bytes: int) -> tuple[int, str]:
    """A file that grows while it is read ends at the limit, not at the end of the disk."""
    digest = hashlib.sha256()
    size = 0
    while chunk := os.read(source_fd, _CHUNK):
        size += len(chunk)
        if size > max_bytes:
            raise _BadError(f"is too large: {max_bytes // MIB} MiB are left for it in this message")
        digest.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(target_fd, view) :]
    return size, digest.hexdigest()


def _forget(name: str, dir_fd: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=dir_fd)


@contextmanager
def _folder(parent_fd: int, name: str) -> Iterator[int]:
    fd = os.open(name, _FOLDER, dir_fd=parent_fd)
    try:
        yield fd
    finally:
        os.close(fd)

"""Takes the bytes of ``outbound.db`` out of a folder that an agent can write.

The security boundary of design section 3, below SQLite: every open is relative to a directory
handle, follows no link, blocks on nothing and accepts one regular, singly linked file of bounded
size. SQLite's shared lock is held meanwhile, so that a commit is never seen in half. Used by
``outbound.snapshot`` only; never opens a path, never writes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from contract.errors import RefusalReason, SnapshotBusy, SnapshotMissing, SnapshotRefused
from contract.layout import OUTBOUND_DB
from contract.outbound.locks import is_reserved, shared_lock

JOURNAL = OUTBOUND_DB + "-journal"
SUPER_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""The last 8 bytes of a journal that names another file for SQLite to read and delete."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COUNTER = slice(24, 28)


@dataclass(frozen=True, slots=True)
class ChangeToken:
    """Differs whenever the file may have changed; ``counter`` is SQLite's own change counter.

    The counter is there because two commits can fall into one tick of the file system's clock.
    """

    inode: int
    size: int
    mtime_ns: int
    counter: int


@dataclass(frozen=True, slots=True)
class RawDatabase:
    """All bytes of the file as of one commit, and the token that belongs to them."""

    data: bytearray
    token: ChangeToken


def change_token(out_dir_fd: int) -> ChangeToken | None:
    """What to compare before reading again; None when there is no file. Never raises.

    For something that is no plain file it still changes with it, so that reading can refuse it.
    """
    try:
        found = os.stat(OUTBOUND_DB, dir_fd=out_dir_fd, follow_symlinks=False)
    except OSError:
        return None
    try:
        with open_regular(OUTBOUND_DB, out_dir_fd) as fd:
            return _token(os.fstat(fd), os.pread(fd, 4, _COUNTER.start))
    except (SnapshotMissing, SnapshotRefused):
        return _token(found, b"")


def read_database(out_dir_fd: int, max_bytes: int) -> RawDatabase:
    """One consistent copy; raises a SnapshotError."""
    with open_regular(OUTBOUND_DB, out_dir_fd) as fd, shared_lock(fd):
        if _is_hot(fd, out_dir_fd):
            raise SnapshotRefused(RefusalReason.HOT_JOURNAL, JOURNAL)
        return _read_all(fd, max_bytes)


def read_database_and_journal(
    dir_fd: int, max_bytes: int, name: str = OUTBOUND_DB
) -> tuple[bytearray, bytearray]:
    """Both files for a repair, after refusing a journal that names a super-journal."""
    journal_name = f"{name}-journal"
    with open_regular(name, dir_fd) as fd, shared_lock(fd):
        database = _read_all(fd, max_bytes).data
        try:
            with open_regular(journal_name, dir_fd) as journal_fd:
                journal = _read_all(journal_fd, 2 * max_bytes).data
        except SnapshotMissing:
            journal = bytearray()
    if journal.endswith(SUPER_JOURNAL_MAGIC):
        raise SnapshotRefused(RefusalReason.SUPER_JOURNAL, journal_name)
    return database, journal


@contextmanager
def open_regular(name: str, dir_fd: int) -> Iterator[int]:
    """A descriptor of a regular, singly linked file below the handle; raises a SnapshotError.

    Looked at before opening as well, because opening a device can have effects.
    """
    try:
        _check_regular(os.stat(name, dir_fd=dir_fd, follow_symlinks=False), name)
        fd = os.open(name, _FLAGS, dir_fd=dir_fd)
        try:
            _check_regular(os.fstat(fd), name)
            yield fd
        finally:
            os.close(fd)
    except FileNotFoundError as error:
        raise SnapshotMissing(name) from error
    except OSError as error:
        raise SnapshotRefused(RefusalReason.UNREADABLE, f"{name}: {error.strerror}") from error


def _check_regular(found: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SnapshotRefused(RefusalReason.NOT_REGULAR, name)
    if found.st_nlink != 1:
        raise SnapshotRefused(RefusalReason.LINKED, f"{name} has {found.st_nlink} links")


def _is_hot(fd: int, out_dir_fd: int) -> bool:
    """Whether a dead writer left a journal. Called with the shared lock held.

    A live writer has RESERVED and, because of our lock, cannot touch the database pages, so its
    journal does not matter. Looked at twice, because a writer may begin or roll back in between.
    """
    journal = _journal(out_dir_fd)
    if journal is None or is_reserved(fd):
        return False
    if _journal(out_dir_fd) != journal or is_reserved(fd):
        raise SnapshotBusy("a journal comes or goes")
    return True


def _journal(out_dir_fd: int) -> tuple[int, int, int] | None:
    """What identifies a journal that counts; None for one that SQLite itself would ignore.

    Its first byte is zero until the writer has made it durable, and only after that the writer
    touches the database.
    """
    try:
        with open_regular(JOURNAL, out_dir_fd) as fd:
            if os.pread(fd, 1, 0) in (b"", b"\0"):
                return None
            found = os.fstat(fd)
    except SnapshotMissing:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_all(fd: int, max_bytes: int) -> RawDatabase:
    found = os.fstat(fd)
    if found.st_size > max_bytes:
        raise SnapshotRefused(RefusalReason.TOO_LARGE, f"{found.st_size} bytes")
    data = bytearray(found.st_size)
    done = 0
    with memoryview(data) as view:
        while done < len(data):
            count = os.preadv(fd, [view[done:]], done)
            if count == 0:
                raise SnapshotRefused(RefusalReason.CORRUPT, "shrank while being read")
            done += count
    return RawDatabase(data, _token(found, data[_COUNTER]))


def _token(found: os.stat_result, counter: bytes | bytearray) -> ChangeToken:
    return ChangeToken(
        found.st_ino, found.st_size, found.st_mtime_ns, int.from_bytes(counter, "big")
    )

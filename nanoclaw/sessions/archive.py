"""Closed sessions: the folder becomes one compressed file, and a folder again when it is needed.

The sweep closes what was quiet for long (design section 10); the next message reopens the same
session with its numbers and history. Where the folder exists it is complete and the truth; only
where it does not, the archive is. Each step is one rename, so a crash leaves one of the two.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from contract.durable import sync_folder
from contract.errors import SessionFileCorrupt
from contract.killpoint import reached

if TYPE_CHECKING:
    import tarfile

SUFFIX = ".tar.gz"
MAX_FILES = 100_000
COMPRESSION = 6

log = logging.getLogger(__name__)


def archive_of(root: Path) -> Path:
    """The compressed form of the session folder ``root``."""
    return root.with_name(root.name + SUFFIX)


def pack(root: Path) -> None:
    """Writes the archive beside the folder, which stays. Only while nothing runs in it.

    Links and special files, which an agent may have made in ``out``, do not come along. Raises
    OSError, also when there are too many files.
    """
    import tarfile  # late: every process has this module, hardly any ever packs

    temporary = root.with_name(f".packing-{root.name}{SUFFIX}")
    with temporary.open("wb") as file:
        with tarfile.open(
            fileobj=file, mode="w:gz", compresslevel=COMPRESSION, format=tarfile.PAX_FORMAT
        ) as archive:
            for count, path in enumerate(_plain(root)):
                if count >= MAX_FILES:
                    raise OSError(f"more than {MAX_FILES} files")
                archive.add(path, arcname=str(path.relative_to(root)), recursive=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(archive_of(root))
    sync_folder(root.parent)
    reached("sweep.session_packed")


def remove_folder(root: Path) -> None:
    """Takes the folder away in one step; afterwards only the archive is there."""
    gone = root.with_name(f".removing-{root.name}")
    shutil.rmtree(gone, ignore_errors=True)
    root.rename(gone)
    reached("sweep.session_folder_removed")


def drop_archive(root: Path) -> None:
    """Forgets an archive whose folder is in use again."""
    if root.exists():
        archive_of(root).unlink(missing_ok=True)


def sweep_leftovers(agent_folder: Path) -> None:
    """Deletes what crashes have left of packing and removing below one agent group's folder."""
    for pattern in (".removing-*", ".packing-*"):
        for path in agent_folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def restore(root: Path) -> bool:
    """Makes the folder from its archive if only that is there; safe for several processes at once.

    False when there is nothing to restore. Raises OSError, and SessionFileCorrupt for an archive
    that cannot be read to its end; it stays where it is.
    """
    packed = archive_of(root)
    if root.exists() or not packed.exists():
        return False
    import gzip
    import tarfile
    import zlib

    with _locked(packed):
        if root.exists() or not packed.exists():
            return False  # somebody else was faster
        fresh = root.with_name(f".restoring-{root.name}")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _unpack(packed, fresh)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SessionFileCorrupt(str(packed), f"the archive is damaged: {error}") from error
        fresh.rename(root)
        sync_folder(root.parent)
        reached("host.session_restored")
        packed.unlink()
    log.info("session folder restored", extra={"session": root.name})
    return True


def _unpack(packed: Path, fresh: Path) -> None:
    """Our own file, but of an agent's content: only plain entries, only below the folder."""
    import tarfile

    fresh.mkdir(mode=0o700)
    with tarfile.open(packed, mode="r:gz") as archive:
        for member in archive:
            if member.isreg() or member.isdir():
                archive.extract(member, fresh, filter=_keep_owner)


def _plain(root: Path) -> Iterator[Path]:
    """Real folders and regular, singly linked files below ``root``, parents first."""
    for folder, names, files in os.walk(root, followlinks=False):
        names.sort()
        here = Path(folder)
        for name in names:
            if not (here / name).is_symlink():
                yield here / name
        for name in sorted(files):
            path = here / name
            if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
                yield path


def _keep_owner(member: "tarfile.TarInfo", path: str) -> "tarfile.TarInfo | None":
    """Python's strict filter, with the owner kept where we may set it (the container's user)."""
    import tarfile

    checked = tarfile.data_filter(member, path)
    if os.getuid() != 0:
        return checked
    return checked.replace(uid=member.uid, gid=member.gid, mode=member.mode, deep=False)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield  # restored by somebody else; the caller looks again
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)

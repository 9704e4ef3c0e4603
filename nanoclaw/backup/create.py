"""Makes one backup: ``create``. Called by the command line and by the schedule.

Works beside a running host and without one. Everything is prepared in a hidden folder of
``backups/`` and appears there by its name only when it is whole and on the disk, so a killed
create leaves nothing that ``list`` shows; what it leaves, the next one takes away.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contract.clock import to_text
from nanoclaw.backup.manifest import BackupError, Manifest
from nanoclaw.backup.sources import CAPS, Sources, Wanted
from nanoclaw.backup.writing import BodyWriter, Progress, assemble
from nanoclaw.config import HostConfig
from nanoclaw.paths import make_private_folder
from nanoclaw.version import VERSION

SCRATCH = ".creating-"
ROOM_BYTES = 64 * 1024 * 1024
MAX_SAME_SECOND = 100


@dataclass(frozen=True, slots=True)
class Created:
    path: Path
    bytes: int
    manifest: Manifest


def create(
    config: HostConfig, wanted: Wanted, now: datetime, progress: Progress,
    folder: Path | None = None,
) -> Created:  # fmt: skip
    """Raises BackupError, or StateError for a central database that cannot be read."""
    paths = config.paths
    folder = paths.backups if folder is None else folder
    if not paths.central_db.is_file():
        raise BackupError(f"there is nothing to back up in {paths.home}; choose one with --home")
    make_private_folder(folder)
    with locked(folder):
        clear_leftovers(folder)
        _check_room(paths.central_db, folder)
        scratch = folder / f"{SCRATCH}{os.getpid()}"
        scratch.mkdir(mode=0o700)
        try:
            manifest = Manifest(
                program=VERSION, schema=0, slug=paths.slug, home=str(paths.home),
                created_at=to_text(now), with_secrets=wanted.secrets, caps=dict(CAPS),
                uid=os.getuid(),
            )  # fmt: skip
            path = _write(config, wanted, (manifest, scratch, progress), (folder, now))
        except OSError as error:
            raise _failure(folder, error) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Created(path, path.stat().st_size, manifest)


def _write(
    config: HostConfig, wanted: Wanted,
    parts: tuple[Manifest, Path, Progress], place: tuple[Path, datetime],
) -> Path:  # fmt: skip
    manifest, scratch, progress = parts
    body = scratch / "body"
    writer = BodyWriter(body, manifest, progress)
    try:
        Sources(config.paths, writer, scratch).add_all(wanted)
    finally:
        writer.close()
    manifest.counts["files"] = len(manifest.members)
    folder, now = place
    for number in range(1, MAX_SAME_SECOND):
        target = folder / file_name(now, number)
        if not target.exists():
            assemble(manifest, body, target)
            return target
    raise BackupError(f"{MAX_SAME_SECOND} backups in one second in {folder}; try again")


def file_name(now: datetime, number: int = 1) -> str:
    """``nanoclaw-20260102T030405Z-0.1.0.tar.gz``; a second one of the same second gets a number."""
    again = "" if number == 1 else f"-{number}"
    return f"nanoclaw-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}{again}-{VERSION}.tar.gz"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One at a time works in this folder. Raises BackupError."""
    fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError(f"another backup is being made in {folder}; wait for its end") from None
    finally:
        os.close(fd)


def clear_leftovers(folder: Path) -> None:
    """Takes away what killed programs left. Only with the lock held."""
    for path in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(path, ignore_errors=True)


def _check_room(central: Path, folder: Path) -> None:
    """At least for the copy of the database and twice the newest archive."""
    sizes = [path.stat().st_size for path in sorted(folder.glob("nanoclaw-*.tar.gz"))[-1:]]
    needed = ROOM_BYTES + central.stat().st_size + 2 * sum(sizes)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(
            f"{folder} has {free // 2**20} MiB left and a backup may need {needed // 2**20} MiB; "
            "make room (`nanoclaw disk`, `nanoclaw backup prune`) or use --output on another disk"
        )


def _failure(folder: Path, error: OSError) -> BackupError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BackupError(
            f"{folder} is full; nothing was kept of this backup. Make room (`nanoclaw disk`) or "
            "use --output on another disk"
        )
    return BackupError(f"the backup failed: {error}; nothing was kept of it")

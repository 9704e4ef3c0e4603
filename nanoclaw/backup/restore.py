"""Brings a backup back: ``restore``. Called by the command line, and in part by the drill.

Refuses while a host runs on the home. The archive is verified, unpacked beside the data, brought
to today's schema and settled there; then ``switchover`` decides and moves. Killed before that, the
old data is untouched; killed after it, the new one is completed by the next restore or start.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from contract.errors import SnapshotError, SnapshotMissing
from contract.killpoint import reached
from nanoclaw import switchover
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.backup.catalog import ASIDE
from nanoclaw.backup.manifest import BackupError, Manifest
from nanoclaw.backup.reading import unpack, verify
from nanoclaw.db import backup as database
from nanoclaw.db import sessions
from nanoclaw.db.backup import SessionPlace, Settled
from nanoclaw.db.connection import SCHEMA_NUMBER, open_central, transaction
from nanoclaw.db.migrations import migrate
from nanoclaw.errors import NanoclawError
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.outbox import read_committed
from nanoclaw.supervise.instance import take_instance_lock

PREPARED = ".restoring"
ROOM_BYTES = 64 * 1024 * 1024
CURSOR = "cursor.json"
"""A channel's position: with an old one it would fetch, and answer, what was answered before."""


@dataclass(frozen=True, slots=True)
class Restored:
    """``held`` messages wait for the owner's word; ``aside`` has the data of before, if any."""

    manifest: Manifest
    aside: Path | None
    held: int
    unseen: int
    migrations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    settled: Settled
    unseen: int
    migrations: tuple[str, ...]


def look(path: Path) -> Manifest:
    """Everything that can be checked without writing. Raises BackupError."""
    manifest = verify(path)
    if manifest.schema > SCHEMA_NUMBER:
        raise BackupError(
            f"{path} was made by a newer nanoclaw ({manifest.program}, schema {manifest.schema}; "
            f"this program knows {SCHEMA_NUMBER}); restore it with that version"
        )
    if "data/v2.db" not in {member.name for member in manifest.members}:
        raise BackupError(f"{path} has no central database in it; take another one")
    return manifest


def restore(path: Path, paths: HostPaths, now: datetime) -> Restored:
    """Raises BackupError, ConfigError while a host runs, StateError for a broken database."""
    manifest = look(path)
    with alone_on(paths):
        switchover.finish(paths)
        check_room(manifest, paths.home)
        prepared = paths.home / PREPARED
        shutil.rmtree(prepared, ignore_errors=True)
        try:
            unpack(path, prepared)
            reached("backup.unpacked")
            done = prepare(HostPaths(prepared), now, manifest)
            reached("backup.prepared")
        except BaseException:
            shutil.rmtree(prepared, ignore_errors=True)
            raise
        names = _names(prepared, paths, manifest)
        aside = _aside(paths, now)
        switchover.decide(paths, prepared, aside, names)
        switchover.finish(paths)
        (aside / "data" / "reserve").unlink(missing_ok=True)
        if not any(files for _, _, files in os.walk(aside)):
            shutil.rmtree(aside, ignore_errors=True)  # there was nothing but empty folders
    return Restored(
        manifest, aside if aside.exists() else None, done.settled.deliveries, done.unseen,
        done.migrations,
    )  # fmt: skip


def prepare(paths: HostPaths, now: datetime, manifest: Manifest) -> Prepared:
    """Migrates and settles the copy in ``paths``, which is nobody's home yet."""
    conn = open_central(paths.central_db, create=False)
    with closing(conn):
        applied = tuple(migrate(conn))
        found = database.problems(conn)
        if found:
            raise BackupError(f"the central database of the backup is damaged: {found[0]}")
        settled = database.settle(conn, now)
        unseen = _pass_over_unseen(database.session_places(conn), paths)
        with transaction(conn):
            for place in unseen:
                sessions.set_out_seq(conn, place.id, place.out_seq)
        count = settled.deliveries + len(unseen)
        if count:
            with transaction(conn):
                queue_owner_notice(
                    conn, f"restored/{now.isoformat()}", _notice(manifest, count), now
                )
    for cursor in (paths.data / "channels").glob(f"*/{CURSOR}"):
        cursor.unlink()
    for group in paths.sessions.glob("*"):
        group.chmod(0o700)
    return Prepared(settled, len(unseen), applied)


def _pass_over_unseen(places: list[SessionPlace], paths: HostPaths) -> list[SessionPlace]:
    """Sessions whose agents wrote what was not in the books yet, with the number to go on from."""
    found = []
    for place in places:
        out = paths.session(place.agent_group_id, place.id) / "out"
        try:
            fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            with read_committed(fd, paths.home) as snapshot:
                newest = snapshot.max_seq
        except (SnapshotMissing, SnapshotError):
            continue  # the host refuses it as well
        finally:
            os.close(fd)
        if newest > place.out_seq:
            found.append(replace(place, out_seq=newest))
    return found


def _notice(manifest: Manifest, count: int) -> str:
    return (
        f"This installation was restored from the backup of {manifest.created_at}. {count} "
        "message(s) were waiting to be sent at that time. They may have been sent since, so they "
        "are not sent again by themselves: `ncl messages list --state uncertain` shows them, "
        "`ncl messages retry ID` sends one."
    )


def _names(prepared: Path, paths: HostPaths, manifest: Manifest) -> list[str]:
    """What is switched. Without secrets in the backup those that are there stay."""
    names = sorted(path.name for path in prepared.iterdir() if path.name != "logs")
    shutil.rmtree(prepared / "logs", ignore_errors=True)
    if not manifest.with_secrets and ".env" in names and paths.env_file.exists():
        (prepared / ".env").unlink()
        names.remove(".env")
    return names


def _aside(paths: HostPaths, now: datetime) -> Path:
    base = f"{ASIDE}{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    for number in range(100):
        path = paths.home / (base if number == 0 else f"{base}-{number}")
        if not path.exists():
            return path
    raise BackupError(f"{paths.home} is full of {base}; run `nanoclaw backup prune`")


@contextmanager
def alone_on(paths: HostPaths) -> Iterator[None]:
    """The host's own lock: no host can start meanwhile. Raises ConfigError."""
    paths.ensure()
    try:
        lock = take_instance_lock(paths)
    except NanoclawError as error:
        raise BackupError(f"{error}; stop it first, a restore replaces what it works on") from None
    try:
        yield
    finally:
        lock.release()


def check_room(manifest: Manifest, home: Path) -> None:
    needed = manifest.total_bytes + 4096 * len(manifest.members) + ROOM_BYTES
    free = shutil.disk_usage(home).free
    if free < needed:
        raise BackupError(
            f"{home} has {free // 2**20} MiB left, the backup needs {needed // 2**20} MiB; "
            "make room or restore to another disk with --to"
        )

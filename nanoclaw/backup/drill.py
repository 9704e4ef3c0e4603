"""Proves that a backup can be restored: on a scratch copy, with a host that says nothing.

Called by ``nanoclaw backup verify --drill``. The copy is migrated and settled like a restore,
its databases and every session are read, and a host without channels, delivery and vault is
started on it, in which nothing is due; its status is asked for and it is stopped. The real data
is not touched. Raises BackupError with what did not work.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from contract.clock import to_text
from contract.errors import SchemaMismatch, SessionFileError, SnapshotError, SnapshotMissing
from contract.inbound.reader import read_pending_ids
from nanoclaw.backup.manifest import BackupError
from nanoclaw.backup.proof import Proof, write_proof
from nanoclaw.backup.reading import unpack
from nanoclaw.backup.restore import check_room, look, prepare
from nanoclaw.config import HostConfig
from nanoclaw.db import backup as database
from nanoclaw.db.backup import SessionPlace
from nanoclaw.db.connection import open_central
from nanoclaw.launch import own_command
from nanoclaw.paths import HostPaths, make_private_folder
from nanoclaw.sessions.archive import archive_of
from nanoclaw.sessions.outbox import read_committed

SCRATCH = ".drill-"
START_SECONDS = 30.0
STOP_SECONDS = 30.0
STATUS_SECONDS = 20.0
POLL_SECONDS = 0.1
MAX_NAMED = 3

Note = Callable[[str], None]


def drill(path: Path, config: HostConfig, now: datetime, note: Note) -> Proof:
    """The proof, also kept for the status."""
    note("reading the backup")
    manifest = look(path)
    with _scratch(config.home) as folder:
        check_room(manifest, config.home)
        note("unpacking")
        unpack(path, folder / "home")
        paths = HostPaths(folder / "home")
        note("migrating and checking the copy")
        prepare(paths, now, manifest)
        with closing(open_central(paths.central_db)) as conn:
            places = database.session_places(conn)
            database.make_idle(conn)
        left_out = {item.name for item in manifest.left_out}
        _check_sessions(paths, places, left_out)
        note("starting a host on the copy")
        seconds = _start_and_ask(paths)
    proof = Proof(path.name, manifest.created_at, to_text(now), len(places), round(seconds, 2))
    make_private_folder(config.paths.backups)
    write_proof(config.paths.backups, proof)
    return proof


def _check_sessions(paths: HostPaths, places: list[SessionPlace], left_out: set[str]) -> None:
    broken = []
    for place in places:
        root = paths.session(place.agent_group_id, place.id)
        name = root.relative_to(paths.home).as_posix()
        if any(item.startswith(f"{name}/") for item in left_out):
            continue  # said so when it was made
        problem = _session_problem(root, paths.home)
        if problem is not None:
            broken.append(f"{place.id}: {problem}")
    if broken:
        named = "; ".join(broken[:MAX_NAMED])
        raise BackupError(f"{len(broken)} session(s) of the backup cannot be read: {named}")


def _session_problem(root: Path, scratch: Path) -> str | None:
    """A session without a folder was never written to, or is packed."""
    if archive_of(root).exists() or not (root / "in").is_dir():
        return None
    try:
        read_pending_ids(root / "in" / "inbound.db")
        fd = os.open(root / "out", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (SessionFileError, SchemaMismatch, OSError) as error:
        return str(error)
    try:
        with read_committed(fd, scratch) as snapshot:
            snapshot.acks()
    except SnapshotMissing:
        return None  # the agent has not run yet
    except SnapshotError as error:
        return str(error)
    finally:
        os.close(fd)
    return None


def _start_and_ask(paths: HostPaths) -> float:
    """Seconds until the host answered."""
    words = ["--drill", "--runtime", "process", "--provider", "scripted"]
    words += ["--backup-every", "off"]
    output = paths.home / "drill.log"
    started = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*own_command(), "run", "--home", str(paths.home), *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        while not _answers(paths):
            if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                said = output.read_text(errors="replace").strip().splitlines()[-1:]
                raise BackupError(
                    f"no host starts on the restored backup: {' '.join(said) or 'it said nothing'}"
                )
            time.sleep(POLL_SECONDS)
        return time.monotonic() - started
    finally:
        _stop(process)


def _answers(paths: HostPaths) -> bool:
    """Whether ``nanoclaw status`` finds the host and all its children at work."""
    command = [*own_command(), "status", "--json", "--home", str(paths.home)]
    try:
        found = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=STATUS_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    if found.returncode != 0:
        return False
    view = json.loads(found.stdout)
    children = view["host"]["children"] if view.get("host") else []
    states = {child["state"] for child in children}
    return bool(states) and states <= {"running"} and "work" in view["facts"]


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """On the disk of the home, which has room for it; leftovers of killed drills go first."""
    make_private_folder(home)
    for old in home.glob(f"{SCRATCH}*"):
        if not _is_alive(old.name.removeprefix(SCRATCH)):
            shutil.rmtree(old, ignore_errors=True)
    folder = home / f"{SCRATCH}{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True

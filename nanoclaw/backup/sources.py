"""Walks the home and hands every file that belongs into a backup to the writer.

Called by ``create``, in the order that makes a restore safe: channels' positions before the
central database, the central database before the sessions (docs/backup.md says why). What an
agent can write is reached through folder handles only: no link is followed, nothing that blocks
is opened, and depth, number and size are bounded.
"""

import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from contract import layout
from contract.errors import SessionFileError, SnapshotError, SnapshotMissing
from contract.inbound.copying import copy_inbound
from contract.outbound.hostile import JOURNAL, read_database_and_journal
from contract.outbound.snapshot import MAX_BYTES
from nanoclaw.backup.manifest import BackupError
from nanoclaw.backup.writing import BodyWriter
from nanoclaw.db.backup import converted_sessions, copy_database
from nanoclaw.paths import HostPaths

MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_FILES = 500_000
MAX_DEPTH = 60
CAPS = {"file_bytes": MAX_FILE_BYTES, "files": MAX_FILES, "depth": MAX_DEPTH}

NOT_DATA = frozenset(
    {
        "v2.db",
        "v2.db-wal",
        "v2.db-shm",
        "v2.db-journal",
        "v2-sessions",
        "reserve",
        "search.db",
        "search.db-wal",
        "search.db-shm",
        "search.db-journal",
    }
)
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "COOKIE")
_ADDRESS_WITH_LOGIN = re.compile(r"://[^/\s]*@")
NOT_HOME = frozenset({".cache"})
TEMPORARY = (".packing-", ".removing-", ".restoring-")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Wanted:
    """What comes along beside the data itself."""

    secrets: bool = False
    logs: bool = False


class Sources:
    """``scratch`` is a private folder on the same disk."""

    def __init__(self, paths: HostPaths, writer: BodyWriter, scratch: Path) -> None:
        self._paths = paths
        self._writer = writer
        self._manifest = writer.manifest
        self._scratch = scratch
        self._files = 0
        self._known: frozenset[tuple[str, str]] = frozenset()

    def add_all(self, wanted: Wanted) -> None:
        """Raises BackupError, StateError for a broken central database, and OSError."""
        self._settings(wanted)
        self._tree(self._paths.data, "data", NOT_DATA)
        self._central()
        self._sessions()
        self._tree(self._paths.groups, "groups")
        if wanted.secrets:
            self._tree(self._paths.secrets, "secrets")
        if wanted.logs:
            self._tree(self._paths.logs, "logs")

    # --- ours -------------------------------------------------------------------------------------

    def _settings(self, wanted: Wanted) -> None:
        if self._paths.config_file.is_file():
            self._path(self._paths.config_file, "config.toml")
        if not self._paths.env_file.is_file():
            return
        if wanted.secrets:
            self._path(self._paths.env_file, ".env")
        else:
            text = self._paths.env_file.read_text(errors="replace")
            data = without_secrets(text).encode()
            self._bytes(".env", self._paths.env_file.stat(), data)

    def _central(self) -> None:
        copy = self._scratch / "v2.db"
        self._manifest.schema = copy_database(self._paths.central_db, copy)
        copy.chmod(0o600)
        self._known = converted_sessions(copy)
        self._path(copy, "data/v2.db")
        copy.unlink()

    def _sessions(self) -> None:
        root = self._paths.sessions
        if not root.is_dir():
            return
        self._writer.folder("data/v2-sessions", root.stat())
        for group in sorted(_folders(root)):
            self._writer.folder(f"data/v2-sessions/{group.name}", group.stat())
            for name in sorted(entry.name for entry in os.scandir(group)):
                if not name.startswith(TEMPORARY):
                    self._session(group / name, f"data/v2-sessions/{group.name}/{name}")

    def _session(self, path: Path, name: str) -> None:
        """A folder, or the archive of a closed one; the one may become the other meanwhile."""
        try:
            if not path.is_dir() or path.is_symlink():
                self._in_folder(path.parent, path.name, name)
                return
            if (path.parent.name, path.name) in self._known:
                self._session_folder(path, name)
                self._count("sessions")
            else:
                self._tree(path, name, NOT_HOME)  # an agent's home, or a folder of the old form
        except FileNotFoundError:
            packed = path.with_name(path.name + ".tar.gz")
            if packed.is_file():
                self._path(packed, f"{name}.tar.gz")

    def _session_folder(self, root: Path, name: str) -> None:
        self._writer.folder(name, root.stat())
        with os.scandir(root) as entries:
            parts = sorted(entry.name for entry in entries)
        for part in parts:
            below = f"{name}/{part}"
            if part == layout.IN_DIR:
                self._tree(root / part, below, frozenset({layout.INBOUND_DB, _journal_of_inbound}))
                self._inbound(root / part / layout.INBOUND_DB, f"{below}/{layout.INBOUND_DB}")
            elif part == layout.OUT_DIR:
                self._out(root / part, below)
            elif (root / part).is_dir():
                self._tree(root / part, below)
            else:
                self._in_folder(root, part, below)

    def _inbound(self, path: Path, name: str) -> None:
        copy = self._scratch / "inbound.db"
        try:
            found = path.stat()
            copy_inbound(path, copy)
            with copy.open("rb") as file:
                self._writer.file(name, found, file, copy.stat().st_size)
        except FileNotFoundError:
            return
        except SessionFileError as error:
            self._manifest.leave_out(name, str(error))
        finally:
            copy.unlink(missing_ok=True)

    # --- what an agent can write ------------------------------------------------------------------

    def _out(self, path: Path, name: str) -> None:
        """Its database as bytes, with a journal that a killed runner left for the next one."""
        skip = frozenset({layout.OUTBOUND_DB, JOURNAL, layout.HEARTBEAT})
        self._tree(path, name, skip)
        fd = os.open(path, _FOLDER)
        try:
            found = os.stat(layout.OUTBOUND_DB, dir_fd=fd, follow_symlinks=False)
            database, journal = read_database_and_journal(fd, MAX_BYTES)
        except (FileNotFoundError, SnapshotMissing):
            return
        except SnapshotError as error:
            self._manifest.leave_out(f"{name}/{layout.OUTBOUND_DB}", str(error))
            return
        finally:
            os.close(fd)
        self._bytes(f"{name}/{layout.OUTBOUND_DB}", found, bytes(database))
        if journal:
            self._bytes(f"{name}/{JOURNAL}", found, bytes(journal))

    def _in_folder(self, folder: Path, entry: str, name: str) -> None:
        fd = os.open(folder, _FOLDER)
        try:
            self._plain(fd, entry, name)
        finally:
            os.close(fd)

    def _tree(self, path: Path, name: str, skip: frozenset[str] = frozenset()) -> None:
        """``skip`` counts at the top only."""
        try:
            fd = os.open(path, _FOLDER)
        except FileNotFoundError:
            return
        except OSError as error:
            self._manifest.leave_out(name, error.strerror or str(error))
            return
        try:
            self._below(fd, name, 0, skip)
        finally:
            os.close(fd)

    def _below(self, fd: int, name: str, depth: int, skip: frozenset[str]) -> None:
        self._writer.folder(name, os.fstat(fd))
        with os.scandir(fd) as entries:
            names = sorted(entry.name for entry in entries)
        for entry in names:
            if entry not in skip:
                self._entry(fd, entry, f"{name}/{entry}", depth)

    def _entry(self, fd: int, entry: str, name: str, depth: int) -> None:
        if "\n" in name or not _is_text(name):
            self._manifest.leave_out(repr(name), "its name is not text")
            return
        try:
            mode = os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                self._plain(fd, entry, name)
                return
            if depth >= MAX_DEPTH:
                self._manifest.leave_out(name, f"more than {MAX_DEPTH} folders deep")
                return
            below = os.open(entry, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            return  # gone meanwhile
        except OSError as error:
            self._manifest.leave_out(name, error.strerror or str(error))
            return
        try:
            self._below(below, name, depth + 1, frozenset())
        finally:
            os.close(below)

    def _plain(self, fd: int, entry: str, name: str) -> None:
        """Looked at before opening as well, because opening a device can have effects."""
        found = os.stat(entry, dir_fd=fd, follow_symlinks=False)
        if not self._is_wanted(name, found):
            return
        opened = os.open(entry, _FILE, dir_fd=fd)
        with os.fdopen(opened, "rb") as file:
            found = os.fstat(opened)
            if self._is_wanted(name, found):
                self._write(name, found, file, found.st_size)

    def _is_wanted(self, name: str, found: os.stat_result) -> bool:
        if stat.S_ISLNK(found.st_mode):
            self._manifest.leave_out(name, "a link")
        elif not stat.S_ISREG(found.st_mode):
            if not stat.S_ISSOCK(found.st_mode):
                self._manifest.leave_out(name, "no regular file")
        elif found.st_size > MAX_FILE_BYTES:
            self._manifest.leave_out(name, f"{found.st_size} bytes, more than {MAX_FILE_BYTES}")
        else:
            return True
        return False

    # --- to the writer ----------------------------------------------------------------------------

    def _path(self, path: Path, name: str) -> None:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            self._write(name, found, file, found.st_size)

    def _bytes(self, name: str, found: os.stat_result, data: bytes) -> None:
        with io.BytesIO(data) as file:
            self._writer.file(name, found, file, len(data))

    def _write(self, name: str, found: os.stat_result, file: io.BufferedReader, size: int) -> None:
        self._files += 1
        if self._files > MAX_FILES:
            raise BackupError(f"more than {MAX_FILES} files; clean up with `nanoclaw disk clean`")
        self._writer.file(name, found, file, size)

    def _count(self, what: str) -> None:
        self._manifest.counts[what] = self._manifest.counts.get(what, 0) + 1


_journal_of_inbound = layout.INBOUND_DB + "-journal"


def without_secrets(text: str) -> str:
    """Settings and comments of an ``.env`` that look like no secret; no line that is neither."""
    kept = []
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        name = key.strip().removeprefix("export ").strip().upper()
        if not separator and name and not name.startswith("#"):
            continue
        if not any(word in name for word in SECRET_WORDS) and not _ADDRESS_WITH_LOGIN.search(value):
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

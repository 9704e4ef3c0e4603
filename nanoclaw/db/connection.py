"""Opens the central database: the only place that knows its file, its pragmas and its locks.

Called by every composition root and by the command line. Looks before it touches: a file that is
no database, cannot be read, or was written by a newer program is refused with StateError and left
as it is. Autocommit connections; every write stands in a ``transaction``. A connection crosses
neither a fork nor a thread.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from nanoclaw.errors import StateError

SCHEMA_NUMBER = 24
"""Number of the newest of our migrations; kept in PRAGMA user_version. 0: the earlier program."""
OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables came with it."""

BUSY_SECONDS = 5.0
CACHED_STATEMENTS = 256
"""More than there are statements in this package, so each is prepared once per process."""
FILE_MODE = 0o600
FOLDER_MODE = 0o700


def open_central(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection ready for work. Raises StateError; creates folder and file only if wanted."""
    _check_sqlite()
    if _is_there(path):
        _look_before_touching(path)
    elif create:
        _create(path)
    else:
        raise StateError(f"there is no database at {path}; `nanoclaw run` creates it")
    try:
        conn = _connect(path, "rw")
        try:
            _prepare(conn, path)
        except BaseException:
            conn.close()
            raise
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    return conn


def open_read_only(path: Path) -> sqlite3.Connection:
    """For readers beside a running host, and for looking at a database of unknown age."""
    _check_sqlite()
    if not _is_there(path):
        raise StateError(f"there is no database at {path}; `nanoclaw run` creates it")
    try:
        conn = _connect(path, "ro")
        try:
            refuse_newer(conn, path)
        except BaseException:
            conn.close()
            raise
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    return conn


def open_memory() -> sqlite3.Connection:
    """An empty database in memory with the same rules, for tests (H-11)."""
    conn = sqlite3.connect(":memory:", isolation_level=None, cached_statements=CACHED_STATEMENTS)
    _configure(conn)
    return conn


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE; committed on success, rolled back on any error, Ctrl-C included."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    finally:
        if conn.in_transaction:
            conn.execute("ROLLBACK")


@contextmanager
def joined(conn: sqlite3.Connection) -> Iterator[None]:
    """The caller's transaction, or one of our own for several statements that belong together."""
    if conn.in_transaction:
        yield
        return
    with transaction(conn):
        yield


def refuse_newer(conn: sqlite3.Connection, path: Path | str) -> int:
    """The schema number found; raises StateError when it is above ours."""
    found: int = conn.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_NUMBER:
        raise StateError(
            f"{path} was written by a newer nanoclaw (schema {found}, this program knows "
            f"{SCHEMA_NUMBER}); nothing was changed. Run the newer nanoclaw, or bring back an "
            "older state with `nanoclaw backup restore`"
        )
    return found


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(str(part) for part in OLDEST_SQLITE)
        raise StateError(
            f"SQLite {sqlite3.sqlite_version} is too old, {wanted} or newer is needed; "
            "use a Python that brings one"
        )


def _is_there(path: Path) -> bool:
    """Raises for anything that is there and is no file: a named pipe would block the open."""
    try:
        if path.is_file():
            return True
        if path.exists() or path.is_symlink():
            raise StateError(f"{path} is not a file; move it away or choose another folder")
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror or error}") from error
    return False


def _look_before_touching(path: Path) -> None:
    """Reads the version without changing a byte.

    Without a log file everything is in the main file, which is then read as immutable: a plain
    read-only connection would leave lock files behind. The file is never opened by other means
    than SQLite, because closing such a handle drops the locks of all connections of this process.
    """
    log = path.with_name(path.name + "-wal")
    try:
        if not log.exists():
            try:
                _look(path, "ro&immutable=1")
                return
            except sqlite3.DatabaseError:
                pass  # perhaps another program is just writing; the careful way decides
        _look(path, "ro")
    except sqlite3.Error as error:
        raise _refusal(path, error) from error


def _look(path: Path, mode: str) -> None:
    conn = _connect(path, mode)
    try:
        refuse_newer(conn, path)
        conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        conn.close()


def _create(path: Path) -> None:
    """An empty file with our mode; SQLite gives its side files the same one."""
    try:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
    except FileExistsError:
        return  # another program was faster; its file is as good
    except OSError as error:
        raise StateError(f"cannot create {path}: {error.strerror or error}") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    conn = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        cached_statements=CACHED_STATEMENTS,
    )
    conn.row_factory = sqlite3.Row
    return conn


def _prepare(conn: sqlite3.Connection, path: Path) -> None:
    if conn.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _switch_to_wal(conn, path)
    _configure(conn)


def _switch_to_wal(conn: sqlite3.Connection, path: Path) -> None:
    """SQLite does not wait for the lock this takes, so programs that start at once queue here."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"cannot open {path.parent}: {error.strerror or error}") from error
    try:
        with suppress(OSError):  # a file system without such locks: the busy time-out must do
            fcntl.flock(folder, fcntl.LOCK_EX)
        if conn.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise StateError(f"{path} cannot use a write-ahead log; is it on a network folder?")
    finally:
        os.close(folder)


def _configure(conn: sqlite3.Connection) -> None:
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute("PRAGMA foreign_keys=ON")
    conn.execute("PRAGMA trusted_schema=OFF")
    conn.execute("PRAGMA wal_autocheckpoint=1000")
    conn.execute("PRAGMA journal_size_limit=67108864")  # a burst does not leave a big log behind


_ADVICE = {
    "SQLITE_BUSY": "another program holds it locked; stop that program and start again",
    "SQLITE_READONLY": "it or its folder is not writable; correct owner and rights",
    "SQLITE_CANTOPEN": "it or its folder cannot be opened; correct owner and rights",
    "SQLITE_PERM": "it cannot be opened; correct owner and rights",
    "SQLITE_FULL": "the disk is full; make room and start again",
    "SQLITE_IOERR": "the disk reports an error; check it",
}


def _refusal(path: Path, error: sqlite3.Error) -> StateError:
    name: str = getattr(error, "sqlite_errorname", "")
    advice = _ADVICE.get(
        "_".join(name.split("_")[:2]),
        "it is damaged or no database; bring back a good one with `nanoclaw backup restore`",
    )
    return StateError(f"cannot use {path}: {error}; {advice}")

"""The central database for tools that work beside a running host, or before its first start.

Used by ``first_agent``, ``register`` and ``nanoclaw group``. Brings a new or older database to
today, unless a host runs that may be of another version; a dry run never writes.
"""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nanoclaw.config import HostConfig
from nanoclaw.db.connection import open_central, open_memory, transaction
from nanoclaw.db.migrations import applied, migrate, pending
from nanoclaw.errors import ConfigError, StateError
from nanoclaw.preflight import PRIVATE_UMASK

ANSWER_SECONDS = 2.0


class _UndoError(Exception):
    """Ends the transaction of a dry run."""


@contextmanager
def opened(config: HostConfig, *, dry_run: bool = False) -> Iterator[sqlite3.Connection]:
    """Raises StateError and ConfigError; errors of SQLite come out as StateError."""
    conn = _open(config, dry_run=dry_run)
    try:
        yield conn
    except sqlite3.Error as error:
        raise StateError(
            f"{config.paths.central_db} cannot be written: {error}; nothing was changed. "
            "See that the disk has room and that no other program holds it, then try again"
        ) from error
    finally:
        conn.close()


def _open(config: HostConfig, *, dry_run: bool) -> sqlite3.Connection:
    path = config.paths.central_db
    if dry_run and not path.exists():
        conn = open_memory()
        migrate(conn)
        return conn
    if not dry_run:
        os.umask(PRIVATE_UMASK)
        config.paths.ensure()
    conn = open_central(path, create=not dry_run)
    try:
        if pending(conn):
            _refuse_other_version(conn, config, dry_run=dry_run)
            migrate(conn)
    except sqlite3.Error as error:
        conn.close()
        raise StateError(f"{path} cannot be brought to today: {error}; try again") from error
    except BaseException:
        conn.close()
        raise
    return conn


def _refuse_other_version(conn: sqlite3.Connection, config: HostConfig, *, dry_run: bool) -> None:
    if dry_run:
        raise StateError(
            f"{config.paths.central_db} is of an older version, so a dry run would have to change "
            "it; run the command without --dry-run, or `nanoclaw run` once"
        )
    if applied(conn) and answers(config.paths.socket("cli")):
        raise StateError(
            "the running host is older than this program; restart it with this program first"
        )


@contextmanager
def changing(conn: sqlite3.Connection, *, dry_run: bool) -> Iterator[None]:
    """One transaction, which a dry run takes back."""
    try:
        with transaction(conn):
            yield
            if dry_run:
                raise _UndoError
    except _UndoError:
        return


def answers(path: Path) -> bool:
    """Whether a host listens on the socket."""
    return trouble_with(path) is None


def trouble_with(path: Path) -> str | None:
    """Why no host can be reached there; None: one can."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
            probe.settimeout(ANSWER_SECONDS)
            probe.connect(str(path))
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None


def need_host(config: HostConfig) -> None:
    """Raises ConfigError with the socket and the cause."""
    path = config.paths.socket("cli")
    trouble = trouble_with(path)
    if trouble is not None:
        raise HostNeededError(
            f"no host answers on {path}: {trouble}; nothing was changed. Start it with "
            "`nanoclaw run`, or add --no-welcome"
        )


class HostNeededError(ConfigError):
    """A welcome goes through the running host."""

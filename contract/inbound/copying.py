"""A private copy of ``inbound.db`` as of one commit, for backups.

Called by ``nanoclaw.backup`` beside a running host. Uses SQLite's backup API under a read
transaction, all pages in one step, so that writers wait no longer than a page copy takes. A
journal that a killed host left is rolled back first, as every writer would. Raises
SessionFileError.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from contract.errors import SessionFileBusy, SessionFileError
from contract.sqlitefile import open_for_read, open_for_write

BUSY_MS = 1000
TRIES = 3


def copy_inbound(path: Path, target: Path) -> None:
    """``target`` must not exist; it is left behind when this raises."""
    for attempt in range(TRIES):
        try:
            with open_for_read(path, busy_ms=BUSY_MS) as conn, closing(_empty(target)) as copy:
                conn.backup(copy)
            return
        except SessionFileBusy:
            if attempt + 1 == TRIES:
                raise
            _roll_back(path)


def _roll_back(path: Path) -> None:
    """A read-only connection refuses a hot journal; one that may write takes it back."""
    try:
        with open_for_write(path, mode="rw", busy_ms=BUSY_MS):
            pass
    except SessionFileError:
        return  # somebody holds it; the next try decides


def _empty(target: Path) -> sqlite3.Connection:
    target.unlink(missing_ok=True)
    return sqlite3.connect(target, isolation_level=None)

"""Runs SQL that somebody has typed on any database file, for ``nanoclaw sql`` (N-110).

There because the program ``sqlite3`` is not on every machine. Files of a session's ``out`` folder
are refused: an agent could have put a journal beside them that makes SQLite write elsewhere.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from contract.display import safe_text
from nanoclaw.errors import StateError

BUSY_MS = 5000
SESSIONS, OUT = "v2-sessions", "out"


def run_sql(path: Path, text: str) -> Iterator[str]:
    """A line per row, of every statement that has rows. Raises StateError."""
    place = path.resolve()
    if SESSIONS in place.parts and OUT in place.parts:
        raise StateError(
            f"{path} is an agent's own file and is not opened; see `ncl messages list`"
        )
    if not place.is_file():
        raise StateError(f"there is no database at {path}")
    try:
        uri = f"{place.as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as conn:
            conn.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            conn.execute("PRAGMA foreign_keys = ON")
            for statement in statements(text):
                for row in conn.execute(statement):
                    yield "|".join(map(_shown, row))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise StateError(f"{path}: {error}") from error


def statements(text: str) -> Iterator[str]:
    """Apart at each semicolon that ends one; those in texts and triggers end none."""
    begun = ""
    for piece in text.split(";"):
        begun += piece
        if sqlite3.complete_statement(begun + ";"):
            if begun.strip():
                yield begun
            begun = ""
        else:
            begun += ";"
    if begun.strip("; \n\t"):
        yield begun.rstrip(";")


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    return safe_text(str(value), keep="\n\t")

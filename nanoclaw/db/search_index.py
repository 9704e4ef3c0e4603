"""``data/search.db``: the words of all conversations and tasks, made for finding.

A copy and never the truth: it is made from the receipts and the session files, and made anew when
it is damaged or of another version. The admin process alone writes it; whoever searches opens it
read-only. The number of an entry grows with the message's time, so that the newest come first
without sorting; the trigram index refers to the entries' own text and holds no second copy of it.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from contract.clock import to_text
from nanoclaw.db.connection import transaction
from nanoclaw.db.rows import id_list
from nanoclaw.errors import StateError

VERSION = 1
BUSY_SECONDS = 2.0
FILE_MODE = 0o600
CACHE_KIB = 4096
PER_SECOND = 100
"""Numbers of one second. Few, because their distances make up much of the index."""

SCHEMA = (
    """CREATE TABLE entries (
        number INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('in', 'out', 'task')),
        message_id TEXT NOT NULL,
        agent_group_id TEXT NOT NULL,
        channel TEXT,
        sender TEXT,
        at TEXT NOT NULL,
        text TEXT NOT NULL,
        UNIQUE (session_id, kind, message_id)) STRICT""",
    "CREATE INDEX entries_group ON entries(agent_group_id, number)",
    "CREATE VIRTUAL TABLE words USING fts5(text, content='entries', content_rowid='number',"
    " tokenize='trigram')",
    # How far each source has been read; ``value`` is a number or a time.
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    # Sessions that have been read: up to which row, and how lively they were then.
    """CREATE TABLE sessions_read (
        session_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        last_active TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    """CREATE TABLE sessions_to_read (
        session_id TEXT PRIMARY KEY,
        look_at TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID""",
    "CREATE INDEX sessions_to_read_order ON sessions_to_read(look_at)",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """``kind``: in (an agent was told), out (an agent said) or task. One per message."""

    session_id: str
    kind: str
    message_id: str
    agent_group_id: str
    channel: str | None
    sender: str | None
    at: datetime
    text: str


class SearchIndex:
    """The only writer; belongs to one process."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._crowd = (0, 0)

    @classmethod
    def open(cls, path: Path) -> "SearchIndex":
        """Made anew where it is not what it should be. Raises StateError when it cannot be."""
        try:
            with suppress(sqlite3.DatabaseError):
                return cls(_opened(path))
            remove(path)
            return cls(_opened(path))
        except (sqlite3.Error, OSError) as error:
            raise StateError(f"no search: cannot use {path}: {error}") from error

    def close(self) -> None:
        self._conn.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One step forward: entries and how far was read, together."""
        with transaction(self._conn):
            yield

    # --- entries ----------------------------------------------------------------------------------

    def put(self, entries: Sequence[Entry]) -> None:
        """Those that are there already are replaced; ones without words only taken away.

        Of several of one name the last one counts: every run of a task has its row.
        """
        last = {(one.session_id, one.kind, one.message_id): one for one in entries}
        for entry in last.values():
            self._drop(
                self._conn.execute(
                    "SELECT number, text FROM entries"
                    " WHERE session_id = ? AND kind = ? AND message_id = ?",
                    (entry.session_id, entry.kind, entry.message_id),
                ).fetchall()
            )
        for entry in sorted((one for one in last.values() if one.text), key=lambda one: one.at):
            number = self._free_number(entry.at)
            self._conn.execute(
                "INSERT INTO entries (number, session_id, kind, message_id, agent_group_id,"
                " channel, sender, at, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number, entry.session_id, entry.kind, entry.message_id, entry.agent_group_id,
                    entry.channel, entry.sender, to_text(entry.at), entry.text,
                ),
            )  # fmt: skip
            self._conn.execute(
                "INSERT INTO words (rowid, text) VALUES (?, ?)", (number, entry.text)
            )

    def forget_some(self, session_id: str, limit: int) -> bool:
        """Takes entries of a session away that is no more; True when none is left."""
        rows = self._conn.execute(
            "SELECT number, text FROM entries WHERE session_id = ? LIMIT ?", (session_id, limit)
        ).fetchall()
        self._drop(rows)
        if len(rows) == limit:
            return False
        self._conn.execute("DELETE FROM sessions_read WHERE session_id = ?", (session_id,))
        self._conn.execute("DELETE FROM sessions_to_read WHERE session_id = ?", (session_id,))
        return True

    def _drop(self, rows: Sequence[sqlite3.Row]) -> None:
        for number, text in rows:
            self._conn.execute(
                "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (number, text)
            )
            self._conn.execute("DELETE FROM entries WHERE number = ?", (number,))

    def _free_number(self, at: datetime) -> int:
        """The first free one from the message's time on; a crowd pushes itself forward."""
        first = int(at.timestamp() * PER_SECOND)
        number = max(first, self._crowd[1]) if self._crowd[0] == first else first
        while self._conn.execute("SELECT 1 FROM entries WHERE number = ?", (number,)).fetchone():
            number += 1
        self._crowd = (first, number)
        return number

    # --- how far it has been read -----------------------------------------------------------------

    def mark(self, name: str) -> str | None:
        row = self._conn.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_mark(self, name: str, value: str) -> None:
        self._conn.execute(
            "INSERT INTO marks (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def read_up_to(self, session_id: str) -> int:
        row = self._conn.execute(
            "SELECT seq FROM sessions_read WHERE session_id = ?", (session_id,)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def unread(self, lively: Sequence[tuple[str, str]]) -> list[str]:
        """Of sessions with their last activity: those that have been active since they were read,
        or never were."""
        known = dict(
            self._conn.execute(
                "SELECT session_id, last_active FROM sessions_read"
                " WHERE session_id IN (SELECT value FROM json_each(?))",
                (id_list([session_id for session_id, _ in lively]),),
            ).fetchall()
        )
        return [session_id for session_id, at in lively if known.get(session_id) != at]

    def want(self, session_ids: Sequence[str], look_at: datetime) -> None:
        """They are to be read at that time, or before if they are to be already."""
        self._conn.executemany(
            "INSERT INTO sessions_to_read (session_id, look_at) VALUES (?1, ?2)"
            " ON CONFLICT (session_id) DO UPDATE SET tries = 0, look_at = min(look_at, ?2)",
            [(session_id, to_text(look_at)) for session_id in session_ids],
        )

    def to_read(self, now: datetime, limit: int) -> list[tuple[str, int]]:
        """Sessions whose time has come, and how often they could not be read."""
        rows = self._conn.execute(
            "SELECT session_id, tries FROM sessions_to_read WHERE look_at <= ?"
            " ORDER BY look_at LIMIT ?",
            (to_text(now), limit),
        ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def next_look(self) -> str | None:
        text: str | None = self._conn.execute(
            "SELECT min(look_at) FROM sessions_to_read"
        ).fetchone()[0]
        return text

    def note_read(self, session_id: str, seq: int, last_active: str) -> None:
        self._conn.execute(
            "INSERT INTO sessions_read (session_id, seq, last_active) VALUES (?, ?, ?)"
            " ON CONFLICT (session_id) DO UPDATE SET seq = excluded.seq,"
            " last_active = excluded.last_active",
            (session_id, seq, last_active),
        )

    def look_again(self, session_id: str, at: datetime, tries: int) -> None:
        self._conn.execute(
            "UPDATE sessions_to_read SET look_at = ?, tries = ? WHERE session_id = ?",
            (to_text(at), tries, session_id),
        )

    def not_wanted(self, session_id: str) -> None:
        self._conn.execute("DELETE FROM sessions_to_read WHERE session_id = ?", (session_id,))

    def sessions_after(self, session_id: str, limit: int) -> list[str]:
        """All sessions that have been read, in the order of their ids."""
        rows = self._conn.execute(
            "SELECT session_id FROM sessions_read WHERE session_id > ? ORDER BY session_id LIMIT ?",
            (session_id, limit),
        )
        return [row[0] for row in rows]


def open_for_search(path: Path) -> sqlite3.Connection:
    """For one question. Raises StateError when there is nothing to ask."""
    try:
        conn = _connect(path, "ro")
        if conn.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return conn
        conn.close()
    except sqlite3.Error as error:
        raise StateError(
            f"no search yet: {error}; the host makes its index when it runs"
        ) from error
    raise StateError("no search yet: the index is just being made anew")


def remove(path: Path) -> None:
    """The file with everything that belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.DatabaseError for a file that is none of ours."""
    conn = _connect(path, "rwc")
    try:
        path.chmod(FILE_MODE)
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=NORMAL")  # a lost step is taken again
        conn.execute("PRAGMA journal_size_limit=16777216")
        version = conn.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with transaction(conn):
                for statement in SCHEMA:
                    conn.execute(statement)
                conn.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"version {version}")
        conn.execute("SELECT count(*) FROM marks").fetchone()
    except BaseException:
        conn.close()
        raise
    return conn


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode={mode}"
    conn = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    conn.execute("PRAGMA trusted_schema=OFF")
    conn.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return conn

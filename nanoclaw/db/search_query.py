"""Questions to the search index, newest answers first, each bounded in work.

Words of three and more characters are looked up in the trigram index; shorter ones, which it cannot
find (two characters are a whole word in Chinese), are compared with the text itself. Alone they
mean a look through the newest entries only.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import number
from nanoclaw.errors import StateError

MAX_SHORT_WORDS = 3
MAX_FORMS = 4
"""Capital and small letters of two characters."""
STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Patience:
    """``scanned``: entries that are looked through for short words alone. ``rounds``: so many times
    10,000 steps of SQLite; ten thousand of them take a second or two."""

    scanned: int = 500_000
    rounds: int = 20_000


HURRIED = Patience(scanned=100_000, rounds=200)
"""Where a process that has more to do than to answer is held up meanwhile."""


class TooMuchWorkError(StateError):
    """Nothing was found before the bound."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """``match`` is an expression of FTS5, empty for short words alone; ``short`` has for each such
    word all its spellings in capitals and small letters."""

    match: str
    short: tuple[tuple[str, ...], ...] = ()
    agent_group_id: str | None = None
    session_id: str | None = None
    kind: str | None = None
    since: str | None = None
    limit: int = 50
    patience: Patience = Patience()


@dataclass(frozen=True, slots=True)
class Hit:
    number: int
    session_id: str
    kind: str
    message_id: str
    agent_group_id: str
    channel: str | None
    sender: str | None
    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Hits:
    """``complete`` False: older entries were not looked at."""

    found: tuple[Hit, ...]
    complete: bool = True


_HITS_FROM = (
    "SELECT e.number, e.session_id, e.kind, e.message_id, e.agent_group_id, e.channel, e.sender,"
    " e.at, e.text FROM "
)
_AND_FITTING = (
    " AND (?3 IS NULL OR e.session_id = ?3) AND (?4 IS NULL OR e.kind = ?4)"
    " AND (?5 IS NULL OR e.at >= ?5)"
    " AND (?8 IS NULL OR instr(e.text, ?8) OR instr(e.text, ?9)"
    " OR instr(e.text, ?10) OR instr(e.text, ?11))"
    " AND (?12 IS NULL OR instr(e.text, ?12) OR instr(e.text, ?13)"
    " OR instr(e.text, ?14) OR instr(e.text, ?15))"
    " AND (?16 IS NULL OR instr(e.text, ?16) OR instr(e.text, ?17)"
    " OR instr(e.text, ?18) OR instr(e.text, ?19))"
)
_NEWEST_FIRST = " ORDER BY e.number DESC LIMIT ?6"
_NEWEST = "(SELECT * FROM entries ORDER BY number DESC LIMIT ?7) AS e"
_NEWEST_OF_GROUP = (
    "(SELECT * FROM entries INDEXED BY entries_group WHERE agent_group_id = ?2"
    " ORDER BY number DESC LIMIT ?7) AS e"
)
_BY_WORDS = (
    _HITS_FROM + "words CROSS JOIN entries AS e ON e.number = words.rowid"
    " WHERE words MATCH ?1 AND (?2 IS NULL OR e.agent_group_id = ?2)"
    + _AND_FITTING + " ORDER BY words.rowid DESC LIMIT min(?6, ?7)"
)  # fmt: skip
_IN_ALL = _HITS_FROM + _NEWEST + " WHERE ?1 = '' AND ?2 IS NULL" + _AND_FITTING + _NEWEST_FIRST
_IN_GROUP = _HITS_FROM + _NEWEST_OF_GROUP + " WHERE ?1 = ''" + _AND_FITTING + _NEWEST_FIRST


def search(conn: sqlite3.Connection, query: SearchQuery) -> Hits:
    """Raises TooMuchWorkError, and StateError for an index that cannot be read."""
    rounds = 0

    def too_long() -> bool:
        nonlocal rounds
        rounds += 1
        return rounds > query.patience.rounds

    conn.set_progress_handler(too_long, STEPS)
    try:
        rows = conn.execute(_statement(query), _parameters(query)).fetchall()
        complete = bool(query.match) or len(rows) == query.limit or not _has_more(conn, query)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise TooMuchWorkError("too much to look through; use more or longer words") from error
        raise StateError(f"the search index cannot be read: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StateError(f"the search index cannot be read: {error}") from error
    finally:
        conn.set_progress_handler(None, 0)
    return Hits(tuple(Hit(*row) for row in rows), complete)


def _has_more(conn: sqlite3.Connection, query: SearchQuery) -> bool:
    row = conn.execute(
        "SELECT 1 FROM entries WHERE ?1 IS NULL OR agent_group_id = ?1"
        " ORDER BY number DESC LIMIT 1 OFFSET ?2",
        (query.agent_group_id, query.patience.scanned),
    ).fetchone()
    return row is not None


def _statement(query: SearchQuery) -> str:
    if query.match:
        return _BY_WORDS
    return _IN_ALL if query.agent_group_id is None else _IN_GROUP


def _parameters(query: SearchQuery) -> list[str | int | None]:
    parameters: list[str | int | None] = [
        query.match, query.agent_group_id, query.session_id, query.kind, query.since, query.limit,
        query.patience.scanned,
    ]  # fmt: skip
    for place in range(MAX_SHORT_WORDS):
        forms = query.short[place] if place < len(query.short) else ()
        parameters += [*forms[:MAX_FORMS], *[None] * (MAX_FORMS - len(forms))]
    return parameters


def backlog(conn: sqlite3.Connection, now: datetime) -> int:
    """Sessions that are still to be read; a second look at one that was read is none."""
    return number(
        conn,
        "SELECT count(*) FROM sessions_to_read WHERE look_at <= ? OR tries > 0",
        (to_text(now),),
    )


def find_message(conn: sqlite3.Connection, message_ids: Sequence[str]) -> list[str]:
    """Sessions that have a message of one of these ids."""
    rows = conn.execute(
        "SELECT DISTINCT session_id FROM entries"
        " WHERE message_id IN (SELECT value FROM json_each(?)) LIMIT 20",
        (json.dumps(list(message_ids)),),
    )
    return [row[0] for row in rows]

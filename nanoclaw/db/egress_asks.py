"""Statements on ``egress_asks``: hosts that nobody has decided about, and an owner is asked for.

Written by the vault (questions), the router (answers) and the desk (cards). One question is open
per agent group, host and port; one that has ended is remembered for a while.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, moment, number, one, time_of


class AskState(StrEnum):
    """``ended``: without an answer."""

    OPEN = "open"
    DECIDED = "decided"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class EgressAsk:
    """``session_id`` is the conversation that asked first."""

    ask_id: str
    agent_group_id: str
    host: str
    port: int
    session_id: str
    title: str
    question: str
    created_at: datetime
    expires_at: datetime
    state: AskState = AskState.OPEN


def add(conn: sqlite3.Connection, ask: EgressAsk) -> None:
    """Raises sqlite3.IntegrityError when the same is asked already."""
    conn.execute(
        "INSERT INTO egress_asks (ask_id, agent_group_id, host, port, session_id, title, question,"
        " state, card_state, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'open', 'created', ?, ?)",
        (
            ask.ask_id,
            ask.agent_group_id,
            ask.host,
            ask.port,
            ask.session_id,
            ask.title,
            ask.question,
            to_text(ask.created_at),
            to_text(ask.expires_at),
        ),
    )


def get(conn: sqlite3.Connection, ask_id: str) -> EgressAsk | None:
    return one(conn, _ask_of, "SELECT * FROM egress_asks WHERE ask_id = ?", (ask_id,))


def find_open(
    conn: sqlite3.Connection, agent_group_id: str, host: str, port: int
) -> EgressAsk | None:
    return one(
        conn,
        _ask_of,
        "SELECT * FROM egress_asks INDEXED BY egress_asks_open"
        " WHERE agent_group_id = ? AND host = ? AND port = ? AND state = 'open'",
        (agent_group_id, host, port),
    )


def recent(conn: sqlite3.Connection, agent_group_id: str, since: datetime) -> list[EgressAsk]:
    """Questions of this agent, open or not, newest first."""
    return many(
        conn,
        _ask_of,
        "SELECT * FROM egress_asks INDEXED BY egress_asks_group"
        " WHERE agent_group_id = ? AND created_at > ? ORDER BY created_at DESC",
        (agent_group_id, to_text(since)),
    )


def list_open(conn: sqlite3.Connection, agent_group_id: str | None, limit: int) -> list[EgressAsk]:
    """Of one agent group or of all, oldest first."""
    return many(
        conn,
        _ask_of,
        "SELECT * FROM egress_asks WHERE state = 'open' AND (?1 IS NULL OR agent_group_id = ?1)"
        " ORDER BY created_at, ask_id LIMIT ?2",
        (agent_group_id, limit),
    )


def with_new_card(conn: sqlite3.Connection, limit: int) -> list[EgressAsk]:
    """Those whose card is only written down, oldest first."""
    return many(
        conn,
        _ask_of,
        "SELECT * FROM egress_asks INDEXED BY egress_asks_created"
        " WHERE state = 'open' AND card_state = 'created' ORDER BY created_at LIMIT ?",
        (limit,),
    )


def mark_sent(conn: sqlite3.Connection, ask_id: str) -> bool:
    """False: it was decided or has ended meanwhile."""
    return bool(
        changed(
            conn,
            "UPDATE egress_asks SET card_state = 'sent' WHERE ask_id = ? AND state = 'open'",
            (ask_id,),
        )
    )


def end(conn: sqlite3.Connection, ask_id: str, state: AskState, now: datetime) -> bool:
    """True for the one who ended it."""
    return bool(
        changed(
            conn,
            "UPDATE egress_asks SET state = ?, ended_at = ? WHERE ask_id = ? AND state = 'open'",
            (state, to_text(now), ask_id),
        )
    )


def overdue(conn: sqlite3.Connection, now: datetime, limit: int) -> list[EgressAsk]:
    return many(
        conn,
        _ask_of,
        "SELECT * FROM egress_asks INDEXED BY egress_asks_expiry"
        " WHERE state = 'open' AND expires_at <= ? ORDER BY expires_at LIMIT ?",
        (to_text(now), limit),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    return moment(
        conn,
        "SELECT min(expires_at) FROM egress_asks INDEXED BY egress_asks_expiry"
        " WHERE state = 'open'",
    )


def prune(conn: sqlite3.Connection, before: datetime) -> int:
    return changed(
        conn,
        "DELETE FROM egress_asks WHERE state <> 'open' AND ended_at < ?",
        (to_text(before),),
    )


# --- who waits ------------------------------------------------------------------------------------


def add_session(conn: sqlite3.Connection, ask_id: str, session_id: str, limit: int) -> None:
    """Beyond the limit nobody is noted down any more; they see the answer when they try again."""
    conn.execute(
        "INSERT OR IGNORE INTO egress_ask_sessions (ask_id, session_id) SELECT ?1, ?2"
        " WHERE (SELECT count(*) FROM egress_ask_sessions WHERE ask_id = ?1) < ?3",
        (ask_id, session_id, limit),
    )


def sessions_of(conn: sqlite3.Connection, ask_id: str) -> list[str]:
    return many(
        conn,
        lambda row: str(row["session_id"]),
        "SELECT session_id FROM egress_ask_sessions WHERE ask_id = ? ORDER BY session_id",
        (ask_id,),
    )


def count_open(conn: sqlite3.Connection, agent_group_id: str) -> int:
    return number(
        conn,
        "SELECT count(*) FROM egress_asks INDEXED BY egress_asks_open"
        " WHERE agent_group_id = ? AND state = 'open'",
        (agent_group_id,),
    )


def _ask_of(row: sqlite3.Row) -> EgressAsk:
    return EgressAsk(
        ask_id=row["ask_id"],
        agent_group_id=row["agent_group_id"],
        host=row["host"],
        port=row["port"],
        session_id=row["session_id"],
        title=row["title"],
        question=row["question"],
        created_at=time_of(row["created_at"]),
        expires_at=time_of(row["expires_at"]),
        state=AskState(row["state"]),
    )

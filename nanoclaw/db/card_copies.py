"""Statements on ``card_copies``: every place where a card was sent, and what is still to be done.

Written by the desk of the delivery process; whoever ends a card marks its copies ``closing`` in
the same transaction. A copy's id is that of the delivery that carries it, which knows whether and
under which id the platform has it.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from contract.clock import to_text
from nanoclaw.db.rows import changed, exists, many, moment, one, time_of
from nanoclaw.model import DeliveryState


class CopyState(StrEnum):
    """``failed``: the platform refused it and somebody else is to be asked."""

    QUEUED = "queued"
    SHOWN = "shown"
    FAILED = "failed"
    CLOSING = "closing"
    CLOSED = "closed"


class Place(NamedTuple):
    """A chat."""

    instance: str
    platform_id: str


@dataclass(frozen=True, slots=True)
class CardCopy:
    """``closing_text`` is what the card becomes; ``look_at`` when the desk cares for it next."""

    copy_id: str
    card_id: str
    source: str
    user_id: str
    place: Place
    state: CopyState
    closing_text: str | None
    attempts: int
    look_at: datetime
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewCopy:
    copy_id: str
    card_id: str
    source: str
    user_id: str
    place: Place
    look_at: datetime


@dataclass(frozen=True, slots=True)
class SettledCopy:
    """A queued copy whose delivery has ended, or was never stored (``delivery_state`` None)."""

    copy: CardCopy
    delivery_state: DeliveryState | None
    error: str


@dataclass(frozen=True, slots=True)
class OpenCopy:
    """A card that somebody may answer in its chat; ``message_ids`` are the platform's."""

    copy: CardCopy
    message_ids: tuple[str, ...]


def insert(conn: sqlite3.Connection, new: NewCopy, now: datetime) -> None:
    conn.execute(
        "INSERT INTO card_copies (copy_id, card_id, source, user_id, instance, platform_id, state,"
        " look_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            new.copy_id,
            new.card_id,
            new.source,
            new.user_id,
            *new.place,
            to_text(new.look_at),
            to_text(now),
            to_text(now),
        ),
    )


def of_card(conn: sqlite3.Connection, card_id: str) -> list[CardCopy]:
    """In the order of sending."""
    return many(
        conn,
        _copy_of,
        "SELECT * FROM card_copies WHERE card_id = ? ORDER BY created_at, rowid",
        (card_id,),
    )


def get(conn: sqlite3.Connection, copy_id: str) -> CardCopy | None:
    return one(conn, _copy_of, "SELECT * FROM card_copies WHERE copy_id = ?", (copy_id,))


def open_in_chat(conn: sqlite3.Connection, place: Place, limit: int) -> list[OpenCopy]:
    """Cards that wait for an answer there, newest first; for answers that are typed."""
    rows = conn.execute(
        "SELECT c.*, d.platform_message_ids FROM card_copies AS c INDEXED BY card_copies_chat"
        " LEFT JOIN deliveries AS d ON d.delivery_id = c.copy_id"
        " WHERE c.state IN ('queued', 'shown') AND c.instance = ? AND c.platform_id = ?"
        " ORDER BY c.created_at DESC LIMIT ?",
        (*place, limit),
    ).fetchall()
    return [
        OpenCopy(_copy_of(row), tuple(json.loads(row["platform_message_ids"] or "[]")))
        for row in rows
    ]


def agent_spoke_after(conn: sqlite3.Connection, copy_id: str) -> bool:
    """Whether an agent has said something in the copy's chat since. Looks at every later row."""
    return exists(
        conn,
        "SELECT 1 FROM deliveries AS one JOIN deliveries AS later ON later.row_number"
        " > one.row_number AND later.instance = one.instance"
        " AND later.platform_id = one.platform_id WHERE one.delivery_id = ?"
        " AND later.source = 'agent' AND later.state IN ('sending', 'sent', 'uncertain') LIMIT 1",
        (copy_id,),
    )


# --- on the way -----------------------------------------------------------------------------------


def settled(conn: sqlite3.Connection, limit: int) -> list[SettledCopy]:
    """Queued copies about whose delivery there is news."""
    rows = conn.execute(
        "SELECT c.*, d.state AS delivery_state, d.last_error FROM card_copies AS c"
        " INDEXED BY card_copies_open LEFT JOIN deliveries AS d ON d.delivery_id = c.copy_id"
        " WHERE c.state <> 'closed' AND c.state = 'queued'"
        " AND (d.state IS NULL OR d.state IN ('sent', 'failed', 'uncertain')) LIMIT ?",
        (limit,),
    ).fetchall()
    return [
        SettledCopy(
            _copy_of(row),
            None if row["delivery_state"] is None else DeliveryState(row["delivery_state"]),
            row["last_error"] or "",
        )
        for row in rows
    ]


def due(conn: sqlite3.Connection, state: CopyState, now: datetime, limit: int) -> list[CardCopy]:
    """Copies in this state that the desk has to look at, longest waiting first."""
    return many(
        conn,
        _copy_of,
        "SELECT * FROM card_copies INDEXED BY card_copies_open"
        " WHERE state <> 'closed' AND state = ? AND look_at <= ? ORDER BY look_at LIMIT ?",
        (state, to_text(now), limit),
    )


def next_look(conn: sqlite3.Connection, state: CopyState) -> datetime | None:
    return moment(
        conn,
        "SELECT min(look_at) FROM card_copies INDEXED BY card_copies_open"
        " WHERE state <> 'closed' AND state = ?",
        (state,),
    )


def set_state(
    conn: sqlite3.Connection, copy_id: str, old: CopyState, new: CopyState, now: datetime
) -> bool:
    """False when somebody else has changed it meanwhile."""
    return bool(
        changed(
            conn,
            "UPDATE card_copies SET state = ?, updated_at = ? WHERE copy_id = ? AND state = ?",
            (new, to_text(now), copy_id, old),
        )
    )


def look_later(conn: sqlite3.Connection, copy_id: str, at: datetime, *, tried: bool) -> None:
    conn.execute(
        "UPDATE card_copies SET look_at = ?, attempts = attempts + ? WHERE copy_id = ?",
        (to_text(at), int(tried), copy_id),
    )


def left_alone(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """Cards whose every copy was refused, with their source: somebody else is to be asked."""
    rows = conn.execute(
        "SELECT DISTINCT card_id, source FROM card_copies AS failed INDEXED BY card_copies_open"
        " WHERE state <> 'closed' AND state = 'failed' AND NOT EXISTS (SELECT 1 FROM card_copies"
        " AS other INDEXED BY card_copies_card WHERE other.card_id = failed.card_id"
        " AND other.state IN ('queued', 'shown'))"
    )
    return [(row["card_id"], row["source"]) for row in rows]


# --- the end --------------------------------------------------------------------------------------


def close(
    conn: sqlite3.Connection, card_id: str, text: str, pressed: Place | None, now: datetime
) -> int:
    """The card is decided: its copies are to show ``text``, but for the one that was pressed."""
    moment = to_text(now)
    done = changed(
        conn,
        "UPDATE card_copies SET state = 'closed', updated_at = ?1 WHERE card_id = ?2"
        " AND (state = 'failed' OR (state IN ('queued', 'shown')"
        " AND instance = ?3 AND platform_id = ?4))",
        (moment, card_id, *(pressed or (None, None))),
    )
    return done + changed(
        conn,
        "UPDATE card_copies SET state = 'closing', closing_text = ?, look_at = ?, attempts = 0,"
        " updated_at = ? WHERE card_id = ? AND state IN ('queued', 'shown')",
        (text, moment, moment, card_id),
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    return changed(
        conn,
        "DELETE FROM card_copies WHERE copy_id IN (SELECT copy_id FROM card_copies"
        " INDEXED BY card_copies_age WHERE state = 'closed' AND updated_at < ? LIMIT ?)",
        (to_text(before), limit),
    )


def _copy_of(row: sqlite3.Row) -> CardCopy:
    return CardCopy(
        copy_id=row["copy_id"],
        card_id=row["card_id"],
        source=row["source"],
        user_id=row["user_id"],
        place=Place(row["instance"], row["platform_id"]),
        state=CopyState(row["state"]),
        closing_text=row["closing_text"],
        attempts=row["attempts"],
        look_at=time_of(row["look_at"]),
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
    )

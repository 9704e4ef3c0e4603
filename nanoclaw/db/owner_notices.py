"""Statements on ``owner_notices``: what an owner has to know, until one of them was told.

Written by any host process, told by the desk of the delivery process. The id is made from the
occasion, and stays for a while after the end, so that the same occasion is told once.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, moment, one, time_of


@dataclass(frozen=True, slots=True)
class OwnerNotice:
    notice_id: str
    text: str
    created_at: datetime
    expires_at: datetime


def insert(conn: sqlite3.Connection, notice: OwnerNotice) -> bool:
    """False when it is stored already."""
    return bool(
        changed(
            conn,
            "INSERT INTO owner_notices (notice_id, text, state, created_at, expires_at, updated_at)"
            " VALUES (?, ?, 'created', ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                notice.notice_id,
                notice.text,
                to_text(notice.created_at),
                to_text(notice.expires_at),
                to_text(notice.created_at),
            ),
        )
    )


def created(conn: sqlite3.Connection, limit: int) -> list[OwnerNotice]:
    """Those that nobody was told yet, oldest first."""
    return many(
        conn,
        _notice_of,
        "SELECT * FROM owner_notices INDEXED BY owner_notices_created WHERE state = 'created'"
        " ORDER BY created_at LIMIT ?",
        (limit,),
    )


def find(conn: sqlite3.Connection, notice_id: str) -> OwnerNotice | None:
    """None for one that was given up."""
    return one(
        conn,
        _notice_of,
        "SELECT * FROM owner_notices WHERE notice_id = ? AND state <> 'dropped'",
        (notice_id,),
    )


def mark_sent(conn: sqlite3.Connection, notice_id: str, now: datetime) -> bool:
    return bool(
        changed(
            conn,
            "UPDATE owner_notices SET state = 'sent', updated_at = ? WHERE notice_id = ?"
            " AND state <> 'dropped'",
            (to_text(now), notice_id),
        )
    )


def drop_sent(conn: sqlite3.Connection, notice_id: str, now: datetime) -> None:
    """It went out and arrived nowhere. One that never went out goes on waiting."""
    conn.execute(
        "UPDATE owner_notices SET state = 'dropped', updated_at = ? WHERE notice_id = ?"
        " AND state = 'sent'",
        (to_text(now), notice_id),
    )


def drop_beyond(conn: sqlite3.Connection, keep: int, now: datetime) -> int:
    """Gives up all but the newest that nobody was told."""
    return changed(
        conn,
        "UPDATE owner_notices SET state = 'dropped', updated_at = ? WHERE notice_id IN (SELECT"
        " notice_id FROM owner_notices INDEXED BY owner_notices_created WHERE state = 'created'"
        " ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
        (to_text(now), keep),
    )


def expire(conn: sqlite3.Connection, now: datetime) -> int:
    return changed(
        conn,
        "UPDATE owner_notices SET state = 'dropped', updated_at = ?1 WHERE state = 'created'"
        " AND expires_at <= ?1",
        (to_text(now),),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    """Notices live equally long, so the oldest ends first."""
    return moment(
        conn,
        "SELECT expires_at FROM owner_notices INDEXED BY owner_notices_created"
        " WHERE state = 'created' ORDER BY created_at LIMIT 1",
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    return changed(
        conn,
        "DELETE FROM owner_notices WHERE notice_id IN (SELECT notice_id FROM owner_notices"
        " INDEXED BY owner_notices_age WHERE state <> 'created' AND updated_at < ? LIMIT ?)",
        (to_text(before), limit),
    )


def _notice_of(row: sqlite3.Row) -> OwnerNotice:
    return OwnerNotice(
        notice_id=row["notice_id"],
        text=row["text"],
        created_at=time_of(row["created_at"]),
        expires_at=time_of(row["expires_at"]),
    )

"""Statements on ``pairing_codes`` and ``pairing_attempts``: proof that a chat belongs to the owner.

Setup makes a code, the router recognises it in the first message of a chat. Only the hash of a code
is stored; it fits the channel instance it was made for, dies after five wrong tries, and is used
once.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import parse_text, to_text
from nanoclaw.db.rows import changed, many, number, one, time_of

MAX_WRONG_TRIES = 5
"""Enough for a typing error, too few for guessing four digits (C-86)."""


class PairingState(StrEnum):
    PENDING = "pending"
    CONSUMED = "consumed"
    INVALIDATED = "invalidated"


@dataclass(frozen=True, slots=True)
class Pairing:
    """``intent`` says what the chat becomes; the last five are known once it was used.

    ``created_by`` is the user who asked for the code.
    """

    pairing_id: str
    instance: str
    code_hash: str
    intent: str
    created_at: datetime
    expires_at: datetime
    created_by: str | None = None
    state: PairingState = PairingState.PENDING
    wrong_tries: int = 0
    consumed_at: datetime | None = None
    consumed_by: str | None = None
    platform_id: str | None = None
    is_group: bool | None = None
    chat_name: str | None = None


@dataclass(frozen=True, slots=True)
class PairedChat:
    """Where and by whom a code was used."""

    platform_id: str
    user_id: str
    is_group: bool
    chat_name: str | None = None


def create(conn: sqlite3.Connection, pairing: Pairing) -> None:
    """An earlier code for this intent ends. IntegrityError: the code is in use, make another."""
    conn.execute(
        "UPDATE pairing_codes SET state = 'invalidated'"
        " WHERE instance = ? AND intent = ? AND state = 'pending'",
        (pairing.instance, pairing.intent),
    )
    conn.execute(
        "INSERT INTO pairing_codes (pairing_id, instance, code_hash, intent, state, created_at,"
        " expires_at, created_by) VALUES (?, ?, ?, ?, 'pending', ?, ?, ?)",
        (
            pairing.pairing_id,
            pairing.instance,
            pairing.code_hash,
            pairing.intent,
            to_text(pairing.created_at),
            to_text(pairing.expires_at),
            pairing.created_by,
        ),
    )


def get(conn: sqlite3.Connection, pairing_id: str) -> Pairing | None:
    return one(conn, _pairing_of, "SELECT * FROM pairing_codes WHERE pairing_id = ?", (pairing_id,))


def pending(conn: sqlite3.Connection, instance: str, now: datetime) -> list[Pairing]:
    """Codes that could be used on this channel now; usually none, which ends the matter."""
    return many(
        conn,
        _pairing_of,
        "SELECT * FROM pairing_codes INDEXED BY pairing_codes_pending"
        " WHERE state = 'pending' AND instance = ? AND expires_at > ? ORDER BY created_at, rowid",
        (instance, to_text(now)),
    )


def consume(conn: sqlite3.Connection, pairing_id: str, chat: PairedChat, now: datetime) -> bool:
    """True for the one message that uses it."""
    return bool(
        changed(
            conn,
            "UPDATE pairing_codes SET state = 'consumed', consumed_at = ?, consumed_by = ?,"
            " platform_id = ?, is_group = ?, chat_name = ?"
            " WHERE pairing_id = ? AND state = 'pending' AND expires_at > ?",
            (
                to_text(now),
                chat.user_id,
                chat.platform_id,
                int(chat.is_group),
                chat.chat_name,
                pairing_id,
                to_text(now),
            ),
        )
    )


def record_wrong_try(
    conn: sqlite3.Connection, instance: str, platform_id: str, now: datetime
) -> None:
    """Counts against the chat and against every code that could have been meant."""
    conn.execute(
        "INSERT INTO pairing_attempts (instance, platform_id, at) VALUES (?, ?, ?)",
        (instance, platform_id, to_text(now)),
    )
    conn.execute(
        "UPDATE pairing_codes SET wrong_tries = wrong_tries + 1,"
        " state = iif(wrong_tries + 1 >= ?, 'invalidated', 'pending')"
        " WHERE instance = ? AND state = 'pending'",
        (MAX_WRONG_TRIES, instance),
    )


def wrong_tries_since(
    conn: sqlite3.Connection, instance: str, platform_id: str, since: datetime
) -> int:
    return number(
        conn,
        "SELECT count(*) FROM pairing_attempts WHERE instance = ? AND platform_id = ? AND at >= ?",
        (instance, platform_id, to_text(since)),
    )


def prune(conn: sqlite3.Connection, before: datetime) -> None:
    """Forgets attempts and finished codes of long ago."""
    text = to_text(before)
    conn.execute("DELETE FROM pairing_attempts WHERE at < ?", (text,))
    conn.execute("DELETE FROM pairing_codes WHERE expires_at < ?", (text,))


def _pairing_of(row: sqlite3.Row) -> Pairing:
    return Pairing(
        pairing_id=row["pairing_id"],
        instance=row["instance"],
        code_hash=row["code_hash"],
        intent=row["intent"],
        created_at=time_of(row["created_at"]),
        expires_at=time_of(row["expires_at"]),
        created_by=row["created_by"],
        state=PairingState(row["state"]),
        wrong_tries=row["wrong_tries"],
        consumed_at=parse_text(row["consumed_at"]),
        consumed_by=row["consumed_by"],
        platform_id=row["platform_id"],
        is_group=None if row["is_group"] is None else bool(row["is_group"]),
        chat_name=row["chat_name"],
    )

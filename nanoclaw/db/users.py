"""Statements on ``users``: identities on platforms, one per channel and handle.

Written by the router for senders that an agent has to do with (W-15), by approvals and by setup.
One human with two platforms is two users; nothing links them.
"""

import sqlite3
from dataclasses import dataclass

from contract.clock import to_text
from nanoclaw.db.rows import UNSET, Unset, changed, many, one, set_columns, time_of
from nanoclaw.model import User


@dataclass(frozen=True, slots=True)
class UserChange:
    """What may change; UNSET stays as it is."""

    kind: str | Unset = UNSET
    display_name: str | Unset | None = UNSET


_SET = {
    "kind": "UPDATE users SET kind = ? WHERE id = ?",
    "display_name": "UPDATE users SET display_name = ? WHERE id = ?",
}


def upsert(conn: sqlite3.Connection, user: User) -> None:
    """A new display name replaces the stored one, None does not; nothing else changes (H-26).

    Where nothing changes nothing is written, so it may be called for every message (W-62).
    """
    conn.execute(
        "INSERT INTO users (id, kind, display_name, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name"
        " WHERE excluded.display_name IS NOT NULL"
        " AND display_name IS NOT excluded.display_name",
        (user.id, user.kind, user.display_name, to_text(user.created_at)),
    )


def add_if_new(conn: sqlite3.Connection, user: User) -> bool:
    """Existing rows are not touched (H-104)."""
    return bool(
        changed(
            conn,
            "INSERT OR IGNORE INTO users (id, kind, display_name, created_at) VALUES (?, ?, ?, ?)",
            (user.id, user.kind, user.display_name, to_text(user.created_at)),
        )
    )


def get(conn: sqlite3.Connection, user_id: str) -> User | None:
    return one(conn, _user_of, "SELECT * FROM users WHERE id = ?", (user_id,))


def list_all(conn: sqlite3.Connection) -> list[User]:
    """Oldest first."""
    return many(conn, _user_of, "SELECT * FROM users ORDER BY created_at, id")


def update(conn: sqlite3.Connection, user_id: str, change: UserChange) -> bool:
    """Writes the fields that are set; False when there were none."""
    return set_columns(conn, _SET, user_id, change)


def delete(conn: sqlite3.Connection, user_id: str) -> bool:
    """Raises sqlite3.IntegrityError while something refers to it."""
    return bool(changed(conn, "DELETE FROM users WHERE id = ?", (user_id,)))


def _user_of(row: sqlite3.Row) -> User:
    return User(
        id=row["id"],
        kind=row["kind"],
        created_at=time_of(row["created_at"]),
        display_name=row["display_name"],
    )

"""Statements on ``pending_approvals`` for credential requests of a gateway (action ``ACTION``).

Written by the vault (requests, answers), the router (clicks) and the desk (expiry). A row is there
from before its card is sent until the gateway has the answer (H-233, H-236). ``approvals`` leaves
these rows alone.
"""

import sqlite3
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.approvals import CREDENTIAL_ACTION as ACTION
from nanoclaw.db.approvals import Approval, approval_of
from nanoclaw.db.rows import changed, many, moment, number


def every(conn: sqlite3.Connection) -> list[Approval]:
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals INDEXED BY idx_pending_approvals_action_status"
        " WHERE action = ?",
        (ACTION,),
    )


def decided(conn: sqlite3.Connection) -> list[Approval]:
    """Those that the gateway has to be told of."""
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals INDEXED BY idx_pending_approvals_action_status"
        " WHERE action = ? AND status IN ('approved', 'rejected', 'expired', 'cancelled')",
        (ACTION,),
    )


def with_new_card(conn: sqlite3.Connection, limit: int) -> list[Approval]:
    """Those whose card is only written down, oldest first."""
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals INDEXED BY pending_approvals_created"
        " WHERE status = 'pending' AND card_state = 'created' AND action = ?"
        " ORDER BY created_at LIMIT ?",
        (ACTION, limit),
    )


def count_pending(conn: sqlite3.Connection, agent_group_id: str | None) -> int:
    return number(
        conn,
        "SELECT count(*) FROM pending_approvals INDEXED BY pending_approvals_group"
        " WHERE agent_group_id IS ? AND status = 'pending' AND action = ?",
        (agent_group_id, ACTION),
    )


def expired(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Approval]:
    """Some of those that nobody has decided in time."""
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals INDEXED BY pending_approvals_expiry"
        " WHERE status = 'pending' AND expires_at <= ? AND action = ? ORDER BY expires_at LIMIT ?",
        (to_text(now), ACTION, limit),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    return moment(
        conn,
        "SELECT expires_at FROM pending_approvals INDEXED BY pending_approvals_expiry"
        " WHERE status = 'pending' AND expires_at IS NOT NULL AND action = ?"
        " ORDER BY expires_at LIMIT 1",
        (ACTION,),
    )


def remove(conn: sqlite3.Connection, approval_id: str) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM pending_approvals WHERE approval_id = ? AND action = ?",
            (approval_id, ACTION),
        )
    )

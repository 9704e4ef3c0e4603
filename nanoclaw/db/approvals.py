"""Statements on ``pending_approvals``: what an agent asked for and a person has to allow.

Written by delivery (requests) and the router (decisions). Exactly one decision wins; what is
carried out afterwards stands in ``effects``. The payload is bound by its hash to what the person
was shown.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import parse_text, to_text
from nanoclaw.db.questions import CardState
from nanoclaw.db.rows import changed, many, one, text_of, time_of, word_of


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and how far it got. ``platform_message_id`` is the card's, once it was sent."""

    approval_id: str
    request_id: str
    action: str
    payload: str
    created_at: datetime
    session_id: str | None = None
    agent_group_id: str | None = None
    channel_type: str | None = None
    platform_id: str | None = None
    platform_message_id: str | None = None
    expires_at: datetime | None = None
    status: ApprovalStatus = ApprovalStatus.PENDING
    title: str = ""
    options_json: str = "[]"
    card_state: CardState = CardState.CREATED
    approver_user_id: str | None = None
    payload_hash: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


def insert(conn: sqlite3.Connection, approval: Approval) -> bool:
    """False when it is stored already (H-28)."""
    return bool(
        changed(
            conn,
            "INSERT INTO pending_approvals (approval_id, session_id, request_id, action, payload,"
            " created_at, agent_group_id, channel_type, platform_id, platform_message_id,"
            " expires_at, status, title, options_json, card_state, approver_user_id, payload_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (approval_id) DO NOTHING",
            (
                approval.approval_id,
                approval.session_id,
                approval.request_id,
                approval.action,
                approval.payload,
                to_text(approval.created_at),
                approval.agent_group_id,
                approval.channel_type,
                approval.platform_id,
                approval.platform_message_id,
                text_of(approval.expires_at),
                approval.status,
                approval.title,
                approval.options_json,
                approval.card_state,
                approval.approver_user_id,
                approval.payload_hash,
            ),
        )
    )


def get(conn: sqlite3.Connection, approval_id: str) -> Approval | None:
    return one(
        conn, _approval_of, "SELECT * FROM pending_approvals WHERE approval_id = ?", (approval_id,)
    )


def pending(conn: sqlite3.Connection) -> list[Approval]:
    """Oldest first."""
    return many(
        conn,
        _approval_of,
        "SELECT * FROM pending_approvals WHERE status = 'pending' ORDER BY created_at",
    )


def of_action(conn: sqlite3.Connection, action: str, status: ApprovalStatus) -> list[Approval]:
    return many(
        conn,
        _approval_of,
        "SELECT * FROM pending_approvals WHERE action = ? AND status = ? ORDER BY created_at",
        (action, status),
    )


def list_all(conn: sqlite3.Connection, limit: int) -> list[Approval]:
    """Newest first."""
    return many(
        conn,
        _approval_of,
        "SELECT * FROM pending_approvals ORDER BY created_at DESC LIMIT ?",
        (limit,),
    )


def mark_sent(conn: sqlite3.Connection, approval_id: str, platform_message_id: str | None) -> None:
    conn.execute(
        "UPDATE pending_approvals SET card_state = 'sent', platform_message_id = ?"
        " WHERE approval_id = ? AND card_state = 'created'",
        (platform_message_id, approval_id),
    )


def decide(
    conn: sqlite3.Connection, approval_id: str, status: ApprovalStatus, by: str, now: datetime
) -> bool:
    """True for the one decision that counts."""
    return bool(
        changed(
            conn,
            "UPDATE pending_approvals SET status = ?, card_state = 'decided', decided_by = ?,"
            " decided_at = ? WHERE approval_id = ? AND status = 'pending'",
            (status, by, to_text(now), approval_id),
        )
    )


def expire(conn: sqlite3.Connection, now: datetime) -> list[Approval]:
    """Those that are too old now; each is returned once."""
    rows = conn.execute(
        "UPDATE pending_approvals SET status = 'expired', card_state = 'expired'"
        " WHERE status = 'pending' AND expires_at <= ? RETURNING *",
        (to_text(now),),
    ).fetchall()
    return [_approval_of(row) for row in rows]


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    row = conn.execute(
        "SELECT min(expires_at) FROM pending_approvals WHERE status = 'pending'"
    ).fetchone()
    return parse_text(row[0])


def delete(conn: sqlite3.Connection, approval_id: str) -> bool:
    return bool(
        changed(conn, "DELETE FROM pending_approvals WHERE approval_id = ?", (approval_id,))
    )


def _approval_of(row: sqlite3.Row) -> Approval:
    return Approval(
        approval_id=row["approval_id"],
        request_id=row["request_id"],
        action=row["action"],
        payload=row["payload"],
        created_at=time_of(row["created_at"]),
        session_id=row["session_id"],
        agent_group_id=row["agent_group_id"],
        channel_type=row["channel_type"],
        platform_id=row["platform_id"],
        platform_message_id=row["platform_message_id"],
        expires_at=parse_text(row["expires_at"]),
        status=word_of(ApprovalStatus, row["status"]) or ApprovalStatus.EXPIRED,
        title=row["title"],
        options_json=row["options_json"],
        card_state=CardState(row["card_state"]),
        approver_user_id=row["approver_user_id"],
        payload_hash=row["payload_hash"],
        decided_by=row["decided_by"],
        decided_at=parse_text(row["decided_at"]),
    )

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
from nanoclaw.db.rows import changed, many, moment, number, one, text_of, time_of, word_of

CREDENTIAL_ACTION = "onecli_credential"
"""These rows have cards and an end of their own: ``gateway`` reads them."""


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and how far it got. Where its cards are stands in ``card_copies``.

    ``payload_hash`` None: a row of the earlier program, which nobody can approve any more.
    ``requested_by`` is ``agent:<group id>``, a user id or ``host``.
    """

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
    question: str = ""
    options_json: str = "[]"
    card_state: CardState = CardState.CREATED
    approver_user_id: str | None = None
    payload_hash: str | None = None
    requested_by: str = ""
    decided_by: str | None = None
    decided_at: datetime | None = None


def insert(conn: sqlite3.Connection, approval: Approval) -> bool:
    """False when it is stored already (H-28)."""
    return bool(
        changed(
            conn,
            "INSERT INTO pending_approvals (approval_id, session_id, request_id, action, payload,"
            " created_at, agent_group_id, channel_type, platform_id, platform_message_id,"
            " expires_at, status, title, question, options_json, card_state, approver_user_id,"
            " payload_hash, requested_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
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
                approval.question,
                approval.options_json,
                approval.card_state,
                approval.approver_user_id,
                approval.payload_hash,
                approval.requested_by,
            ),
        )
    )


def get(conn: sqlite3.Connection, approval_id: str) -> Approval | None:
    return one(
        conn, approval_of, "SELECT * FROM pending_approvals WHERE approval_id = ?", (approval_id,)
    )


def find_request(conn: sqlite3.Connection, request_id: str) -> Approval | None:
    """By what the requester calls it."""
    return one(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals INDEXED BY pending_approvals_request"
        " WHERE request_id = ? AND payload_hash IS NOT NULL",
        (request_id,),
    )


def count_pending(conn: sqlite3.Connection, agent_group_id: str) -> int:
    return number(
        conn,
        "SELECT count(*) FROM pending_approvals INDEXED BY pending_approvals_group"
        " WHERE agent_group_id = ? AND status = 'pending'",
        (agent_group_id,),
    )


def with_new_card(conn: sqlite3.Connection, limit: int) -> list[Approval]:
    """Those whose card is only written down, oldest first."""
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals INDEXED BY pending_approvals_created"
        " WHERE status = 'pending' AND card_state = 'created' AND action <> ?"
        " ORDER BY created_at LIMIT ?",
        (CREDENTIAL_ACTION, limit),
    )


def pending(conn: sqlite3.Connection) -> list[Approval]:
    """Oldest first."""
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals WHERE status = 'pending' ORDER BY created_at",
    )


def of_action(conn: sqlite3.Connection, action: str, status: ApprovalStatus) -> list[Approval]:
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals WHERE action = ? AND status = ? ORDER BY created_at",
        (action, status),
    )


def list_all(conn: sqlite3.Connection, limit: int) -> list[Approval]:
    """Newest first."""
    return many(
        conn,
        approval_of,
        "SELECT * FROM pending_approvals ORDER BY created_at DESC LIMIT ?",
        (limit,),
    )


def mark_sent(conn: sqlite3.Connection, approval_id: str, approver_user_id: str) -> bool:
    """The card is on its way to this person. False: it was decided or expired meanwhile."""
    return bool(
        changed(
            conn,
            "UPDATE pending_approvals SET card_state = 'sent', approver_user_id = ?"
            " WHERE approval_id = ? AND status = 'pending'",
            (approver_user_id, approval_id),
        )
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


def expire(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Approval]:
    """Some of those that are too old now; each is returned once."""
    return many(
        conn,
        approval_of,
        "UPDATE pending_approvals SET status = 'expired', card_state = 'expired', decided_at = ?1"
        " WHERE approval_id IN (SELECT approval_id FROM pending_approvals"
        " INDEXED BY pending_approvals_expiry WHERE status = 'pending' AND expires_at <= ?1"
        " AND action <> ?3 ORDER BY expires_at LIMIT ?2) RETURNING *",
        (to_text(now), limit, CREDENTIAL_ACTION),
    )


def let_unbound_expire(conn: sqlite3.Connection, now: datetime) -> int:
    """Requests of the earlier program, which nobody can approve any more, are too old now."""
    return changed(
        conn,
        "UPDATE pending_approvals SET expires_at = ? WHERE status = 'pending'"
        " AND payload_hash IS NULL",
        (to_text(now),),
    )


def next_expiry(conn: sqlite3.Connection) -> datetime | None:
    return moment(
        conn,
        "SELECT expires_at FROM pending_approvals INDEXED BY pending_approvals_expiry"
        " WHERE status = 'pending' AND expires_at IS NOT NULL AND action <> ?"
        " ORDER BY expires_at LIMIT 1",
        (CREDENTIAL_ACTION,),
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int) -> int:
    """Forgets ended requests of long ago; until then a late click is told what became of them."""
    return changed(
        conn,
        "DELETE FROM pending_approvals WHERE approval_id IN (SELECT approval_id"
        " FROM pending_approvals INDEXED BY pending_approvals_age"
        " WHERE status <> 'pending' AND created_at < ? LIMIT ?)",
        (to_text(before), limit),
    )


def approval_of(row: sqlite3.Row) -> Approval:
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
        question=row["question"],
        options_json=row["options_json"],
        card_state=CardState(row["card_state"]),
        approver_user_id=row["approver_user_id"],
        payload_hash=row["payload_hash"],
        requested_by=row["requested_by"],
        decided_by=row["decided_by"],
        decided_at=parse_text(row["decided_at"]),
    )

"""The cards of approvals, as the desk wants them."""

import sqlite3
from datetime import datetime

from nanoclaw.approvals import requests
from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.approvals.options import parse_options
from nanoclaw.db import approvals, messaging_groups, sessions
from nanoclaw.db.approvals import Approval, ApprovalStatus


class ApprovalCards:
    """A ``card_sources.CardSource``."""

    name = "approval"

    def created(self, conn: sqlite3.Connection, limit: int) -> list[CardToSend]:
        return [_card(conn, item) for item in approvals.with_new_card(conn, limit)]

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        approval = approvals.get(conn, card_id)
        if approval is None or approval.status is not ApprovalStatus.PENDING:
            return None
        return _card(conn, approval)

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        return approvals.mark_sent(conn, card_id, user_id)

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        requests.nobody_reachable(conn, card_id, reason, now)

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        requests.expire(conn, now)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        return approvals.next_expiry(conn)


def _card(conn: sqlite3.Connection, approval: Approval) -> CardToSend:
    return CardToSend(
        card_id=approval.approval_id,
        title=approval.title,
        question=approval.question,
        options=parse_options(approval.options_json),
        expires_at=approval.expires_at or approval.created_at + requests.EXPIRES_AFTER,
        agent_group_id=approval.agent_group_id,
        origin=_origin(conn, approval),
    )


def _origin(conn: sqlite3.Connection, approval: Approval) -> str:
    """The channel of the session's chat: whoever is asked is probably there already (H-222)."""
    session = sessions.get(conn, approval.session_id) if approval.session_id else None
    if session is None or session.messaging_group_id is None:
        return ""
    chat = messaging_groups.get(conn, session.messaging_group_id)
    return chat.channel_type if chat is not None else ""

"""What an owner has to know, wherever one of them can be reached.

Queued by any part of the host inside its transaction; the desk brings it to the first reachable
owner, and keeps trying for a week. ``occasion`` makes the id: the same one twice is one notice.
"""

import sqlite3
from datetime import datetime, timedelta

from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.db import owner_notices
from nanoclaw.db.owner_notices import OwnerNotice

LIFETIME = timedelta(days=7)
MAX_WAITING = 200
"""Beyond it the oldest that nobody was told are given up."""
MAX_TEXT = 4000
MAX_OCCASION = 200


def queue_owner_notice(conn: sqlite3.Connection, occasion: str, text: str, now: datetime) -> bool:
    """False when it was said already. Ring DELIVERY afterwards."""
    notice = OwnerNotice(f"owner/{occasion[:MAX_OCCASION]}", text[:MAX_TEXT], now, now + LIFETIME)
    if not owner_notices.insert(conn, notice):
        return False
    owner_notices.drop_beyond(conn, MAX_WAITING, now)
    return True


class OwnerNotices:
    """A ``card_sources.CardSource`` of cards without a question."""

    name = "owner"

    def created(self, conn: sqlite3.Connection, limit: int) -> list[CardToSend]:
        return [_card(notice) for notice in owner_notices.created(conn, limit)]

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        notice = owner_notices.find(conn, card_id)
        return None if notice is None else _card(notice)

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        return owner_notices.mark_sent(conn, card_id, now)

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        """There may be an owner tomorrow; but what every owner's chat refused is given up."""
        owner_notices.drop_sent(conn, card_id, now)

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        owner_notices.expire(conn, now)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        return owner_notices.next_expiry(conn)


def _card(notice: OwnerNotice) -> CardToSend:
    return CardToSend(
        card_id=notice.notice_id,
        title="",
        question=notice.text,
        options=(),
        expires_at=notice.expires_at,
        owners_only=True,
    )

"""How the host itself says something in the chat of a session.

Used by the sweep and by ``set_aside``. Queued like every other message, inside the caller's
transaction if it has one. The id is made from the occasion, so that repeating a step after a crash
does not repeat the message.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.address import Address
from contract.content import ChatOut, dump
from nanoclaw.db import deliveries, messaging_groups
from nanoclaw.model import DeliverySource, NewDelivery, Session

LIFETIME = timedelta(hours=24)
KIND = "chat"


@dataclass(frozen=True, slots=True)
class Notice:
    """``occasion`` makes the id: the same one twice is one message."""

    occasion: str
    text: str
    address: Address
    in_reply_to: str | None = None
    reply_to_message_id: str | None = None


def queue_notice(conn: sqlite3.Connection, session: Session, notice: Notice, now: datetime) -> bool:
    """False when there is no chat to say it in, or it was said already."""
    address = notice.address
    if not address.channel_type or not address.platform_id:
        return False
    notice_id = f"notice/{session.id}/{notice.occasion}"
    stored = deliveries.queue(
        conn,
        NewDelivery(
            delivery_id=notice_id,
            message_out_id=notice_id,
            instance=address.channel_type,
            platform_id=address.platform_id,
            thread_id=address.thread_id,
            kind=KIND,
            content=dump(ChatOut(text=notice.text)),
            source=DeliverySource.HOST,
            in_reply_to=notice.in_reply_to,
            reply_to_message_id=notice.reply_to_message_id,
            completes=notice.in_reply_to is not None,
            created_at=now,
            next_attempt_at=now,
            expires_at=now + LIFETIME,
        ),
    )
    return stored is not None


def chat_of(conn: sqlite3.Connection, session: Session) -> Address:
    """Where a session lives; empty for one that belongs to no single chat."""
    if session.messaging_group_id is None:
        return Address()
    chat = messaging_groups.get(conn, session.messaging_group_id)
    if chat is None:
        return Address()
    return Address(chat.channel_type, chat.platform_id, session.thread_id)

"""A text that the host itself says in a chat, queued like every other message (H-309).

Called inside the caller's transaction; ring DELIVERY afterwards. The id is made from whatever the
text is about, so that repeating a step after a crash does not repeat the text.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.address import Address
from contract.content import ChatOut, dump
from contract.inbound.row import MessageKind
from nanoclaw.db import deliveries
from nanoclaw.model import DeliverySource, NewDelivery

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class HostText:
    """``completes``: nothing more comes for the message that it answers."""

    delivery_id: str
    text: str
    address: Address
    in_reply_to: str | None = None
    reply_hint: str | None = None
    reply_to_message_id: str | None = None
    completes: bool = False


def queue_text(conn: sqlite3.Connection, said: HostText, now: datetime) -> bool:
    """False when there is no chat to say it in, or it was said already."""
    address = said.address
    if not address.channel_type or not address.platform_id:
        return False
    stored = deliveries.queue(
        conn,
        NewDelivery(
            delivery_id=said.delivery_id,
            message_out_id=said.delivery_id,
            instance=address.channel_type,
            platform_id=address.platform_id,
            thread_id=address.thread_id,
            kind=MessageKind.CHAT,
            content=dump(ChatOut(text=said.text)),
            source=DeliverySource.HOST,
            in_reply_to=said.in_reply_to,
            reply_hint=said.reply_hint,
            reply_to_message_id=said.reply_to_message_id,
            completes=said.completes,
            created_at=now,
            next_attempt_at=now,
            expires_at=now + LIFETIME,
        ),
    )
    return stored is not None

"""Short texts that the host says in a chat because of a card, a name or a code.

Queued inside the caller's transaction like every other message (H-309); ring DELIVERY afterwards.
The id is made from the occasion, so that repeating a step says it once.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.content import ChatOut, dump
from nanoclaw.db import deliveries
from nanoclaw.model import DeliverySource, NewDelivery

LIFETIME = timedelta(hours=24)
KIND = "chat"


@dataclass(frozen=True, slots=True)
class Place:
    """A chat as messages go there."""

    instance: str
    platform_id: str
    thread_id: str | None = None


def say(conn: sqlite3.Connection, place: Place, occasion: str, text: str, now: datetime) -> bool:
    """False when it was said already."""
    delivery_id = f"say/{occasion}"
    stored = deliveries.queue(
        conn,
        NewDelivery(
            delivery_id=delivery_id,
            message_out_id=delivery_id,
            instance=place.instance,
            platform_id=place.platform_id,
            thread_id=place.thread_id,
            kind=KIND,
            content=dump(ChatOut(text=text)),
            source=DeliverySource.HOST,
            created_at=now,
            next_attempt_at=now,
            expires_at=now + LIFETIME,
        ),
    )
    return stored is not None

"""Short texts that the host says in a chat because of a card, a name or a code.

Used by ``naming``, ``owed_names``, ``text_answers`` and ``pairing``. The id is made from the
occasion, so that repeating a step says it once.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.address import Address
from nanoclaw.sessions.host_text import HostText, queue_text


@dataclass(frozen=True, slots=True)
class Place:
    """A chat as messages go there."""

    instance: str
    platform_id: str
    thread_id: str | None = None


def say(conn: sqlite3.Connection, place: Place, occasion: str, text: str, now: datetime) -> bool:
    """False when it was said already."""
    address = Address(place.instance, place.platform_id, place.thread_id)
    return queue_text(conn, HostText(f"say/{occasion}", text, address), now)

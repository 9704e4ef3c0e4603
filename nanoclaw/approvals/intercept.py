"""Messages that are not for an agent: pairing codes, owed names, typed answers to cards.

Asked by the router for every event before anything else (H-71 step 0).
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from nanoclaw.events import InboundEvent


@dataclass(frozen=True, slots=True)
class Intercepted:
    """The event is consumed; ``reason`` is one word for the log (``pairing``, ``name`` ...).

    What is said in return has been queued as a host-made delivery in the same transaction.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """``user_id`` is namespaced (H-4, W-5)."""

    instance: str
    channel_type: str
    user_id: str
    event: InboundEvent


def intercept(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> Intercepted | None:
    """Inside the router's transaction; cheap for messages that are none of these."""
    return None

"""What waited for a decision: lets it go on, or forgets it.

Called by the kinds of card that hold messages back, in the transaction of the decision; ring
ROUTER afterwards. A request that the earlier program wrote has its only message in its own row,
which then enters the log as one that has been released.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.errors import BadContent
from contract.jsontext import parse_object
from nanoclaw.db import inbound_events
from nanoclaw.db.inbound_events import NewInboundEvent
from nanoclaw.permissions.identity import user_id_of

MAX_EVENT_BYTES = 16 * 1024 * 1024
_EMPTY = ("", "{}")


@dataclass(frozen=True, slots=True)
class Held:
    """``waits_for`` is what the events wait for, ``event_json`` the first of them (H-313)."""

    waits_for: str
    instance: str
    event_json: str
    created_at: datetime


def release(conn: sqlite3.Connection, held: Held, now: datetime) -> int:
    """How many events the router decides anew."""
    released = inbound_events.release(conn, held.waits_for)
    if released or held.event_json in _EMPTY:
        return released
    inbound_events.insert(
        conn,
        NewInboundEvent(
            instance=held.instance,
            event_key=f"held/{held.waits_for}/{int(held.created_at.timestamp() * 1000)}",
            received_at=now,
            outcome="held",
            event_json=held.event_json,
            waits_for=held.waits_for,
        ),
    )
    return inbound_events.release(conn, held.waits_for)


def is_group_event(event_json: str) -> bool | None:
    """What the event says of its chat; None when it says nothing (H-211, H-217)."""
    message = _message(event_json)
    value = message.get("isGroup") if message is not None else None
    return value if isinstance(value, bool) else None


def sender_of_event(event_json: str, channel_type: str) -> str | None:
    """The user who sent it, for rows of the earlier program, which did not store that."""
    message = _message(event_json)
    try:
        content = parse_object((message or {}).get("content"), max_bytes=MAX_EVENT_BYTES)
    except BadContent:
        return None
    author = content.get("author")
    sender = content.get("senderId") or (author.get("userId") if isinstance(author, dict) else None)
    if not isinstance(sender, str) or not sender:
        return None
    return user_id_of(channel_type, sender)


def _message(event_json: str) -> dict[str, object] | None:
    try:
        message = parse_object(event_json, max_bytes=MAX_EVENT_BYTES).get("message")
    except BadContent:
        return None
    return message if isinstance(message, dict) else None

"""How the host itself says something in the chat of a session.

Used by the sweep and by ``set_aside``. Queued like every other message, inside the caller's
transaction if it has one. The id is made from the occasion, so that repeating a step after a crash
does not repeat the message.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.address import Address
from nanoclaw.db import messaging_groups
from nanoclaw.model import Session
from nanoclaw.sessions.host_text import HostText, queue_text

MAX_REASON = 100


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
    said = HostText(
        delivery_id=f"notice/{session.id}/{notice.occasion}",
        text=notice.text,
        address=notice.address,
        in_reply_to=notice.in_reply_to,
        reply_to_message_id=notice.reply_to_message_id,
        completes=notice.in_reply_to is not None,
    )
    return queue_text(conn, said, now)


def for_people(reason: str) -> str:
    """Why a container does not start; a chat is no place for paths and addresses of the machine."""
    plain = "/" not in reason and len(reason) < MAX_REASON
    return reason if plain else "its container cannot be started"


def chat_of(conn: sqlite3.Connection, session: Session) -> Address:
    """Where a session lives; empty for one that belongs to no single chat."""
    if session.messaging_group_id is None:
        return Address()
    chat = messaging_groups.get(conn, session.messaging_group_id)
    if chat is None:
        return Address()
    return Address(chat.channel_type, chat.platform_id, session.thread_id)

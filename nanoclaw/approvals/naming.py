"""Asks somebody for the name of a new agent, and remembers who owes it (H-215, H-219).

Used by ``channels``; the name itself is taken by ``owed_names``. One debt per person at a time.
"""

import sqlite3
from datetime import datetime, timedelta

from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.say import Place, say
from nanoclaw.db import chat_requests, dms, messaging_groups
from nanoclaw.db.chat_requests import ChatRequest, OwedName
from nanoclaw.permissions.identity import kind_of

OWED_FOR = timedelta(hours=1)
"""Later a message in that chat is an ordinary one again, and the question is asked anew."""
QUESTION = (
    "What should the new agent be called? Send me its name as the next message here, or `cancel`."
)


def ask(conn: sqlite3.Connection, row: ChatRequest, click: Click, now: datetime) -> bool:
    """False when there is no direct chat with this person to ask in."""
    place = _direct_chat(conn, click)
    if place is None:
        return False
    older = chat_requests.owing_name(conn, click.user_id)
    if older is not None:
        chat_requests.forget_name(conn, click.user_id)
    owed = OwedName(click.user_id, place.instance, place.platform_id, now)
    chat_requests.ask_name(conn, row.messaging_group_id, owed)
    asked = int(row.created_at.timestamp() * 1000)
    say(conn, place, f"name/{row.card_id}/{asked}/{click.user_id}", QUESTION, now)
    return True


def _direct_chat(conn: sqlite3.Connection, click: Click) -> Place | None:
    """Where the button was pressed, if only the two of us are there; else the chat we know."""
    pressed = messaging_groups.find_by_address(conn, click.instance, click.platform_id)
    if pressed is not None and not pressed.is_group:
        return Place(pressed.channel_type, pressed.platform_id)
    known = dms.get(conn, click.user_id, click.instance) or dms.get(
        conn, click.user_id, kind_of(click.user_id)
    )
    chat = messaging_groups.get(conn, known.messaging_group_id) if known is not None else None
    return Place(chat.channel_type, chat.platform_id) if chat is not None else None

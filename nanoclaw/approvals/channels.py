"""Chats that no agent is wired to: their registration by somebody entitled (H-210 to H-219)."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from nanoclaw.approvals.clicks import Click
from nanoclaw.events import ActionResult
from nanoclaw.model import MessagingGroup


@dataclass(frozen=True, slots=True)
class UnknownChat:
    """Where somebody has addressed us. ``event_json`` is the form of H-313."""

    messaging_group: MessagingGroup
    is_group: bool
    user_id: str
    sender_name: str | None
    event_json: str


def request(conn: sqlite3.Connection, chat: UnknownChat, now: datetime) -> str | None:
    """Inside the router's transaction. The id that held events wait for (``inbound_events``).

    The same id again while a request is pending; None when nobody can be asked.
    """
    raise NotImplementedError


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. Connecting wires the chat and releases the held events."""
    raise NotImplementedError

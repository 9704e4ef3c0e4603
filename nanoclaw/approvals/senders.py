"""Strangers who write to an agent: their approval by somebody entitled (H-207 to H-209)."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from nanoclaw.approvals.clicks import Click
from nanoclaw.events import ActionResult
from nanoclaw.model import AgentGroup, MessagingGroup


@dataclass(frozen=True, slots=True)
class UnknownSender:
    """Who wants to talk to whom, and where. ``event_json`` is the form of H-313."""

    messaging_group: MessagingGroup
    agent_group: AgentGroup
    user_id: str
    sender_name: str | None
    event_json: str


def request(conn: sqlite3.Connection, sender: UnknownSender, now: datetime) -> str | None:
    """Inside the router's transaction. The id that held events wait for (``inbound_events``).

    The same id again while a request is pending; None when nobody can be asked.
    """
    raise NotImplementedError


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. Allowing adds the member and releases the held events."""
    raise NotImplementedError

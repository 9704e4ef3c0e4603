"""The message with which somebody names a new agent (H-218).

Asked by ``intercept``. Only the person who owes a name is heard, only in the chat where it was
asked for, and only for a while; whoever has lost the right to decide owes nothing. A message that
is no name ends the debt, and the question about the chat is asked anew, so nothing waits for ever.
"""

import sqlite3
from datetime import datetime

from nanoclaw.approvals import channels
from nanoclaw.approvals.cards import code
from nanoclaw.approvals.connecting import Connection, connect
from nanoclaw.approvals.entitlement import is_entitled
from nanoclaw.approvals.incoming import Incoming, Intercepted
from nanoclaw.approvals.naming import OWED_FOR
from nanoclaw.approvals.say import Place, say
from nanoclaw.audit import AuditEntry, record
from nanoclaw.db import chat_requests, messaging_groups
from nanoclaw.db.chat_requests import ChatRequest
from nanoclaw.sessions.new_group import MAX_NAME, create_agent_group

REASON = "name"
CANCEL = "cancel"


def intercept(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> Intercepted | None:
    """Inside the router's transaction; one look-up by key for everybody else."""
    row = chat_requests.owing_name(conn, incoming.user_id)
    if row is None or row.owed is None or not _is_here(row, incoming):
        return None
    if row.owed.asked_at + OWED_FOR <= now or not is_entitled(conn, incoming.user_id, None):
        _give_up(conn, row, incoming.user_id)
        return None
    name = _name_in(incoming)
    if name is None:
        _give_up(conn, row, incoming.user_id)
        _say(conn, incoming, "No agent was made. I am asking about the chat once more.", now)
        return Intercepted(REASON)
    group = create_agent_group(conn, name, now, incoming.folders())
    record(
        conn,
        AuditEntry(
            "agent.created",
            incoming.user_id,
            group.id,
            {"name": group.name, "folder": group.folder, "chat": row.messaging_group_id},
            agent_group_id=group.id,
        ),
        now,
    )
    connect(conn, Connection(row, group.id, incoming.user_id), now)
    chat = messaging_groups.get(conn, row.messaging_group_id)
    place = code(chat.name) if chat is not None and chat.name else "the chat"
    _say(conn, incoming, f"{code(group.name)} is ready and answers in {place}.", now)
    return Intercepted(REASON)


def _is_here(row: ChatRequest, incoming: Incoming) -> bool:
    owed = row.owed
    return owed is not None and (owed.channel_type, owed.platform_id) == (
        incoming.channel_type,
        incoming.event.platform_id,
    )


def _name_in(incoming: Incoming) -> str | None:
    """What was typed, if it can be a name: one short line, no command, something to read in it."""
    text = incoming.event.text.strip()
    if not text or text.casefold() == CANCEL or incoming.event.attachments or text[0] == "/":
        return None
    if len(text) > MAX_NAME or not text.isprintable() or not any(map(str.isalnum, text)):
        return None
    return text


def _give_up(conn: sqlite3.Connection, row: ChatRequest, user_id: str) -> None:
    chat_requests.forget_name(conn, user_id)
    channels.ask_again(conn, row)


def _say(conn: sqlite3.Connection, incoming: Incoming, text: str, now: datetime) -> None:
    place = Place(incoming.channel_type, incoming.event.platform_id, incoming.event.thread_id)
    say(conn, place, f"name/{incoming.instance}/{incoming.event.event_key}", text, now)

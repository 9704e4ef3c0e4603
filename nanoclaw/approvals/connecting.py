"""Wires a chat that somebody has decided about to an agent (H-216).

Used by the card's answer and by the name of a new agent, inside the transaction of the decision;
ring ROUTER and DELIVERY afterwards. Whether a chat is a group is what the platform says of the
chat, never whether a message had a thread (W-38).
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.ids import new_id
from nanoclaw.approvals import held
from nanoclaw.approvals.admitting import admit
from nanoclaw.audit import AuditEntry, record
from nanoclaw.db import chat_requests, messaging_groups, wirings
from nanoclaw.db.chat_requests import ChatRequest
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.model import (
    EngageMode,
    IgnoredMessagePolicy,
    MessagingGroup,
    SenderScope,
    User,
    Wiring,
)
from nanoclaw.permissions.identity import kind_of
from nanoclaw.sessions.destinations import request_refresh

EVERYTHING = "."


@dataclass(frozen=True, slots=True)
class Connection:
    """``by`` is the user who decided."""

    request: ChatRequest
    agent_group_id: str
    by: str


def connect(conn: sqlite3.Connection, connection: Connection, now: datetime) -> None:
    """The wiring, the sender as member, and what was held; ends the request."""
    row = connection.request
    chat = messaging_groups.get(conn, row.messaging_group_id)
    assert chat is not None, "a request refers to its chat"
    is_group = _correct_kind(conn, chat, row)
    if wirings.get_by_pair(conn, chat.id, connection.agent_group_id) is None:
        wirings.create(conn, new_wiring(chat.id, connection.agent_group_id, now, is_group=is_group))
        request_refresh(conn, [connection.agent_group_id], chat.id, now)
    if chat.denied_at is not None:
        messaging_groups.set_denied(conn, chat.id, None)
    _admit_sender(conn, connection, chat, now)
    chat_requests.take(conn, row.messaging_group_id)
    waiting = held.Held(
        row.messaging_group_id, chat.channel_type, row.original_message, row.created_at
    )
    held.release(conn, waiting, now)
    audit(conn, row, Step("chat.connected", connection.by, connection.agent_group_id), now)


def new_wiring(chat_id: str, agent_group_id: str, now: datetime, *, is_group: bool) -> Wiring:
    """What a chat gets that was registered by a card."""
    return Wiring(
        new_id("mga"),
        chat_id,
        agent_group_id,
        now,
        engage_mode=EngageMode.MENTION_STICKY if is_group else EngageMode.PATTERN,
        engage_pattern=None if is_group else EVERYTHING,
        sender_scope=SenderScope.KNOWN,
        ignored_message_policy=IgnoredMessagePolicy.ACCUMULATE,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """For the audit. ``about`` is the agent group, or why the request ended."""

    kind: str
    actor: str
    about: str = ""


def audit(conn: sqlite3.Connection, row: ChatRequest, step: Step, now: datetime) -> None:
    detail: dict[str, object] = {"card": row.card_id, "sender": row.sender_identity or ""}
    if step.about:
        detail["about"] = step.about
    record(conn, AuditEntry(step.kind, step.actor, row.messaging_group_id, detail), now)


def _correct_kind(conn: sqlite3.Connection, chat: MessagingGroup, row: ChatRequest) -> bool:
    said = held.is_group_event(row.original_message)
    if said is None or said == chat.is_group:
        return chat.is_group
    messaging_groups.update(conn, chat.id, MessagingGroupChange(is_group=said))
    return said


def _admit_sender(
    conn: sqlite3.Connection, connection: Connection, chat: MessagingGroup, now: datetime
) -> None:
    row = connection.request
    sender = row.sender_identity or held.sender_of_event(row.original_message, chat.channel_type)
    if sender is None:
        return
    user = User(sender, kind_of(sender), now, display_name=row.sender_name)
    admit(conn, user, connection.agent_group_id, connection.by, now)

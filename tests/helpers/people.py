"""People, chats and held messages for the tests of approvals: each valid, a test sets the rest."""

import sqlite3
from dataclasses import dataclass

from helpers.central_rows import NOW, add_agent_group, add_chat, add_user

from contract.jsontext import dump
from nanoclaw.approvals.channels import UnknownChat
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.incoming import Incoming
from nanoclaw.approvals.senders import UnknownSender
from nanoclaw.db import audit, deliveries, inbound_events, messaging_groups, roles
from nanoclaw.db.inbound_events import NewInboundEvent
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.events import InboundEvent, Quoted
from nanoclaw.model import AgentGroup, Delivery, MessagingGroup, Role, RoleGrant

OWNER = "telegram:1"
STRANGER = "telegram:9"
SCOPED = "telegram:5"
GLOBAL = "telegram:6"


@dataclass(frozen=True, slots=True)
class Town:
    """An owner with a direct chat, one agent, one group chat that it is not wired to."""

    agent: AgentGroup
    chat: MessagingGroup
    owner_chat: MessagingGroup


def build_town(conn: sqlite3.Connection) -> Town:
    agent = add_agent_group(conn)
    chat = add_chat(conn)
    messaging_groups.update(conn, chat.id, MessagingGroupChange(is_group=True))
    owner_chat = add_chat(conn, "mg-dm", name="Owner")
    grant(conn, OWNER)
    found = messaging_groups.get(conn, chat.id)
    assert found is not None
    return Town(agent, found, owner_chat)


def grant(
    conn: sqlite3.Connection, user_id: str, role: Role = Role.OWNER, scope: str | None = None
) -> None:
    add_user(conn, user_id)
    roles.grant(conn, RoleGrant(user_id, role, NOW, agent_group_id=scope))


def event_json(platform_id: str, *, is_group: bool | None = None, sender: str = "9") -> str:
    """The form of H-313."""
    message: dict[str, object] = {
        "id": "m-1",
        "kind": "chat",
        "content": dump({"text": "hello", "sender": "Bo", "senderId": sender}),
        "timestamp": "2026-11-21T08:00:00.000Z",
    }
    if is_group is not None:
        message["isGroup"] = is_group
    return dump(
        {
            "channelType": "telegram",
            "platformId": platform_id,
            "threadId": None,
            "message": message,
        }
    )


def stranger(town: Town, *, user_id: str = STRANGER, name: str | None = "Bo") -> UnknownSender:
    return UnknownSender(
        town.chat, town.agent, user_id, name, event_json(town.chat.platform_id, is_group=True)
    )


def unknown_chat(chat: MessagingGroup, *, is_group: bool = True) -> UnknownChat:
    return UnknownChat(
        chat, is_group, STRANGER, "Bo", event_json(chat.platform_id, is_group=is_group)
    )


def hold(conn: sqlite3.Connection, waits_for: str, key: str = "e-1") -> None:
    """A message that the router keeps back for this request."""
    inbound_events.insert(
        conn,
        NewInboundEvent(
            "telegram", key, NOW, "held", event_json="{}", waits_for=waits_for
        ),
    )  # fmt: skip


def click(
    card_id: str, value: str, user_id: str = OWNER, *, chat: str = "platform-mg-dm",
    message_id: str = "card-1",
) -> Click:  # fmt: skip
    return Click(card_id, value, user_id, "telegram", chat, message_id)


def typed(
    text: str,
    user_id: str = OWNER,
    *,
    chat: str = "platform-mg-dm",
    key: str = "t-1",
    is_group: bool | None = False,
    quotes: str | None = None,
    thread: str | None = None,
) -> Incoming:
    event = InboundEvent(
        event_key=key,
        message_id=key,
        platform_id=chat,
        sender_id=user_id.partition(":")[2],
        timestamp="2026-11-21T08:00:00.000Z",
        thread_id=thread,
        is_group=is_group,
        sender_name="Somebody",
        text=text,
        reply_to=Quoted(quotes) if quotes is not None else None,
    )
    return Incoming("telegram", "telegram", user_id, event)


def released(conn: sqlite3.Connection) -> list[str]:
    """Keys of the events that the router decides anew."""
    return [event.event_key for event in inbound_events.released(conn, 100)]


def audited(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    """Kind and actor of everything in the audit."""
    return [(row.kind, row.actor) for row in audit.after(conn, 0, 100)]


def said(conn: sqlite3.Connection) -> list[Delivery]:
    """Everything that the host has said or is about to say, in order."""
    rows = conn.execute(
        "SELECT delivery_id FROM deliveries WHERE source = 'host' ORDER BY row_number"
    ).fetchall()
    found = [deliveries.get(conn, row["delivery_id"]) for row in rows]
    return [delivery for delivery in found if delivery is not None]

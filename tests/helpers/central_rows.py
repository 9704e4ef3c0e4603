"""Builders of rows in the central database: each is valid, a test sets what it is about."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nanoclaw.db import agent_groups, deliveries, messaging_groups, sessions, users
from nanoclaw.model import (
    AgentGroup,
    Delivery,
    MessagingGroup,
    NewDelivery,
    NewSession,
    Session,
    SessionMode,
    User,
    Wiring,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seed:
    """One agent group, one chat it is not wired to, one session between them."""

    agent_group: AgentGroup
    chat: MessagingGroup
    session: Session


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def add_agent_group(
    conn: sqlite3.Connection, agent_group_id: str = "ag-1", *, name: str = "Andy"
) -> AgentGroup:
    group = AgentGroup(agent_group_id, name, agent_group_id, NOW)
    agent_groups.create(conn, group)
    return group


def add_chat(
    conn: sqlite3.Connection,
    chat_id: str = "mg-1",
    *,
    channel_type: str = "telegram",
    name: str | None = "Family",
) -> MessagingGroup:
    chat = MessagingGroup(chat_id, channel_type, f"platform-{chat_id}", NOW, name=name)
    messaging_groups.create(conn, chat)
    return chat


def add_user(conn: sqlite3.Connection, user_id: str = "telegram:1") -> User:
    user = User(user_id, user_id.partition(":")[0], NOW)
    users.upsert(conn, user)
    return user


def wiring(wiring_id: str = "mga-1", chat: str = "mg-1", agent: str = "ag-1") -> Wiring:
    return Wiring(wiring_id, chat, agent, NOW)


def new_session(session_id: str = "sess-1", key: str | None = "key-1") -> NewSession:
    return NewSession(session_id, "ag-1", "mg-1", None, SessionMode.SHARED, key, NOW)


def seed(conn: sqlite3.Connection) -> Seed:
    group = add_agent_group(conn)
    chat = add_chat(conn)
    return Seed(group, chat, sessions.create(conn, new_session()))


def add_session(conn: sqlite3.Connection, session_id: str) -> Session:
    return sessions.create(conn, new_session(session_id, f"key of {session_id}"))


def new_delivery(number: int = 1, session_id: str | None = "sess-1") -> NewDelivery:
    return NewDelivery(
        delivery_id=f"{session_id}/out-{number}",
        message_out_id=f"out-{number}",
        session_id=session_id,
        seq=2 * number + 1,
        instance="telegram",
        platform_id="platform-mg-1",
        kind="chat",
        content='{"text":"hello"}',
        created_at=NOW,
        next_attempt_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )


def queue(conn: sqlite3.Connection, new: NewDelivery) -> Delivery:
    delivery = deliveries.queue(conn, new)
    assert delivery is not None
    return delivery


def reread(conn: sqlite3.Connection, session: Session) -> Session:
    found = sessions.get(conn, session.id)
    assert found is not None
    return found

"""Statements on ``messaging_group_agents``: which agent group listens in which chat, and when.

Written by setup, approvals and ``ncl``; read by the router. A new wiring also permits the agent to
write to that chat (H-22), because whoever lets an agent listen expects it to answer there.
"""

import sqlite3
from dataclasses import dataclass

from contract.clock import to_text
from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.db import destinations
from nanoclaw.db.connection import joined
from nanoclaw.db.names import destination_name
from nanoclaw.db.rows import (
    UNSET,
    Unset,
    changed,
    many,
    one,
    set_columns,
    time_of,
    word_of,
)
from nanoclaw.model import (
    EngageMode,
    IgnoredMessagePolicy,
    SenderScope,
    SessionMode,
    TargetType,
    Wiring,
)


@dataclass(frozen=True, slots=True)
class WiringChange:
    """What may change; UNSET stays as it is."""

    engage_mode: EngageMode | Unset = UNSET
    engage_pattern: str | Unset | None = UNSET
    sender_scope: SenderScope | Unset = UNSET
    ignored_message_policy: IgnoredMessagePolicy | Unset = UNSET
    session_mode: SessionMode | Unset = UNSET
    priority: int | Unset = UNSET
    sticky_seconds: int | Unset | None = UNSET
    uncertain_policy: UncertainPolicy | Unset | None = UNSET
    bot_messages: bool | Unset = UNSET
    edits: bool | Unset = UNSET
    reactions: bool | Unset = UNSET


_SET = {
    "engage_mode": "UPDATE messaging_group_agents SET engage_mode = ? WHERE id = ?",
    "engage_pattern": "UPDATE messaging_group_agents SET engage_pattern = ? WHERE id = ?",
    "sender_scope": "UPDATE messaging_group_agents SET sender_scope = ? WHERE id = ?",
    "ignored_message_policy": (
        "UPDATE messaging_group_agents SET ignored_message_policy = ? WHERE id = ?"
    ),
    "session_mode": "UPDATE messaging_group_agents SET session_mode = ? WHERE id = ?",
    "priority": "UPDATE messaging_group_agents SET priority = ? WHERE id = ?",
    "sticky_seconds": "UPDATE messaging_group_agents SET sticky_seconds = ? WHERE id = ?",
    "uncertain_policy": "UPDATE messaging_group_agents SET uncertain_policy = ? WHERE id = ?",
    "bot_messages": "UPDATE messaging_group_agents SET bot_messages = ? WHERE id = ?",
    "edits": "UPDATE messaging_group_agents SET edits = ? WHERE id = ?",
    "reactions": "UPDATE messaging_group_agents SET reactions = ? WHERE id = ?",
}


def create(conn: sqlite3.Connection, wiring: Wiring) -> None:
    """The wiring and, unless the agent has one for this chat, its destination."""
    with joined(conn):
        conn.execute(
            "INSERT INTO messaging_group_agents (id, messaging_group_id, agent_group_id,"
            " session_mode, priority, created_at, engage_mode, engage_pattern, sender_scope,"
            " ignored_message_policy, sticky_seconds, uncertain_policy, bot_messages,"
            " edits, reactions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                wiring.id,
                wiring.messaging_group_id,
                wiring.agent_group_id,
                wiring.session_mode,
                wiring.priority,
                to_text(wiring.created_at),
                wiring.engage_mode,
                wiring.engage_pattern,
                wiring.sender_scope,
                wiring.ignored_message_policy,
                wiring.sticky_seconds,
                wiring.uncertain_policy,
                int(wiring.bot_messages),
                int(wiring.edits),
                int(wiring.reactions),
            ),
        )
        _permit_answers(conn, wiring)


def _permit_answers(conn: sqlite3.Connection, wiring: Wiring) -> None:
    if destinations.has_channel(conn, wiring.agent_group_id, wiring.messaging_group_id):
        return
    chat = conn.execute(
        "SELECT id, channel_type, name FROM messaging_groups WHERE id = ?",
        (wiring.messaging_group_id,),
    ).fetchone()
    name = destination_name(chat["name"], chat["channel_type"], chat["id"])
    destinations.create_with_free_name(
        conn,
        destinations.NewDestination(
            agent_group_id=wiring.agent_group_id,
            wanted_name=name,
            target_type=TargetType.CHANNEL,
            target_id=wiring.messaging_group_id,
            created_at=wiring.created_at,
        ),
    )


def get(conn: sqlite3.Connection, wiring_id: str) -> Wiring | None:
    return one(conn, wiring_of, "SELECT * FROM messaging_group_agents WHERE id = ?", (wiring_id,))


def get_by_pair(
    conn: sqlite3.Connection, messaging_group_id: str, agent_group_id: str
) -> Wiring | None:
    return one(
        conn,
        wiring_of,
        "SELECT * FROM messaging_group_agents WHERE messaging_group_id = ? AND agent_group_id = ?",
        (messaging_group_id, agent_group_id),
    )


def of_chat(conn: sqlite3.Connection, messaging_group_id: str) -> list[Wiring]:
    """Highest priority first."""
    return many(
        conn,
        wiring_of,
        "SELECT * FROM messaging_group_agents WHERE messaging_group_id = ?"
        " ORDER BY priority DESC, created_at, id",
        (messaging_group_id,),
    )


def of_agent_group(conn: sqlite3.Connection, agent_group_id: str) -> list[Wiring]:
    return many(
        conn,
        wiring_of,
        "SELECT * FROM messaging_group_agents WHERE agent_group_id = ? ORDER BY created_at, id",
        (agent_group_id,),
    )


def list_all(conn: sqlite3.Connection) -> list[Wiring]:
    return many(conn, wiring_of, "SELECT * FROM messaging_group_agents ORDER BY created_at, id")


def update(conn: sqlite3.Connection, wiring_id: str, change: WiringChange) -> bool:
    """Writes the fields that are set; False when there were none."""
    return set_columns(conn, _SET, wiring_id, change)


def delete(conn: sqlite3.Connection, wiring_id: str) -> bool:
    """The destination stays: what an agent may write to is decided on its own (H-23)."""
    return bool(changed(conn, "DELETE FROM messaging_group_agents WHERE id = ?", (wiring_id,)))


def wiring_of(row: sqlite3.Row) -> Wiring:
    """For repositories that select whole wiring rows."""
    return Wiring(
        id=row["id"],
        messaging_group_id=row["messaging_group_id"],
        agent_group_id=row["agent_group_id"],
        created_at=time_of(row["created_at"]),
        session_mode=word_of(SessionMode, row["session_mode"]),
        priority=row["priority"] or 0,
        engage_mode=word_of(EngageMode, row["engage_mode"]),
        engage_pattern=row["engage_pattern"],
        sender_scope=word_of(SenderScope, row["sender_scope"]),
        ignored_message_policy=word_of(IgnoredMessagePolicy, row["ignored_message_policy"]),
        sticky_seconds=row["sticky_seconds"],
        uncertain_policy=word_of(UncertainPolicy, row["uncertain_policy"]),
        bot_messages=bool(row["bot_messages"]),
        edits=bool(row["edits"]),
        reactions=bool(row["reactions"]),
    )

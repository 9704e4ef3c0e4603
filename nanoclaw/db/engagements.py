"""Statements on ``engagements``: agents that were addressed in a thread and stay in the talk.

Written and read by the router for wirings of mode mention-sticky. Being engaged is a fact of its
own with an end; that a session exists says nothing about it (W-37).
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.rows import changed


@dataclass(frozen=True, slots=True)
class Engagement:
    """One agent in one thread of one chat; without threads, in the chat."""

    agent_group_id: str
    messaging_group_id: str
    thread_id: str | None
    engaged_at: datetime
    expires_at: datetime


def engage(conn: sqlite3.Connection, engagement: Engagement) -> None:
    """Begins or prolongs."""
    conn.execute(
        "INSERT INTO engagements (agent_group_id, messaging_group_id, thread_id, engaged_at,"
        " expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (agent_group_id, messaging_group_id, thread_id) DO UPDATE SET"
        " expires_at = excluded.expires_at",
        (
            engagement.agent_group_id,
            engagement.messaging_group_id,
            engagement.thread_id or "",
            to_text(engagement.engaged_at),
            to_text(engagement.expires_at),
        ),
    )


def engaged_agents(
    conn: sqlite3.Connection, messaging_group_id: str, thread_id: str | None, now: datetime
) -> frozenset[str]:
    """Ids of the agent groups that are engaged in this thread now."""
    rows = conn.execute(
        "SELECT agent_group_id FROM engagements"
        " WHERE messaging_group_id = ? AND thread_id = ? AND expires_at > ?",
        (messaging_group_id, thread_id or "", to_text(now)),
    )
    return frozenset(row[0] for row in rows)


def prune(conn: sqlite3.Connection, now: datetime) -> int:
    """Forgets what has ended."""
    return changed(conn, "DELETE FROM engagements WHERE expires_at <= ?", (to_text(now),))

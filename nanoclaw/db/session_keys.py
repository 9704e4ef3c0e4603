"""Gives sessions of the earlier program their mode and key, so that conversations go on.

Called by the first of our migrations and never again; the form of a key is frozen here as it was
then, and a test compares it with the one the router uses. Of several sessions that would have the
same key the one used last gets it; the others keep their files and are found by id only.
"""

import sqlite3
from dataclasses import dataclass

_SHARED, _PER_THREAD, _AGENT_SHARED = "shared", "per-thread", "agent-shared"


@dataclass(frozen=True, slots=True)
class _OldSession:
    id: str
    agent_group_id: str
    messaging_group_id: str | None
    thread_id: str | None
    wired_mode: str | None


def assign_session_keys(conn: sqlite3.Connection) -> None:
    """Sets ``mode`` and ``session_key``, newest first; closed sessions get both too."""
    rows = conn.execute(
        "SELECT s.id, s.agent_group_id, s.messaging_group_id, s.thread_id, w.session_mode, s.status"
        " FROM sessions s LEFT JOIN messaging_group_agents w"
        " ON w.messaging_group_id = s.messaging_group_id AND w.agent_group_id = s.agent_group_id"
        " ORDER BY coalesce(s.last_active, s.created_at) DESC, s.rowid DESC"
    ).fetchall()
    taken: set[str] = set()
    for *columns, status in rows:
        session = _OldSession(*columns)
        mode = _mode(session)
        key: str | None = _key(session, mode)
        if status != "closed":
            if key in taken:
                key = None
            else:
                taken.add(str(key))
        conn.execute(
            "UPDATE sessions SET mode = ?, session_key = ? WHERE id = ?", (mode, key, session.id)
        )


def _mode(session: _OldSession) -> str:
    """A session without a chat was made for messages between agents, which are shared (H-86)."""
    if session.messaging_group_id is None or session.wired_mode == _AGENT_SHARED:
        return _AGENT_SHARED
    if session.thread_id is not None or session.wired_mode == _PER_THREAD:
        return _PER_THREAD
    return _SHARED


def _key(session: _OldSession, mode: str) -> str:
    chat = None if mode == _AGENT_SHARED else session.messaging_group_id
    thread = session.thread_id if mode == _PER_THREAD else None
    return "|".join(_escaped(part) for part in (mode, session.agent_group_id, chat, thread))


def _escaped(part: str | None) -> str:
    return "" if part is None else part.replace("%", "%25").replace("|", "%7C")

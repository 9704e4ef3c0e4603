"""Homes with many sessions on disk, for measuring what idle sessions cost."""

from datetime import timedelta

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.db import agent_groups, sessions
from nanoclaw.db.connection import open_central, transaction
from nanoclaw.model import NewSession, SessionMode
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder


def add_sessions(paths: HostPaths, count: int) -> None:
    """``count`` stopped sessions with their folders; nothing of them is due."""
    conn = open_central(paths.central_db)
    (group, *_) = agent_groups.list_all(conn)
    now = utc_now()
    with transaction(conn):
        for number in range(count):
            created = now - timedelta(minutes=number)
            session = sessions.create(
                conn,
                NewSession(new_id("sess"), group.id, None, None, SessionMode.TASK, None, created),
            )
            SessionFolder.of(paths, group.id, session.id).create()
    conn.close()

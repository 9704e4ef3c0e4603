"""Agents whose files take more space than they may: told once, and not started again so.

Used by ``loop`` when it stops one, and before it starts one. The measuring is ``disk``'s; the text
names the figures, where the space went, and the command that allows more.
"""

import sqlite3

from contract.clock import to_text, utc_now
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.containers.spec import MIB
from nanoclaw.db import limits, sessions
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.notice import Notice, chat_of, queue_notice
from nanoclaw.sweep import notices
from nanoclaw.sweep.agents import Agent
from nanoclaw.sweep.disk import DiskWatch

HOLD_SECONDS = 5.0


class FullDisk:
    """Owned by the ``sweep`` process."""

    def __init__(self, conn: sqlite3.Connection, paths: HostPaths, watch: DiskWatch) -> None:
        self._conn = conn
        self._paths = paths
        self._watch = watch

    def stopped(self, agent: Agent) -> None:
        """Says once why this container is ended."""
        session = sessions.get(self._conn, agent.session_id)
        if session is not None:
            text = notices.DISK_FULL.format(
                used=notices.size(agent.used_bytes),
                allowed=notices.size(agent.limits.disk_bytes),
                places=notices.largest(agent.disk_places),
                hint=_hint(session, agent.limits.disk_bytes),
            )
            self._tell(session, f"disk/{agent.lease}", text)

    def keeps_out(self, session: Session, folders: tuple[str, ...], disk_bytes: int) -> bool:
        """Whether it cannot start now; its chat hears that at most once an hour."""
        used = self._watch.keeps_out(session.id, folders, disk_bytes)
        if used is None or used <= disk_bytes:  # the limit may have been raised meanwhile
            return False
        text = notices.DISK_STILL_FULL.format(
            used=notices.size(used),
            allowed=notices.size(disk_bytes),
            hint=_hint(session, disk_bytes),
        )
        told = f"notice/{session.id}/disk/{session.lease_token}"
        if not self._was_told(told, session):
            self._tell(session, f"disk-wait/{to_text(utc_now())[:13]}", text)
        return True

    def _was_told(self, delivery_id: str, session: Session) -> bool:
        """By the container that was stopped for it; a message that came later wants a word."""
        told_at = limits.told_at(self._conn, delivery_id)
        return told_at is not None and (
            session.last_active is None or told_at >= session.last_active
        )

    def _tell(self, session: Session, occasion: str, text: str) -> None:
        notice = Notice(occasion, text, chat_of(self._conn, session))
        if queue_notice(self._conn, session, notice, utc_now()):
            ring(self._paths, DELIVERY)


def _hint(session: Session, disk_bytes: int) -> str:
    return notices.hint(session.agent_group_id, "--disk-mb", disk_bytes // MIB)

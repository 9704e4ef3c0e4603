"""Notices in running sessions that a task is over, so that its next run is planned at once.

Called by ``rounds`` while anything runs, and by ``loop`` before a session is started. What follows
is ``tasks.keeper``'s; sessions that have ended are settled by ``settle``, which asks it too.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from contract.errors import ContractError, SessionFileBusy
from contract.inbound.lookup import read_rows
from contract.inbound.row import AckStatus, InboundStatus, MessageKind
from nanoclaw.config import HostConfig
from nanoclaw.db import sessions, tasks
from nanoclaw.model import Session
from nanoclaw.sweep.agents import Agent
from nanoclaw.tasks.keeper import TaskKeeper

log = logging.getLogger(__name__)


class TaskWatch:
    """Owned by the ``sweep`` process; remembers which settled claims it has looked at."""

    def __init__(self, conn: sqlite3.Connection, config: HostConfig) -> None:
        self._conn = conn
        self.keeper = TaskKeeper(conn, config)
        self._looked_at: dict[str, frozenset[str]] = {}

    def look(self, agents: Sequence[Agent], now: datetime) -> None:
        """One broken session never stops the others; a busy one is looked at again."""
        running = {agent.session_id for agent in agents}
        for session_id in self._looked_at.keys() - running:
            del self._looked_at[session_id]
        for agent in agents:
            settled = settled_claims(agent)
            new = settled - self._looked_at.get(agent.session_id, frozenset())
            if new and self._look_at(agent, new, now):
                self._looked_at[agent.session_id] = settled

    def _look_at(self, agent: Agent, new: Iterable[str], now: datetime) -> bool:
        """False: look again. Settling the rows themselves is delivery's, after it has taken in what
        the agent said about them."""
        try:
            rows = read_rows(agent.folder.inbound_db, sorted(new))
            rows = tuple(row for row in rows if row.recurrence or row.kind == MessageKind.TASK)
            if not rows:
                return True
            if any(row.status is InboundStatus.PENDING for row in rows):
                return False
            session = sessions.get(self._conn, agent.session_id)
            if session is None:
                return True
            summary = self.keeper.settle(session, now, agent.view.claimed_at)
            if summary is not None:
                self.keeper.wake(session, summary, now)
        except SessionFileBusy:
            return False
        except ContractError as error:
            # Whoever writes the file next sets the session aside.
            log.warning("tasks not read", extra={"session": agent.session_id, "reason": str(error)})
        return True

    def still_due(self, due: Iterable[Session], now: datetime) -> list[Session]:
        """Those that are to be started, after tasks whose time was missed have been moved on."""
        return [session for session in due if not self._was_skipped(session, now)]

    def _was_skipped(self, session: Session, now: datetime) -> bool:
        if not tasks.has_skipping(self._conn, session.id):
            return False
        try:
            if not self.keeper.skip_missed(session, now):
                return False
        except (ContractError, OSError) as error:
            log.info("tasks not read", extra={"session": session.id, "reason": str(error)})
            return False
        current = sessions.get(self._conn, session.id)
        due_at = current.next_due_at if current is not None else None
        return due_at is None or due_at > now


def settled_claims(agent: Agent) -> frozenset[str]:
    """What the agent's file said when it was last read."""
    return frozenset(
        ack.message_id for ack in agent.view.acks if ack.status is not AckStatus.PROCESSING
    )

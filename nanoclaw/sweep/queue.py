"""The queue in front of the places: who is due, who starts, who makes room.

Used by ``loop`` with every look. What is fair stands in ``decide``; here the facts are read. A look
sees a bounded number of sessions, but never those of one group alone, however many that has.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from nanoclaw.db import limits, sessions
from nanoclaw.model import Session
from nanoclaw.sweep.agents import AgentTable
from nanoclaw.sweep.decide import IdleAgent, Places, Waiting, choose_starts, choose_victims

MAX_LOOKED_AT = 256
"""Due sessions in one question: more than can run, so that there is something to choose from."""
MAX_QUESTIONS = 4


class Queue:
    """Owned by the ``sweep`` process; asks the database with every look, and keeps nothing but what
    the last look left over."""

    def __init__(self, conn: sqlite3.Connection, agents: AgentTable) -> None:
        self._conn = conn
        self._agents = agents
        self._left: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Due sessions without a place, after the last look."""
        return self._left.total()

    def due(self, now: datetime) -> list[Session]:
        """Everybody who has work and no container. Groups that fill a whole answer are left out of
        the next question, so that those behind them are seen too."""
        found: list[Session] = []
        seen: set[str] = set()
        for _ in range(MAX_QUESTIONS):
            some = sessions.due(self._conn, now, MAX_LOOKED_AT, sorted(seen))
            found += some
            seen |= {session.agent_group_id for session in some}
            if len(some) < MAX_LOOKED_AT:
                break
        return [session for session in found if session.id not in self._agents]

    def choose(self, due: Sequence[Session], free: int, started_at: datetime) -> list[Session]:
        """Those that get a place now; the others are waiting."""
        waiting = [
            Waiting(session.id, session.agent_group_id, session.next_due_at or started_at)
            for session in due
        ]
        chosen = set(choose_starts(waiting, self._places(), free)) if free > 0 else set()
        self._left = Counter(session.agent_group_id for session in due if session.id not in chosen)
        return [session for session in due if session.id in chosen]

    def victims(self, idle: Sequence[IdleAgent]) -> list[str]:
        """Idle sessions whose containers go so that others can start."""
        leaving = Counter(agent.agent_group_id for agent in self._agents.all() if not agent.is_up)
        return choose_victims(idle, self._left, leaving, self._places())

    def _places(self) -> Places:
        return Places(self._agents.per_group(), limits.places_by_group(self._conn))

"""Rounds through the running containers: their health, their disk, their leases.

Owned by ``loop``. The timers run only while something runs. After the machine has slept all clocks
have jumped and every sign of life looks old, so nobody is judged until there was time for a new
one.
"""

import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta

from contract.clock import utc_now
from contract.errors import SessionFileError
from nanoclaw.db import sessions
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.sweep.agents import Agent, AgentTable
from nanoclaw.sweep.decide import IdleAgent, Keep, Stop
from nanoclaw.sweep.disk import DiskWatch
from nanoclaw.sweep.health import Health
from nanoclaw.sweep.starter import LEASE_TTL
from nanoclaw.sweep.task_watch import TaskWatch

CHECK_SECONDS = 5.0
LOCK_CHECK_SECONDS = 0.25
"""Honest locks last milliseconds: to tell them from one that is held takes many looks."""
RENEW_SECONDS = 30.0
CLOCK_JUMP = timedelta(seconds=30)
CALM_SECONDS = 60.0

OnStop = Callable[[Agent, Stop], None]

log = logging.getLogger(__name__)


class Rounds:
    """``on_stop`` is called for whoever must be stopped."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        agents: AgentTable,
        watches: tuple[Health, DiskWatch, TaskWatch],
        owner: str,
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._agents = agents
        self._health, self._disk, self._tasks = watches
        self._owner = owner
        self._on_stop: OnStop = lambda agent, stop: None
        self._timer: Timer | None = None
        self._renew_at = 0.0
        self._seen: tuple[datetime, float] | None = None
        self._calm_until = 0.0

    def start(self, on_stop: OnStop) -> None:
        self._on_stop = on_stop
        self._disk.on_excess = self._judge_at_once

    def keep_going(self) -> None:
        """Call it when something runs; the rounds end by themselves."""
        if self._timer is None and len(self._agents):
            self._renew_at = self._renew_at or self._reactor.now() + RENEW_SECONDS
            self._timer = self._reactor.call_later(CHECK_SECONDS, self._round)

    def idle_agents(self) -> list[IdleAgent]:
        """Who could make room for others."""
        now, clock = utc_now(), self._reactor.now()
        found: list[IdleAgent] = []
        for agent in self._agents.up():
            decision = self._judge(agent, now, clock)
            if isinstance(decision, Keep) and decision.quiet_for is not None:
                found.append(IdleAgent(agent.session_id, decision.quiet_for, agent.agent_group_id))
        return found

    def _round(self) -> None:
        self._timer = None
        if not len(self._agents):
            self._seen, self._renew_at = None, 0.0
            return
        now, clock = utc_now(), self._reactor.now()
        self._notice_jump(now, clock)
        self._renew(now, clock)
        self._disk.look(self._agents.up(), clock)
        if clock >= self._calm_until:
            for agent in self._agents.up():
                self._act(agent, now, clock)
            self._tasks.look(self._agents.up(), now)
        locked = any(agent.locked_since is not None for agent in self._agents.up())
        pause = LOCK_CHECK_SECONDS if locked else CHECK_SECONDS
        self._timer = self._reactor.call_later(pause, self._round)

    def _judge_at_once(self, agent: Agent) -> None:
        if agent.is_up and self._reactor.now() >= self._calm_until:
            self._act(agent, utc_now(), self._reactor.now())

    def _act(self, agent: Agent, now: datetime, clock: float) -> None:
        decision = self._judge(agent, now, clock)
        if isinstance(decision, Stop):
            self._on_stop(agent, decision)

    def _judge(self, agent: Agent, now: datetime, clock: float) -> Keep | Stop:
        try:
            return self._health.judge(agent, now, clock)
        except SessionFileError as error:
            # Whoever writes the file next sets the session aside; the agent itself may be well.
            log.warning(
                "inbox unreadable", extra={"session": agent.session_id, "reason": str(error)}
            )
            return Keep(None)

    def _notice_jump(self, now: datetime, clock: float) -> None:
        seen, self._seen = self._seen, (now, clock)
        if seen is None:
            return
        drift = (now - seen[0]) - timedelta(seconds=clock - seen[1])
        if abs(drift) > CLOCK_JUMP:
            self._calm_until = clock + CALM_SECONDS
            log.info("the clock has jumped", extra={"reason": f"{drift.total_seconds():.0f} s"})

    def _renew(self, now: datetime, clock: float) -> None:
        if clock < self._renew_at:
            return
        self._renew_at = clock + RENEW_SECONDS
        ids = self._agents.session_ids()
        sessions.renew_leases(self._conn, self._owner, ids, now + LEASE_TTL)

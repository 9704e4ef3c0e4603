"""Measures now and then how much disk each running agent takes.

Called by ``rounds`` with the health checks. The walk runs on a worker thread, one agent at a time,
and the pause after it grows with what it cost; ``health`` compares the figure with the limit. Too
much is also written down: ``keeps_out`` lets no such session start before it was measured again.
"""

import logging
import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from contract.clock import utc_now
from nanoclaw.containers.usage import DiskUse, measure
from nanoclaw.db import limits
from nanoclaw.sweep.agents import Agent
from nanoclaw.sweep.offload import Offload

PAUSE_SECONDS = 5.0
"""A disk fills fast."""
PAUSE_PER_COST = 100
"""A walk may take one percent of one thread's time, up to the longest pause."""
LONGEST_PAUSE_SECONDS = 120.0
"""Else an agent with a million files could fill the disk unseen."""
RECHECK_PAUSE_PER_COST = 10
"""More for one that waits to start: somebody may have made room for it."""

log = logging.getLogger(__name__)


class DiskWatch:
    """Owned by the ``sweep`` process."""

    def __init__(self, offload: Offload, conn: sqlite3.Connection) -> None:
        self._offload = offload
        self._conn = conn
        self._busy = False
        self._recheck_at: dict[str, float] = {}
        """Of sessions that wait for room; infinite while one is measured."""
        self.on_excess: Callable[[Agent], None] = lambda _: None
        """Called at once, since the disk goes on filling."""

    def look(self, agents: list[Agent], clock: float) -> None:
        """Starts at most one measurement; ``clock`` is monotonic."""
        due = [agent for agent in agents if agent.measure_at <= clock]
        if self._busy or not due:
            return
        agent = min(due, key=lambda one: one.measure_at)
        folders = tuple(Path(folder) for folder in agent.disk_folders)
        self._busy = True
        started = time.monotonic()
        self._offload.submit(
            lambda: measure(folders),
            lambda use: self._note(agent, use, time.monotonic() - started),
            lambda _: self._note(agent, DiskUse(agent.used_bytes, 0, complete=False), 0.0),
        )

    def _note(self, agent: Agent, use: DiskUse, cost_seconds: float) -> None:
        self._busy = False
        agent.used_bytes = use.used_bytes
        agent.disk_places = use.places
        self._write_down(agent.session_id, use, agent.limits.disk_bytes)
        pause = max(PAUSE_SECONDS, PAUSE_PER_COST * cost_seconds)
        agent.measure_at = time.monotonic() + min(pause, LONGEST_PAUSE_SECONDS)
        if not use.complete:
            log.info("too many files to count", extra={"session": agent.session_id})
        if use.used_bytes > agent.limits.disk_bytes:
            self.on_excess(agent)

    def keeps_out(self, session_id: str, folders: tuple[str, ...], disk_bytes: int) -> int | None:
        """How much a session uses that had too much and may not start; None: it may.

        Measures again meanwhile; ask later. At most one such walk per session at a time.
        """
        used = limits.excess_of(self._conn, session_id)
        if used is None:
            self._recheck_at.pop(session_id, None)
            return None
        started = time.monotonic()
        if self._recheck_at.get(session_id, started) > started:
            return used
        self._recheck_at[session_id] = math.inf

        def done(use: DiskUse | None) -> None:
            now = time.monotonic()
            pause = min(RECHECK_PAUSE_PER_COST * (now - started), LONGEST_PAUSE_SECONDS)
            self._recheck_at[session_id] = now + pause
            if use is not None:
                self._write_down(session_id, use, disk_bytes)

        paths = tuple(Path(folder) for folder in folders)
        self._offload.submit(lambda: measure(paths), done, lambda _: done(None))
        return used

    def _write_down(self, session_id: str, use: DiskUse, disk_bytes: int) -> None:
        """Only what changes is written: most agents never come near their limit."""
        if use.used_bytes > disk_bytes:
            limits.note_excess(self._conn, session_id, use.used_bytes, utc_now())
        elif limits.excess_of(self._conn, session_id) is not None:
            limits.forget_excess(self._conn, session_id)

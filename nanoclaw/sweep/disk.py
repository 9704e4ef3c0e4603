"""Measures now and then how much disk each running agent takes.

Called by ``loop`` with its health checks. The walk runs on a worker thread, one agent at a time,
and the pause after it grows with what it cost; ``health`` compares the figure with the limit.
"""

import logging
import time
from pathlib import Path

from nanoclaw.containers.usage import DiskUse, measure
from nanoclaw.sweep.agents import Agent
from nanoclaw.sweep.offload import Offload

FIRST_SECONDS = 30.0
PAUSE_SECONDS = 30.0
PAUSE_PER_COST = 100
"""A walk may take one percent of one thread's time."""

log = logging.getLogger(__name__)


class DiskWatch:
    """Owned by the ``sweep`` process."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self._busy = False

    def look(self, agents: list[Agent], clock: float) -> None:
        """Starts at most one measurement; ``clock`` is monotonic."""
        for agent in agents:
            if not agent.measure_at:
                agent.measure_at = clock + FIRST_SECONDS
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
        pause = max(PAUSE_SECONDS, PAUSE_PER_COST * cost_seconds)
        agent.measure_at = time.monotonic() + pause
        if not use.complete:
            log.info("too many files to count", extra={"session": agent.session_id})

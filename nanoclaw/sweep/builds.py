"""When the agent image is built: one attempt at a time, failed ones again with growing delay.

Owned by ``engine``. The build itself is a process of its own (``containers.build_process``); here
are only its attempts, and what the status shows about them.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from contract.clock import utc_now
from nanoclaw.config import HostConfig
from nanoclaw.containers.build_process import BuildProcess
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.supervise.child import Entry

RETRY_SECONDS = (15, 30, 60, 300, 900, 1800)
BLOCKED_SECONDS = 1.0

log = logging.getLogger(__name__)


class Builds:
    """``on_change`` is called whenever something in here is different."""

    def __init__(
        self, reactor: Reactor, config: HostConfig, entry: Entry, on_change: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._entry = entry
        self._on_change = on_change
        self._timer: Timer | None = None
        self._process: BuildProcess | None = None
        self.failures = 0
        self.error = ""
        self.progress = ""
        self.next_at: datetime | None = None
        self.is_blocked: Callable[[], bool] = lambda: False
        """Another build has the place; the next look begins this one."""

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def want(self) -> None:
        """Starts one unless it runs already, or waits for its next attempt."""
        if self._process is None and self._timer is None:
            self._start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None:
            self._process.stop()

    def _start(self) -> None:
        self._timer, self.next_at = None, None
        if self.is_blocked():
            self._timer = self._reactor.call_later(BLOCKED_SECONDS, self._start)
            return
        self.progress = "starting"
        process = BuildProcess(self._reactor, self._on_progress, self._on_end)
        try:
            process.start(self._config, self._entry)
        except OSError as error:
            self._on_end(f"the builder cannot be started: {error}")
            return
        self._process = process
        log.info("image build started", extra={"attempt": self.failures + 1})
        self._on_change()

    def _on_progress(self, text: str) -> None:
        self.progress = text
        self._on_change()

    def _on_end(self, reason: str | None) -> None:
        self._process, self.progress = None, ""
        if reason is None:
            self.failures, self.error = 0, ""
            log.info("image build finished")
        else:
            self._plan_next(reason)
        self._on_change()

    def _plan_next(self, reason: str) -> None:
        delay = RETRY_SECONDS[min(self.failures, len(RETRY_SECONDS) - 1)]
        self.failures += 1
        self.error = reason
        self.next_at = utc_now() + timedelta(seconds=delay)
        self._timer = self._reactor.call_later(delay, self._start)
        log.error("image build failed", extra={"attempt": self.failures, "reason": reason})

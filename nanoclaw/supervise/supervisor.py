"""Keeps the wanted children running: reads events, asks ``state``, carries the actions out.

Built by ``daemon``; runs on one Reactor over signals, child sentinels, report pipes and timers.
Opens no database and no network connection. It never waits for a child: every limit is a timer,
and every round ends with what is wanted compared to what is.
"""

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from contract.clock import to_text, utc_now
from nanoclaw.config import HostConfig
from nanoclaw.log import rotate_log
from nanoclaw.reactor import Reactor
from nanoclaw.reserve import Reserve
from nanoclaw.supervise.child import ChildSpec
from nanoclaw.supervise.demand import Demand
from nanoclaw.supervise.notify import Notifier
from nanoclaw.supervise.one_shot import OneShot, StartError
from nanoclaw.supervise.state import RestartPolicy, State
from nanoclaw.supervise.status import HostStatus, write_status
from nanoclaw.supervise.supervised import Supervised
from nanoclaw.supervise.worker_process import Launcher
from nanoclaw.version import VERSION

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STATUS_REFRESH_SECONDS = 30
LOG_CHECK_SECONDS = 60
DISK_CHECK_SECONDS = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SupervisorParts:
    """What the supervisor works with."""

    config: HostConfig
    preflight: ChildSpec
    children: tuple[ChildSpec, ...]
    policy: RestartPolicy
    launcher: Launcher
    notifier: Notifier


class Supervisor:
    """One host. ``run`` returns when the last child is gone after a stop signal.

    Children that work on the state on disk start when the preflight has found it in order; if it
    has not, everything is stopped again and ``run`` raises what it said.
    """

    def __init__(self, reactor: Reactor, parts: SupervisorParts) -> None:
        self._reactor = reactor
        self._paths = parts.config.paths
        self._notifier = parts.notifier
        self._children = [
            Supervised(reactor, spec, parts.launcher, parts.policy, self._changed)
            for spec in parts.children
        ]
        self._preflight = OneShot(reactor, parts.launcher, parts.preflight, self._on_preflight_end)
        names = frozenset(spec.name for spec in parts.children if spec.on_demand)
        self._demand = Demand(reactor, self._paths.bells, names, self._on_demand)
        self._refusal: StartError | None = None
        self._started_at = to_text(utc_now())
        self._state = "starting"
        self._announced = False
        self._stop_requests = 0
        self._change_posted = False

    def run(self) -> None:
        self._reactor.on_signals(STOP_SIGNALS, self._on_signal)
        self._every(STATUS_REFRESH_SECONDS, self._write_status)
        self._every(LOG_CHECK_SECONDS, lambda: rotate_log(self._paths.logs))
        self._every(DISK_CHECK_SECONDS, Reserve(self._paths.reserve_file).give_back_if_full)
        watchdog_seconds = self._notifier.watchdog_seconds
        if watchdog_seconds is not None:
            self._every(watchdog_seconds, self._notifier.alive)
        log.info("host starting", extra={"count": len(self._children)})
        try:
            for child in self._children:
                if not child.spec.needs_state:
                    child.want(up=True)
            self._preflight.start()
            self._reactor.run()
        finally:
            # Nothing is left after an orderly stop. After an error of our own, multiprocessing
            # would wait at exit for children that nobody supervises any more.
            self._kill_all()
            self._demand.close()
        log.info("host stopped")
        if self._refusal is not None:
            raise self._refusal

    def stop(self) -> None:
        """First call: stop everything in order. Any further call: kill what is left."""
        self._stop_requests += 1
        if self._stop_requests == 1:
            self._state = "stopping"
            self._notifier.stopping()
            self._preflight.kill()  # its work is one transaction after the other; none is lost
        else:
            log.warning("stop requested again, killing what is left")
            for child in self._children:
                child.want(up=False)
            self._kill_all()
        self._changed()

    def _kill_all(self) -> None:
        self._preflight.kill()
        for child in self._children:
            child.kill()

    def _on_signal(self, number: int) -> None:
        log.info("signal received", extra={"reason": signal.Signals(number).name})
        self.stop()

    def _on_preflight_end(self, refusal: StartError | None) -> None:
        if self._stop_requests:
            self._changed()
        elif refusal is not None:
            log.critical("host cannot start", extra={"reason": str(refusal)})
            self._refusal = refusal
            self.stop()
        else:
            self._demand.listen()
            for child in self._children:
                if not child.spec.on_demand:
                    child.want(up=True)

    def _on_demand(self, name: str) -> None:
        """Somebody needs a child that was not started with the others."""
        for child in self._children:
            if child.spec.name == name and not self._stop_requests:
                child.want(up=True)

    def _changed(self) -> None:
        """Something about a child is different; looked at once per round of the reactor."""
        if not self._change_posted:
            self._change_posted = True
            self._reactor.post(self._converge)

    def _converge(self) -> None:
        self._change_posted = False
        if self._stop_requests:
            self._stop_next_phase()
        elif not self._announced and self._is_ready():
            self._announced = True
            self._state = "running"
            log.info("host ready")
            self._notifier.ready(self._summary())
        elif self._announced:
            self._notifier.status(self._summary())
        self._write_status()

    def _is_ready(self) -> bool:
        needed = [child for child in self._children if child.spec.needed_for_ready]
        return all(child.state is State.RUNNING for child in needed)

    def _stop_next_phase(self) -> None:
        """Tells the lowest phase that still has live children to stop; ends when there is none.

        A child that waits for its next attempt has nothing to finish and is never started again.
        """
        alive = [child for child in self._children if child.is_alive]
        if not alive and not self._preflight.is_alive:
            self._state = "stopped"
            self._reactor.stop()
            return
        phase = min((child.spec.stop_phase for child in alive), default=0)
        for child in self._children:
            if not child.is_alive or child.spec.stop_phase == phase:
                child.want(up=False)

    def _summary(self) -> str:
        broken = [child for child in self._children if child.state is State.FATAL]
        if broken:
            return "given up: " + ", ".join(child.spec.name for child in broken)
        running = sum(child.state is State.RUNNING for child in self._children)
        wanted = sum(child.is_wanted for child in self._children)
        return f"{running} of {wanted} children running"

    def _every(self, seconds: float, callback: Callable[[], object]) -> None:
        def run() -> None:
            callback()
            self._reactor.call_later(seconds, run)

        self._reactor.call_later(seconds, run)

    def _write_status(self) -> None:
        status = HostStatus(
            version=VERSION,
            pid=os.getpid(),
            state=self._state,
            started_at=self._started_at,
            updated_at=to_text(utc_now()),
            children=tuple(child.status() for child in self._children),
        )
        try:
            write_status(self._paths.status_file, status)
        except OSError as error:
            log.warning("status not written", extra={"reason": str(error)})

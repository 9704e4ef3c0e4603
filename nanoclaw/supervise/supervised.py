"""One row of the table of children at run time: what is wanted, what is, and since when.

Built by ``supervisor``. Turns what happens to the process into events for ``state`` and carries
out the action that comes back. One timer at a time: what it means depends on the state.
"""

import logging
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from contract.clock import to_text, utc_now
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.supervise.child import ChildSpec
from nanoclaw.supervise.report import Note, Ready, Reason
from nanoclaw.supervise.state import (
    EXIT_LOST,
    Action,
    Event,
    RestartPolicy,
    State,
    Tally,
    judge_exit,
    next_step,
)
from nanoclaw.supervise.status import ChildStatus
from nanoclaw.supervise.worker_process import Launcher, Running, describe_exit

WAITING = "waiting"
NOT_NEEDED = "not needed yet"
"""How the status shows a child that is started on demand and has not been."""

log = logging.getLogger(__name__)


class Supervised:
    """One child, from the supervisor's side."""

    def __init__(
        self,
        reactor: Reactor,
        spec: ChildSpec,
        launcher: Launcher,
        policy: RestartPolicy,
        on_change: Callable[[], None],
    ) -> None:
        self.spec = spec
        self.state = State.STOPPED
        self._reactor = reactor
        self._launcher = launcher
        self._policy = policy
        self._on_change = on_change
        self._wanted = False
        self._running: Running | None = None
        self._timer: Timer | None = None
        self._tally = Tally()
        self._starts = 0
        self._since = to_text(utc_now())
        self._next_attempt = ""
        self._last_exit = ""
        self._reason = ""
        self._last_words = ""  # what the present process said about its own end
        self._notes: dict[str, str] = {}

    @property
    def is_wanted(self) -> bool:
        return self._wanted

    @property
    def is_alive(self) -> bool:
        """Whether there is a process, in whatever state."""
        return self._running is not None

    def want(self, *, up: bool) -> None:
        """Says what is wanted; safe to repeat."""
        self._wanted = up
        self._apply(Event.WANTED if up else Event.UNWANTED)

    def kill(self) -> None:
        if self._running is not None:
            self._running.send(signal.SIGKILL)

    def status(self) -> ChildStatus:
        return ChildStatus(
            name=self.spec.name,
            wanted=self._wanted,
            state=WAITING if self._is_waiting() else self.state,
            pid=self._running.pid if self._running is not None else None,
            since=self._since,
            restarts=max(0, self._starts - 1),
            last_exit=self._last_exit,
            reason=NOT_NEEDED if self._is_waiting() else self._reason,
            next_attempt=self._next_attempt,
            notes=dict(self._notes),
        )

    def _is_waiting(self) -> bool:
        return self.spec.on_demand and not self._wanted and not self._starts

    def _apply(self, event: Event) -> None:
        step = next_step(self.state, event)
        changed = step.state is not self.state
        self.state = step.state
        if changed:
            self._since = to_text(utc_now())
        if changed or step.action is not Action.NONE:
            self._set_timer(step.action)
            self._carry_out(step.action)
            self._on_change()

    def _carry_out(self, action: Action) -> None:
        match action:
            case Action.NONE:
                pass
            case Action.START:
                self._start()
            case Action.TERMINATE:
                if self._running is not None:
                    self._running.send(signal.SIGTERM)
            case Action.KILL:
                log.warning("child killed after its time limit", extra={"child": self.spec.name})
                self._last_words = f"still {self.state} after its time limit"
                self.kill()
            case Action.FORGIVE:
                self._tally = Tally()
                self._reason = ""
            case _:
                assert_never(action)

    def _set_timer(self, action: Action) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._next_attempt = ""
        seconds = self._limit_seconds(action)
        if seconds is None:
            return
        self._timer = self._reactor.call_later(seconds, lambda: self._apply(Event.TIME_UP))
        if self.state is State.BACKOFF:
            self._next_attempt = to_text(utc_now() + timedelta(seconds=seconds))

    def _limit_seconds(self, action: Action) -> float | None:
        """How long the state that was just entered may last."""
        if action is Action.KILL:
            return self._policy.kill_limit_seconds
        match self.state:
            case State.STARTING:
                return self._policy.start_limit_seconds
            case State.RUNNING:
                return self._policy.stable_seconds if action is not Action.FORGIVE else None
            case State.BACKOFF:
                return self._policy.delay_seconds(self._tally.ends)
            case State.STOPPING:
                return self.spec.stop_seconds
            case State.STOPPED | State.FATAL:
                return None

    def _start(self) -> None:
        self._starts += 1
        self._last_words = ""
        self._notes = {}
        try:
            running = self._launcher.start(self.spec)
        except (OSError, EOFError) as error:
            self._ended(EXIT_LOST, f"could not be started: {error}")
            return
        self._running = running
        self._reactor.watch(running.reports_fd, lambda: self._on_reports(running))
        self._reactor.watch(running.sentinel, lambda: self._on_sentinel(running))

    def _on_reports(self, running: Running) -> None:
        if running is not self._running:
            return
        reports, is_open = running.read_reports()
        if not is_open:
            self._reactor.unwatch(running.reports_fd)
        for report in reports:
            match report:
                case Ready():
                    self._apply(Event.READY)
                case Reason(text):
                    self._last_words = text
                case Note(key, value):
                    self._notes[key] = value
                    self._on_change()
                case _:
                    assert_never(report)

    def _on_sentinel(self, running: Running) -> None:
        if running is not self._running:
            return
        code = running.exit_code()
        if code is None:
            return  # its pipe is closed, the process is about to be; the sentinel stays readable
        self._on_reports(running)
        self._reactor.unwatch(running.reports_fd)
        self._reactor.unwatch(running.sentinel)
        self._running = None
        running.close()
        self._ended(code, self._last_words)

    def _ended(self, code: int, reason: str) -> None:
        self._last_exit = describe_exit(code)
        self._reason = reason or self._last_exit
        verdict = judge_exit(code, self._tally, self._policy)
        self._tally = verdict.tally
        self._apply(verdict.event)
        details = {"child": self.spec.name, "attempt": self._tally.ends, "reason": self._reason}
        if self.state is State.FATAL:
            log.error("child given up", extra=details)
        elif self.state is State.STOPPED:
            log.info("child stopped", extra={"child": self.spec.name, "reason": self._reason})
        else:
            log.warning("child ended, starting again", extra=details)

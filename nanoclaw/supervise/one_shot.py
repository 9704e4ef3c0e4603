"""A child that runs once to its end, before the others that depend on it may start.

Used by ``supervisor`` for the look at the state on disk. One that was killed is started again, a
few times; one that ended by itself has the last word, with its exit code and its reason.
"""

import logging
import signal
from collections.abc import Callable

from nanoclaw.errors import ExitCode, NanoclawError
from nanoclaw.reactor import Reactor
from nanoclaw.supervise.child import ChildSpec
from nanoclaw.supervise.report import Reason
from nanoclaw.supervise.state import EXIT_LOST
from nanoclaw.supervise.worker_process import Launcher, Running, describe_exit

ATTEMPTS = 3

log = logging.getLogger(__name__)


class StartError(NanoclawError):
    """The host cannot start; the exit code says whether a later try may succeed unaided."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text, exit_code)
        self.text = text
        self.exit_code = ExitCode(exit_code) if exit_code in set(ExitCode) else ExitCode.CRASH

    def __str__(self) -> str:
        return self.text


OnEnd = Callable[[StartError | None], None]


class OneShot:
    """Calls ``on_end`` once: with None when all went well, with what went wrong otherwise."""

    def __init__(
        self, reactor: Reactor, launcher: Launcher, spec: ChildSpec, on_end: OnEnd
    ) -> None:
        self._reactor = reactor
        self._launcher = launcher
        self._spec = spec
        self._on_end = on_end
        self._attempts = 0
        self._running: Running | None = None

    @property
    def is_alive(self) -> bool:
        return self._running is not None

    def start(self) -> None:
        self._attempts += 1
        try:
            running = self._launcher.start(self._spec)
        except (OSError, EOFError) as error:
            self._ended(EXIT_LOST, f"{self._spec.name} could not be started: {error}")
            return
        self._running = running
        self._reactor.watch(running.sentinel, self._on_sentinel)

    def kill(self) -> None:
        self._attempts = ATTEMPTS
        if self._running is not None:
            self._running.send(signal.SIGKILL)

    def _on_sentinel(self) -> None:
        running = self._running
        code = None if running is None else running.exit_code()
        if running is None or code is None:
            return
        reports, _ = running.read_reports()
        reasons = [report.text for report in reports if isinstance(report, Reason)]
        self._running = None
        self._reactor.unwatch(running.sentinel)
        running.close()
        self._ended(code, reasons[-1] if reasons else f"{self._spec.name}: {describe_exit(code)}")

    def _ended(self, code: int, reason: str) -> None:
        if code == ExitCode.DONE:
            self._on_end(None)
        elif (code < 0 or code == EXIT_LOST) and self._attempts < ATTEMPTS:
            log.warning("child ended, starting again", extra={"child": self._spec.name})
            self.start()
        else:
            self._on_end(StartError(reason, code))

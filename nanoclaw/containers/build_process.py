"""A ``builder`` or ``backup`` process seen from the sweep: start it, follow it, end it in time.

A process of its own, because a build takes minutes and its library is heavy; spawned, because the
sweep has threads. It runs like every child of the host (lock, log, parent death), only that its
parent is the sweep. Uses the reports of ``supervise``; decides nothing about when to build.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from nanoclaw.config import HostConfig
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.supervise.child import ChildSpec, ChildStart, Entry, child_main
from nanoclaw.supervise.report import Note, Ready, Reason, ReportReader

NAME = "builder"
LIMIT_SECONDS = 15 * 60

OnProgress = Callable[[str], None]
OnEnd = Callable[[str | None], None]
"""None: it worked; else the reason why not."""


class BuildProcess:
    """One build; ``on_end`` is called exactly once unless ``stop`` came first."""

    def __init__(
        self, reactor: Reactor, on_progress: OnProgress, on_end: OnEnd, name: str = NAME
    ) -> None:
        self._reactor = reactor
        self._on_progress = on_progress
        self._on_end = on_end
        self._name = name
        self._process: BaseProcess | None = None
        self._reader: ReportReader | None = None
        self._reports_fd = -1
        self._reason = ""
        self._timer: Timer | None = None

    def start(self, config: HostConfig, entry: Entry) -> None:
        """``entry`` is a module-level function. Raises OSError."""
        context = multiprocessing.get_context("spawn")
        reports, writer = context.Pipe(duplex=False)
        spec = ChildSpec(self._name, entry)
        python_path = os.environ.get("PYTHONPATH")
        start = ChildStart(config, spec, writer, os.getpid(), python_path)
        process = context.Process(target=child_main, args=(start,), name=self._name, daemon=False)
        try:
            process.start()
        finally:
            writer.close()
        self._process = process
        self._reports_fd = os.dup(reports.fileno())
        reports.close()
        self._reader = ReportReader(self._reports_fd)
        self._reactor.watch(self._reports_fd, self._on_reports)
        self._reactor.watch(process.sentinel, self._on_sentinel)
        self._timer = self._reactor.call_later(LIMIT_SECONDS, self._expire)

    def stop(self) -> None:
        """Ends it without calling back."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.join()
            self._forget()

    def _on_reports(self) -> None:
        if self._reader is None:
            return
        reports, is_open = self._reader.read()
        if not is_open:
            self._reactor.unwatch(self._reports_fd)
        for report in reports:
            match report:
                case Reason(text):
                    self._reason = text
                case Note(_, value):
                    self._on_progress(value)
                case Ready():
                    pass

    def _on_sentinel(self) -> None:
        if self._process is None:
            return
        self._process.join()
        code = self._process.exitcode
        self._on_reports()
        reason = None if code == 0 else self._reason or f"the {self._name} ended with code {code}"
        self._forget()
        self._on_end(reason)

    def _expire(self) -> None:
        self._reason = f"the build took longer than {LIMIT_SECONDS // 60} minutes"
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._process.pid if self._process is not None else None
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None:
            self._reactor.unwatch(self._reports_fd)
            self._reactor.unwatch(self._process.sentinel)
            self._process.close()
            os.close(self._reports_fd)
        self._process = None
        self._reader = None

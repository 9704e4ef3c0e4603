"""When a scheduled backup is made, and who hears of it when it fails.

Owned by the ``sweep`` process. The backup itself is a process of its own (``process/backup``), one
at a time. One that was missed, because no host ran, is made soon after the start. A failure is
told to the owner once a day at most, and stands in the status until one has worked.
"""

import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from contract.clock import utc_now
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.config import HostConfig
from nanoclaw.containers.build_process import BuildProcess
from nanoclaw.db.connection import transaction
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.supervise.child import Entry
from nanoclaw.tasks.recurrence import latest_missed, next_after, parse_recurrence

OFF = "off"
NAME = "backup"
CATCH_UP_SECONDS = 300.0
"""A start has better things to do."""
LONGEST_WAIT_SECONDS = 3600.0
"""Looked at again so often, because a clock may be set and a machine may sleep."""
MISSED_WITHIN = timedelta(days=40)

log = logging.getLogger(__name__)


class Backups:
    """Every method runs on the sweep's reactor."""

    def __init__(
        self, reactor: Reactor, conn: sqlite3.Connection, config: HostConfig, entry: Entry,
        note: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._conn = conn
        self._config = config
        self._entry = entry
        self._note = note
        self._timer: Timer | None = None
        self._process: BuildProcess | None = None
        self._due: datetime | None = None

    def start(self) -> None:
        """Does nothing where backups are off."""
        if self._config.backup_every == OFF:
            return
        now = utc_now()
        if was_missed(self._config, now):
            self._timer = self._reactor.call_later(CATCH_UP_SECONDS, self._run)
            return
        self._plan(now)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._process is not None:
            self._process.stop()

    def _plan(self, now: datetime) -> None:
        self._due = next_time(self._config, now)
        self._wait()

    def _wait(self) -> None:
        if self._due is None:
            return  # a date that never comes
        left = (self._due - utc_now()).total_seconds()
        if left <= 0:
            self._run()
            return
        self._timer = self._reactor.call_later(min(left, LONGEST_WAIT_SECONDS), self._wait)

    def _run(self) -> None:
        process = BuildProcess(self._reactor, self._on_progress, self._on_end, NAME)
        try:
            process.start(self._config, self._entry)
        except OSError as error:
            self._on_end(f"it cannot be started: {error}")
            return
        self._process = process

    def _on_progress(self, text: str) -> None:
        self._note(NAME, text)

    def _on_end(self, reason: str | None) -> None:
        self._process = None
        now = utc_now()
        if reason is None:
            log.info("backup made")
        else:
            log.error("backup failed", extra={"reason": reason})
            self._note(NAME, f"FAILED: {reason}"[:200])
            with transaction(self._conn):
                queue_owner_notice(
                    self._conn,
                    f"backup-failed/{now:%Y-%m-%d}",
                    f"The scheduled backup failed: {reason}. The last good ones are shown by "
                    "`nanoclaw backup list`; try it by hand with `nanoclaw backup create`.",
                    now,
                )
            ring(self._config.paths, DELIVERY)
        self._plan(now)


def next_time(config: HostConfig, after: datetime) -> datetime | None:
    recurrence = parse_recurrence(config.backup_every)
    if recurrence is None:
        return None
    return next_after(recurrence, after, after, ZoneInfo(config.timezone))


def was_missed(config: HostConfig, now: datetime) -> bool:
    """Whether a time passed since the newest backup. A home without any waits for its first."""
    newest = max(
        (path.stat().st_mtime for path in config.paths.backups.glob("nanoclaw-*.tar.gz")),
        default=None,
    )
    recurrence = parse_recurrence(config.backup_every)
    if newest is None or recurrence is None:
        return False
    made = datetime.fromtimestamp(newest, tz=now.tzinfo)
    since = max(made, now - MISSED_WITHIN)
    return bool(latest_missed(recurrence, since, now, ZoneInfo(config.timezone), 1))

"""Brings planned rows into session files, and marks in the log what is done.

Called by ``routing.loop`` after each commit and for replays. A session that cannot be written
now, because its file is locked or files for it are still being placed, keeps its rows in the log
and gets nothing newer before them; every other session goes on, and an agent is woken for its own
rows, whatever becomes of the others' (W-21).
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.db import inbound_events, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.paths import HostPaths
from nanoclaw.routing.file_stage import FileStage
from nanoclaw.routing.host_answers import HostAnswer, queue_answer
from nanoclaw.routing.incoming_files import with_errors
from nanoclaw.routing.plan import Plan, PlannedRow, dump_plan
from nanoclaw.routing.session_writer import SessionWriter
from nanoclaw.routing.status_answer import render_status
from nanoclaw.routing.taken import TakenFiles
from nanoclaw.sessions.archive import archive_of
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.set_aside import set_aside

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """One entry of the log that is not done."""

    event_id: int
    instance: str
    plan: Plan


@dataclass(slots=True)
class Written:
    """What is to be done next. ``retry``: rows are left that another try may bring in."""

    asleep: list[str] = field(default_factory=list)
    retry: bool = False
    speaks: bool = False


class Writing:
    """Owned by the router's loop."""

    def __init__(
        self, conn: sqlite3.Connection, paths: HostPaths, stage: FileStage, zone: str
    ) -> None:
        self._conn = conn
        self._paths = paths
        self._stage = stage
        self._zone = ZoneInfo(zone)
        self._writer = SessionWriter(paths)
        self._files = TakenFiles(paths)
        self._behind: set[str] = set()

    def begin_replay(self) -> None:
        """The whole log follows, oldest first, so nothing can be overtaken."""
        self._behind.clear()

    def close(self) -> None:
        self._writer.close()
        self._stage.close()

    def write(self, tasks: Sequence[Task]) -> Written:
        """One pass over these tasks, in their order."""
        written = Written()
        stopped = {session.id for session in sessions.quarantined(self._conn)}
        ready = self._ready(tasks, stopped)
        unwritten = self._writer.write(ready)
        self._behind |= unwritten.busy
        written.retry = bool(unwritten.busy)
        for session_id, reason in unwritten.damaged.items():
            session = sessions.get(self._conn, session_id)
            if session is not None:
                set_aside(self._conn, self._paths, session, reason, utc_now())
        failed = unwritten.busy | unwritten.damaged.keys()
        done = {_key(row) for row in ready if row.session_id not in failed}
        self._mark(tasks, done, written)
        return written

    def _ready(self, tasks: Sequence[Task], stopped: set[str]) -> list[PlannedRow]:
        """Rows that can be written now, with what has become of their files."""
        ready = []
        for task in tasks:
            for row in task.plan.rows:
                if row.session_id in stopped or row.session_id in self._behind:
                    continue
                if not row.files and not self._is_packed(row):
                    ready.append(row)
                    continue
                errors = self._stage.result(task.instance, row)
                if errors is None:
                    self._behind.add(row.session_id)
                    continue
                content = with_errors(row.row.content, errors)
                ready.append(replace(row, row=replace(row.row, content=content)))
        return ready

    def _is_packed(self, row: PlannedRow) -> bool:
        """Its folder has to be made from an archive first, which may take seconds."""
        root = SessionFolder.of(self._paths, row.agent_group_id, row.session_id).root
        return not root.exists() and archive_of(root).exists()

    def _mark(self, tasks: Sequence[Task], done: set[tuple[str, str]], written: Written) -> None:
        """In one transaction: what is done, who has work, and what the host answers."""
        now = utc_now()
        answers = [answer for task in tasks if (answer := self._status(task, now)) is not None]
        finished = [task for task in tasks if _left(task, done) is None]
        woken = {
            row.session_id
            for task in tasks
            for row in task.plan.rows
            if row.row.trigger and _key(row) in done
        }
        if not finished and not done and not answers:
            return
        with transaction(self._conn):
            inbound_events.mark_routed(self._conn, [task.event_id for task in finished])
            for task in tasks:
                left = _left(task, done)
                if left is not None and left != task.plan:
                    inbound_events.keep_targets(self._conn, task.event_id, dump_plan(left))
            for answer in answers:
                queue_answer(self._conn, answer, now)
            written.asleep = self._wake(woken, now)
        reached("router.event_routed")
        written.speaks = bool(answers)
        for task in finished:
            self._files.let_go(task.instance, task.plan.taken)
        self._stage.forget(done)

    def _wake(self, session_ids: Iterable[str], now: datetime) -> list[str]:
        """Marked due again and judged only now: a container may have ended, and its session been
        found without work, between the commit of the event and the insertion of its row."""
        return [
            session_id
            for session_id in sorted(session_ids)
            if sessions.mark_due(self._conn, session_id, now)
        ]

    def _status(self, task: Task, now: datetime) -> HostAnswer | None:
        status = task.plan.status
        if status is None:
            return None
        text = render_status(self._conn, self._paths, status, now.astimezone(self._zone))
        return HostAnswer(status.occasion, text, status.address, status.reply_hint, status.reply_to)


def _key(row: PlannedRow) -> tuple[str, str]:
    return row.session_id, row.row.id


def _left(task: Task, done: set[tuple[str, str]]) -> Plan | None:
    """What is still to be done for the event; None when that is nothing."""
    rows = tuple(row for row in task.plan.rows if _key(row) not in done)
    return Plan(rows, None, task.plan.taken) if rows else None

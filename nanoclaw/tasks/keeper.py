"""Keeps series going: what follows when a run is over, and what is left out when a time was missed.

Called by the sweep when a container has settled a task or has ended, and by the handlers of
requests before they change a series. The order is: history and counts into the central database,
then successor and end of the old repetition in one transaction of the session's file (W-27), then
the time at which the session is woken. Each step may be repeated, by whoever comes next.
"""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from contract.address import AGENT_CHANNEL, Address
from contract.errors import SessionFileMissing
from contract.ids import derived_id
from contract.inbound.row import (
    InboundRow,
    InboundStatus,
    MessageKind,
    NewInbound,
    PendingSummary,
)
from contract.inbound.writer import InboundWriter, open_inbound
from contract.jsontext import dump
from contract.killpoint import reached
from nanoclaw.bell import DELIVERY, SWEEP, ring
from nanoclaw.config import HostConfig
from nanoclaw.db import sessions, tasks
from nanoclaw.db.connection import transaction
from nanoclaw.db.tasks import NewSeries, RunStatus, Series, SeriesState, TaskRun
from nanoclaw.model import Session
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.note import SENDER
from nanoclaw.tasks.alerts import alert
from nanoclaw.tasks.decide import (
    RunFacts,
    SeriesEnds,
    Successor,
    SuccessorDecision,
    count_failures,
    decide_skip,
    decide_successor,
)
from nanoclaw.tasks.zones import zone_of

ROWS_PER_ROUND = 64
KEPT_RUNS = 1000
NOT_FINISHED = "the agent could not finish it"
SKIP = "skip"
_OVER = (InboundStatus.COMPLETED, InboundStatus.FAILED)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A run that is over, and what follows."""

    row: InboundRow
    series: Series
    run: TaskRun
    decision: SuccessorDecision

    def begun(self, at: datetime | None) -> "_Ended":
        return replace(self, run=replace(self.run, started_at=at))


class TaskKeeper:
    """Belongs to one process; holds nothing but its connection."""

    def __init__(self, conn: sqlite3.Connection, config: HostConfig) -> None:
        self._conn = conn
        self._config = config
        self._paths = config.paths

    def settle(
        self, session: Session, now: datetime, claimed_at: Mapping[str, datetime] | None = None
    ) -> PendingSummary | None:
        """Records runs that are over and writes their successors; what then waits in the session.

        ``claimed_at``: when runs began, as far as that was seen. None when nothing was over; else
        the caller sees to it that the session is woken. Raises SessionFileBusy and other errors of
        the session's file; not inside a transaction of the central database.
        """
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            with open_inbound(folder.inbound_db) as writer:
                rows = self._ended_rows(writer, session)
        except SessionFileMissing:
            return None
        if not rows:
            return None
        began = claimed_at or {}
        ended = [self._judge(session, row, now).begun(began.get(row.id)) for row in rows]
        self._record(session, ended, now)
        reached("tasks.recorded")
        with open_inbound(folder.inbound_db) as writer:
            for one in ended:
                _go_on(writer, session, one, now)
            summary = writer.pending_summary(now)
        reached("tasks.recurred")
        return summary

    def wake(self, session: Session, summary: PendingSummary, now: datetime) -> None:
        """For a session that does not end just now: it is due when its file says so."""
        at = now if summary.due_wake else summary.next_due_at
        if at is not None:
            sessions.wake_at(self._conn, session.id, at)
            ring(self._paths, SWEEP)

    def skip_missed(self, session: Session, now: datetime) -> bool:
        """Moves waiting tasks with the policy ``skip`` past the times that went by.

        Whether the session's due time was set anew.

        Raises as ``settle`` does.
        """
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        with open_inbound(folder.inbound_db) as writer:
            rows = writer.waiting_tasks(SKIP)
            nothing_due = not writer.pending_summary(now).due_wake
        late = [found for row in rows if (found := self._judge_late(session, row, now))]
        if not late:
            if nothing_due:  # moved on before a crash
                self.set_due(session, now)
            return nothing_due
        self._record(session, late, now)
        with open_inbound(folder.inbound_db) as writer:
            for one in late:
                if isinstance(one.decision, Successor):
                    row = one.row
                    writer.rewrite_task(row.id, row.content, one.decision.at, row.recurrence)
                else:
                    writer.cancel_task(one.row.id)
        reached("tasks.skipped")
        self.set_due(session, now)
        return True

    def set_due(self, session: Session, now: datetime) -> None:
        """Sets the session's due time to what its file says, so that nothing wakes it in vain.

        Raises as ``settle`` does.
        """
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        for _ in range(3):  # somebody may write to the session in between: then look again
            current = sessions.get(self._conn, session.id)
            if current is None:
                return
            with open_inbound(folder.inbound_db) as writer:
                summary = writer.pending_summary(now)
            due = now if summary.due_wake else summary.next_due_at
            if sessions.settle_due(self._conn, session.id, current.due_epoch, due):
                break
        ring(self._paths, SWEEP)

    def series_of(self, session: Session, row: InboundRow, now: datetime) -> Series:
        """The row's series; rows that other programs wrote get one now."""
        found = tasks.get(self._conn, session.id, row.series_id)
        if found is None:
            tasks.create(
                self._conn,
                NewSeries(
                    session_id=session.id,
                    series_id=row.series_id,
                    agent_group_id=session.agent_group_id,
                    created_at=now,
                    recurrence=row.recurrence,
                    tz=row.tz,
                    catch_up=_policy(row),
                    next_run_at=row.process_after,
                ),
            )
            found = tasks.get(self._conn, session.id, row.series_id)
        assert found is not None, "it was just made"
        return found

    # --- one round --------------------------------------------------------------------------------

    def _ended_rows(self, writer: InboundWriter, session: Session) -> list[InboundRow]:
        """Recurring rows that are over, and single ones whose series is still taken for live."""
        rows = list(writer.ended_recurring(ROWS_PER_ROUND))
        for series in tasks.open_single(self._conn, session.id, ROWS_PER_ROUND):
            row = writer.newest_task(series.series_id)
            if row is not None and row.status in _OVER:
                rows.append(row)
        return rows

    def _judge(self, session: Session, row: InboundRow, now: datetime) -> _Ended:
        series = self.series_of(session, row, now)
        due_at = _due_at(row, series)
        failed = row.status is InboundStatus.FAILED
        zone = zone_of(row.tz, self._config.timezone)
        decision = decide_successor(RunFacts(now, row, due_at, zone))
        run = TaskRun(
            session_id=session.id,
            row_id=row.id,
            series_id=row.series_id,
            agent_group_id=session.agent_group_id,
            ended_at=now,
            status=RunStatus.FAILED if failed else RunStatus.COMPLETED,
            due_at=due_at,
            error=NOT_FINISHED if failed else None,
            missed=decision.missed if isinstance(decision, Successor) else 0,
        )
        return _Ended(row, series, run, decision)

    def _judge_late(self, session: Session, row: InboundRow, now: datetime) -> _Ended | None:
        series = self.series_of(session, row, now)
        due_at = _due_at(row, series)
        zone = zone_of(row.tz, self._config.timezone)
        decision = decide_skip(RunFacts(now, row, due_at, zone))
        if decision is None or due_at is None:
            return None
        run = TaskRun(
            session_id=session.id,
            row_id=f"{row.id}@{due_at.isoformat()}",
            series_id=row.series_id,
            agent_group_id=session.agent_group_id,
            ended_at=now,
            status=RunStatus.SKIPPED,
            due_at=due_at,
            missed=1 + (decision.missed if isinstance(decision, Successor) else 0),
        )
        return _Ended(row, series, run, decision)

    def _record(self, session: Session, ended: Sequence[_Ended], now: datetime) -> None:
        told = False
        with transaction(self._conn):
            for one in ended:
                told |= self._record_one(session, one, now)
        if told:
            ring(self._paths, DELIVERY)

    def _record_one(self, session: Session, one: _Ended, now: datetime) -> bool:
        series = one.series
        match one.decision:
            case Successor(at):
                plan = replace(series, next_run_at=at)
            case SeriesEnds():
                plan = replace(series, next_run_at=None, state=SeriesState.ENDED)
            case _:
                assert_never(one.decision)
        tasks.set_plan(self._conn, replace(plan, recurrence=one.row.recurrence), now)
        if not tasks.add_run(self._conn, one.run):
            return False  # recorded before a crash
        tasks.trim_runs(self._conn, series.session_id, series.series_id, KEPT_RUNS)
        if one.run.status is RunStatus.SKIPPED:
            return False
        count = count_failures(one.row.status, series.failures)
        tasks.set_failures(self._conn, series, count.failures, one.run.error)
        if count.alert:
            alert(self._conn, session, one.row, count.failures, now)
        return count.alert


def _go_on(writer: InboundWriter, session: Session, one: _Ended, now: datetime) -> None:
    """Successor or last word, and the end of the old repetition: all in the caller's transaction.

    Nothing when somebody else has been here, or has cancelled the series in between.
    """
    row = one.row
    if row.recurrence is None or not writer.take_recurrence(row.id, row.recurrence):
        return
    match one.decision:
        case Successor(at):
            writer.insert_message(_successor(row, at, now))
        case SeriesEnds(text):
            if text is not None:
                writer.insert_message(_last_word(session, row, text, now))
        case _:
            assert_never(one.decision)


def _successor(row: InboundRow, at: datetime, now: datetime) -> NewInbound:
    prefix = "task" if row.kind == MessageKind.TASK else "msg"
    return NewInbound(
        id=derived_id(prefix, row.process_after or row.timestamp or at, f"{row.id}/next"),
        kind=row.kind,
        timestamp=now,
        content=row.content,
        address=row.address,
        trigger=row.trigger,
        process_after=at,
        recurrence=row.recurrence,
        series_id=row.series_id,
        source_session_id=row.source_session_id,
        taint=row.taint,
        chain_id=row.chain_id,
        hop=row.hop,
        tz=row.tz,
        catch_up=row.catch_up,
    )


def _last_word(session: Session, row: InboundRow, reason: str, now: datetime) -> NewInbound:
    text = f"The task {row.series_id} has ended: {reason}. Schedule it anew if it is still wanted."
    return NewInbound(
        id=derived_id("sys", row.process_after or row.timestamp or now, f"{row.id}/ended"),
        kind=MessageKind.CHAT,
        timestamp=now,
        content=dump({"text": text, "sender": SENDER, "senderId": SENDER}),
        address=Address(AGENT_CHANNEL, session.agent_group_id, None),
    )


def _due_at(row: InboundRow, series: Series) -> datetime | None:
    """When it was meant to run: retries have moved the row's own time."""
    planned, stored = series.next_run_at, row.process_after
    if planned is not None and (stored is None or planned <= stored):
        return planned
    return stored or row.timestamp


def _policy(row: InboundRow) -> str:
    return row.catch_up if row.catch_up in ("all", SKIP) else "latest"

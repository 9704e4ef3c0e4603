"""What follows when a container has ended: its claims, its session, its chat.

Called by ``loop`` once the end is certain. The order is design section 5's: mark stopped, have the
output drained once more, settle claims, let what waited start. Each step is durable before the next
and safe to repeat, because the sweep may die between any two of them: the lease is given back last.
"""

import logging
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from contract.errors import SessionFileMissing
from contract.inbound.row import AckStatus, InboundRow, InboundStatus, PendingSummary
from contract.inbound.writer import InboundWriter, open_inbound
from contract.killpoint import reached
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.containers.runtime import ExitReport
from nanoclaw.containers.spec import MIB, decide_limits
from nanoclaw.db import container_configs, doors, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.model import ContainerConfig, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.notice import Notice, chat_of, queue_notice
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.sessions.set_aside import set_aside
from nanoclaw.sweep import notices
from nanoclaw.sweep.agents import Agent
from nanoclaw.sweep.ends.decide import (
    LIMITS,
    UNTIL_SOMEBODY_ACTS,
    Cause,
    ClaimDecision,
    ExitClass,
    ExitFacts,
    ExitPlan,
    GiveUp,
    Leave,
    TryAgain,
    cause_of,
    decide_claim,
    decide_exit,
)
from nanoclaw.sweep.output import Output, OutputReader
from nanoclaw.tasks.keeper import TaskKeeper

log = logging.getLogger(__name__)

ANSWER_LIFETIME = timedelta(hours=1)
"""Longer than any tool waits: an answer that is still there then has nobody to fetch it."""
LAST_WORDS_BYTES = 8192
NO_MORE_PROCESSES = (b"can't start new thread", b"Resource temporarily unavailable")
TOLD_HERE = LIMITS - {Cause.DISK}
"""A full disk was told when it was found."""
NOTHING_PENDING = PendingSummary(0, None, 0)


@dataclass(frozen=True, slots=True)
class Ending:
    """One container that is certainly dead."""

    agent: Agent
    report: ExitReport
    now: datetime


@dataclass(frozen=True, slots=True)
class Inbox:
    """The session's own file after finished claims were taken over."""

    summary: PendingSummary
    claimed: tuple[InboundRow, ...] = ()
    """Rows that the ended container had claimed and that still wait."""


class Settler:
    """Owned by the ``sweep`` process."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        paths: HostPaths,
        marker: WorkMarker,
        reader: OutputReader,
        tasks: TaskKeeper,
    ) -> None:
        self._conn = conn
        self._tasks = tasks
        self._paths = paths
        self._marker = marker
        self._reader = reader

    def mark_stopped(self, agent: Agent, now: datetime) -> bool:
        """From now on the session counts as stopped; delivery looks at its output once more.

        Its door is closed with that; whether there was one.
        """
        with transaction(self._conn):
            sessions.set_stopped(self._conn, agent.session_id)
            sessions.mark_dirty(self._conn, agent.session_id)
            had_door = doors.close_door(self._conn, agent.session_id, now)
        reached("sweep.marked_stopped")
        ring(self._paths, DELIVERY)
        return had_door

    def settle(self, ending: Ending) -> ExitPlan | None:
        """The plan that was carried out; None when the session itself is gone.

        Raises SnapshotBusy and SessionFileBusy (try again soon), and SessionFileCorrupt and
        SchemaMismatch (this session cannot go on).
        """
        session = sessions.get(self._conn, ending.agent.session_id)
        if session is None:
            return None
        output = self._reader.read(session.id, ending.agent.folder)
        self._marker.note_survived(self._conn, session.id)
        inbox = _take_over(ending, output)
        facts = _facts(ending, session, output, inbox)
        plan = decide_exit(facts)
        if plan.counts_try:
            inbox = self._count_tries(ending, session, inbox, cause_of(facts))
        inbox = self._settle_tasks(ending, session, inbox)
        self._finish(ending, session, plan, inbox, cause_of(facts))
        _log_exit(ending, plan)
        return plan

    def abandon(self, agent: Agent, now: datetime, error: str) -> None:
        """The session's files cannot be used: nothing more is tried until somebody acts."""
        with transaction(self._conn):
            sessions.record_container_failure(
                self._conn, agent.session_id, error, now + UNTIL_SOMEBODY_ACTS
            )
            sessions.release_lease(self._conn, agent.session_id, agent.lease)
        log.error("session cannot go on", extra={"session": agent.session_id, "reason": error})

    def set_aside(self, agent: Agent, now: datetime, error: str) -> None:
        """The session's own file is damaged: kept as evidence, told to its chat, not woken."""
        session = sessions.get(self._conn, agent.session_id)
        if session is not None:
            set_aside(self._conn, self._paths, session, error, now)
        sessions.release_lease(self._conn, agent.session_id, agent.lease)

    def _count_tries(self, ending: Ending, session: Session, inbox: Inbox, cause: Cause) -> Inbox:
        now = ending.now
        hint = self._hint(session, cause)
        decisions = [
            (row, decide_claim(now, row.tries, row.process_after, cause)) for row in inbox.claimed
        ]
        # First the word to the chat, then the mark: a crash in between repeats neither.
        with transaction(self._conn):
            for row, decision in decisions:
                if isinstance(decision, GiveUp):
                    queue_notice(self._conn, session, _gave_up(row, cause, hint), now)
                elif isinstance(decision, TryAgain) and cause in TOLD_HERE:
                    lease = ending.agent.lease
                    queue_notice(self._conn, session, _died(row, lease, cause, hint), now)
        with open_inbound(ending.agent.folder.inbound_db) as writer:
            for row, decision in decisions:
                _apply(writer, row, decision)
            return Inbox(writer.pending_summary(now), inbox.claimed)

    def _hint(self, session: Session, cause: Cause) -> str:
        """The owner's next step, where a limit was the cause."""
        group = session.agent_group_id
        config = container_configs.get(self._conn, group) or ContainerConfig(
            group, session.created_at
        )
        allowed = decide_limits(config)
        match cause:
            case Cause.MEMORY:
                return notices.hint(group, "--memory-mb", allowed.memory_bytes // MIB)
            case Cause.PROCESSES:
                return notices.hint(group, "--pids-limit", allowed.pids)
            case Cause.TIME if config.max_turn_seconds:
                return notices.hint(group, "--max-turn-seconds", config.max_turn_seconds)
            case Cause.DISK:
                return notices.hint(group, "--disk-mb", allowed.disk_bytes // MIB)
            case _:
                return ""

    def _settle_tasks(self, ending: Ending, session: Session, inbox: Inbox) -> Inbox:
        """Tasks that are over, whether done, failed or given up, have their next run planned."""
        summary = self._tasks.settle(session, ending.now, ending.agent.view.claimed_at)
        return inbox if summary is None else Inbox(summary, inbox.claimed)

    def _finish(
        self, ending: Ending, session: Session, plan: ExitPlan, inbox: Inbox, cause: Cause
    ) -> None:
        now = ending.now
        due = now if inbox.summary.due_wake else inbox.summary.next_due_at
        with transaction(self._conn):
            sessions.settle_due(self._conn, session.id, session.due_epoch, due)
            if plan.error is None:
                sessions.clear_container_failure(self._conn, session.id)
                if plan.kind is ExitClass.CRASH and not plan.counts_try and cause in TOLD_HERE:
                    queue_notice(self._conn, session, self._died_idle(ending, session, cause), now)
            else:
                sessions.record_container_failure(
                    self._conn, session.id, plan.error, plan.retry_at or now
                )
                if plan.tell_chat:
                    queue_notice(
                        self._conn, session, self._trouble(ending, session, plan, cause), now
                    )
            sessions.release_lease(self._conn, session.id, ending.agent.lease)
        reached("sweep.settled")
        ring(self._paths, DELIVERY)

    def _died_idle(self, ending: Ending, session: Session, cause: Cause) -> Notice:
        hint = self._hint(session, cause)
        text = notices.DIED_IDLE.format(reason=cause.value, hint=hint)
        return Notice(f"death/{ending.agent.lease}", text, chat_of(self._conn, session))

    def _trouble(self, ending: Ending, session: Session, plan: ExitPlan, cause: Cause) -> Notice:
        blocked = plan.kind is ExitClass.CONFIG
        text = notices.CANNOT_START if blocked else notices.KEEPS_FAILING
        hint = self._hint(session, cause) if plan.kind is ExitClass.CRASH else ""
        return Notice(
            occasion=f"start/{ending.agent.lease}",
            text=text.format(reason=plan.error) + hint,
            address=chat_of(self._conn, session),
        )


def _take_over(ending: Ending, output: Output) -> Inbox:
    """Finished claims become the rows' own state, before anything may wake the session."""
    settled = {ack.message_id: ack.status for ack in output.acks}
    ours = [
        ack.message_id
        for ack in output.acks
        if ack.status is AckStatus.PROCESSING and ack.lease == ending.agent.lease
    ]
    try:
        with open_inbound(ending.agent.folder.inbound_db) as writer:
            writer.sync_acks(settled)
            writer.expire_answers(ending.now - ANSWER_LIFETIME)
            inbox = Inbox(writer.pending_summary(ending.now), _waiting_rows(writer, ours))
    except SessionFileMissing:
        return Inbox(NOTHING_PENDING)
    reached("sweep.acks_synced")
    return inbox


def _waiting_rows(writer: InboundWriter, message_ids: list[str]) -> tuple[InboundRow, ...]:
    rows = (writer.find(message_id) for message_id in message_ids)
    return tuple(row for row in rows if row is not None and row.status is InboundStatus.PENDING)


def _facts(ending: Ending, session: Session, output: Output, inbox: Inbox) -> ExitFacts:
    agent, report = ending.agent, ending.report
    return ExitFacts(
        now=ending.now,
        code=report.code,
        stop_reason=agent.stop.reason if agent.stop is not None else None,
        out_of_memory=report.out_of_memory,
        out_of_processes=bool(report.code) and _lacked_processes(report.log_tail),
        ran_for=ending.now - agent.started_at,
        open_claims=len(inbox.claimed),
        settled_claims=_settled_since(agent, output),
        due_left=inbox.summary.due_wake,
        spoke=output.max_seq > agent.out_seq_before,
        earlier_failures=session.container_failures,
    )


def _settled_since(agent: Agent, output: Output) -> int:
    """Claims that this container has finished, as far as its file still tells."""
    return sum(
        ack.status is not AckStatus.PROCESSING
        and ack.status_changed is not None
        and ack.status_changed >= agent.started_at
        for ack in output.acks
    )


def _apply(writer: InboundWriter, row: InboundRow, decision: ClaimDecision) -> None:
    match decision:
        case TryAgain(at):
            writer.retry_later(row.id, at)
        case GiveUp():
            writer.mark_failed(row.id)
            log.error("message given up", extra={"message_id": row.id, "attempt": row.tries + 1})
        case Leave():
            pass
        case _:
            assert_never(decision)


def _gave_up(row: InboundRow, cause: Cause, hint: str) -> Notice:
    return Notice(
        occasion=f"gave-up/{row.id}",
        text=notices.GAVE_UP.format(tries=row.tries + 1, reason=cause.value, hint=hint),
        address=row.address,
        in_reply_to=row.id,
        reply_to_message_id=row.platform_message_id,
    )


def _died(row: InboundRow, lease: int, cause: Cause, hint: str) -> Notice:
    """Once per death, whatever number of messages it had taken; the turn goes on."""
    text = notices.DIED_TRYING_AGAIN.format(reason=cause.value, hint=hint)
    return Notice(f"death/{lease}", text, row.address)


def _lacked_processes(log_tail: bytes) -> bool:
    """The last words of a program that could start no other one."""
    return any(mark in log_tail[-LAST_WORDS_BYTES:] for mark in NO_MORE_PROCESSES)


def _log_exit(ending: Ending, plan: ExitPlan) -> None:
    agent, report = ending.agent, ending.report
    reason = agent.stop.reason.value if agent.stop is not None else plan.error or plan.kind.value
    level = logging.INFO if plan.error is None and not plan.counts_try else logging.WARNING
    log.log(
        level,
        "agent ended",
        extra={
            "session": agent.session_id,
            "container": agent.container_id[:12],
            "reason": f"{reason} (exit code {report.code})",
        },
    )

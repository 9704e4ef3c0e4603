"""Tasks as the sweep sees them: runs that end, sessions that end, times that were missed."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.tasks_room import CHAT, HOUR, NOW, TaskRoom

from contract.inbound.row import AckStatus, InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.writer import open_outbound
from nanoclaw.containers.runtime import ExitReport
from nanoclaw.db import sessions, tasks
from nanoclaw.model import ContainerStart, Session
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.sweep.agents import Agent, AgentLimits, Stage, agent_of
from nanoclaw.sweep.ends.decide import MAX_TRIES, ExitClass
from nanoclaw.sweep.health import Health
from nanoclaw.sweep.output import OutputReader
from nanoclaw.sweep.settle import ANSWER_LIFETIME, Ending, Settler
from nanoclaw.sweep.task_watch import TaskWatch


class Sweep:
    """One running session on paper, and the parts of the sweep that look at it."""

    def __init__(self, room: TaskRoom) -> None:
        self.room = room
        sessions.acquire_lease(room.conn, "sess-1", "me", NOW, timedelta(hours=9))
        sessions.set_running(room.conn, "sess-1", ContainerStart("c1", NOW, "v1"))
        self.marker = WorkMarker(room.config.paths, "test")
        reader = OutputReader(self.marker, room.config.paths.run)
        self.watch = TaskWatch(room.conn, room.config)
        self.health = Health(room.conn, reader)
        self.settler = Settler(room.conn, room.config.paths, self.marker, reader, self.watch.keeper)
        limits = AgentLimits(idle=None, turn=None, disk_bytes=10**9)
        self.agent: Agent = agent_of(self.session(), room.folder(), limits, NOW)
        self.agent.stage = Stage.RUNNING

    def session(self) -> Session:
        found = sessions.get(self.room.conn, "sess-1")
        assert found is not None
        return found

    def claim(self, row_id: str) -> None:
        with open_outbound(self.room.folder().out_dir / "outbound.db") as out:
            out.claim([row_id], 1, NOW)

    def complete(self, row_id: str) -> None:
        with open_outbound(self.room.folder().out_dir / "outbound.db") as out:
            out.complete([row_id], NOW + timedelta(seconds=20))

    def project(self, row_id: str) -> None:
        """What delivery does when it has taken in the end of a turn."""
        with open_inbound(self.room.folder().inbound_db) as writer:
            writer.sync_acks({row_id: AckStatus.COMPLETED})

    def look(self, seconds: float) -> None:
        now = NOW + timedelta(seconds=seconds)
        self.health.judge(self.agent, now, seconds)
        self.watch.look([self.agent], now)

    def end(self, code: int | None = 0, *, seconds: float = 60) -> ExitClass:
        sessions.set_stopped(self.room.conn, "sess-1")
        now = NOW + timedelta(seconds=seconds)
        plan = self.settler.settle(Ending(self.agent, ExitReport(code), now))
        assert plan is not None
        return plan.kind


@pytest.fixture
def room(tmp_path: Path) -> Iterator[TaskRoom]:
    made = TaskRoom(tmp_path)
    made.schedule(processAfter=NOW.isoformat(), recurrence="@every 1h")
    yield made
    made.close()


@pytest.fixture
def sweep(room: TaskRoom) -> Iterator[Sweep]:
    made = Sweep(room)
    yield made
    made.marker.close()


def runs(room: TaskRoom) -> list[tasks.TaskRun]:
    return tasks.runs_of(room.conn, "sess-1", "task-1", 10)


def test_next_run_is_planned_while_the_container_goes_on(room: TaskRoom, sweep: Sweep) -> None:
    """W-49: not at the next minute and not when the container leaves."""
    sweep.claim("task-1")
    sweep.look(5)
    sweep.complete("task-1")
    sweep.project("task-1")

    sweep.look(25)

    (following,) = room.live()
    assert following.process_after == NOW + HOUR
    (run,) = runs(room)
    assert run.started_at == NOW


def test_sweep_waits_until_delivery_has_taken_the_turn_in(room: TaskRoom, sweep: Sweep) -> None:
    sweep.claim("task-1")
    sweep.complete("task-1")
    sweep.look(25)
    assert [row.id for row in room.live()] == ["task-1"]

    sweep.project("task-1")
    sweep.look(30)

    assert [row.process_after for row in room.live()] == [NOW + HOUR]


def test_turns_without_tasks_cost_no_write(room: TaskRoom, sweep: Sweep) -> None:
    room.insert(NewInbound("m1", "chat", NOW, '{"text":"x"}', CHAT))
    sweep.claim("m1")
    sweep.complete("m1")
    sweep.project("m1")

    sweep.look(25)

    assert [row.id for row in room.live()] == ["task-1"]
    assert runs(room) == []


def test_t46_the_end_of_a_container_brings_the_successor_and_its_time(
    room: TaskRoom, sweep: Sweep
) -> None:
    sweep.claim("task-1")
    sweep.complete("task-1")

    sweep.end()

    assert [row.process_after for row in room.live()] == [NOW + HOUR]
    assert room.due_at() == NOW + HOUR
    assert sweep.session().lease_owner is None


def test_t74_a_task_that_is_given_up_keeps_its_series(room: TaskRoom, sweep: Sweep) -> None:
    """W-25, also for the end that a crashing task comes to."""
    with open_inbound(room.folder().inbound_db) as writer:
        for _ in range(MAX_TRIES):
            writer.retry_later("task-1", NOW)
    sweep.claim("task-1")

    assert sweep.end(139) is ExitClass.CRASH

    assert room.row("task-1").status is InboundStatus.FAILED
    assert [row.process_after for row in room.live()] == [NOW + HOUR]
    assert [run.status for run in runs(room)] == [tasks.RunStatus.FAILED]
    assert room.due_at() == NOW + HOUR


def test_paused_task_leaves_nothing_due_when_the_container_ends(
    room: TaskRoom, sweep: Sweep
) -> None:
    room.do("pause_task", taskId="task-1")

    sweep.end()

    assert room.due_at() is None


def test_late_answers_expire(room: TaskRoom, sweep: Sweep) -> None:
    """W-35: nobody is left to fetch them."""
    room.do("cancel_task", taskId="task-1")
    old, new = NOW - ANSWER_LIFETIME, NOW
    for row_id, at in (("qr-old", old), ("cli-resp-new", new)):
        content = f'{{"type":"cli_response","requestId":"{row_id}"}}'
        room.insert(NewInbound(row_id, "system", at, content, trigger=False))

    sweep.end()

    assert room.row("qr-old").status is InboundStatus.COMPLETED
    assert room.row("cli-resp-new").status is InboundStatus.PENDING
    assert room.due_at() is None


def test_missed_time_with_the_policy_skip_starts_nothing(room: TaskRoom, sweep: Sweep) -> None:
    room.do("cancel_task", taskId="task-1")
    room.schedule("task-2", processAfter=NOW.isoformat(), recurrence="@every 1h", catchUp="skip")
    sessions.set_stopped(room.conn, "sess-1")
    now = NOW + timedelta(hours=3, minutes=30)
    due = sessions.due(room.conn, now, 10)
    assert [session.id for session in due] == ["sess-1"]

    assert sweep.watch.still_due(due, now) == []

    assert sessions.due(room.conn, now, 10) == []
    assert sessions.next_due_at(room.conn) == NOW + 4 * HOUR


def test_other_work_is_started_though_a_task_is_skipped(room: TaskRoom, sweep: Sweep) -> None:
    room.schedule("task-2", processAfter=NOW.isoformat(), catchUp="skip")
    sessions.set_stopped(room.conn, "sess-1")
    now = NOW + timedelta(hours=3)
    due = sessions.due(room.conn, now, 10)

    assert [session.id for session in sweep.watch.still_due(due, now)] == ["sess-1"]


def test_broken_file_of_one_session_harms_no_other(room: TaskRoom, sweep: Sweep) -> None:
    sweep.claim("task-1")
    sweep.complete("task-1")
    sweep.health.judge(sweep.agent, NOW + timedelta(seconds=25), 25.0)
    room.folder().inbound_db.write_bytes(b"no database at all" * 100)

    sweep.watch.look([sweep.agent], NOW + timedelta(seconds=25))

    assert runs(room) == []


def test_w35_system_rows_never_make_a_session_due(room: TaskRoom, sweep: Sweep) -> None:
    """H-47 with W-35: a row that the agent's loop never consumes is no work."""
    room.do("cancel_task", taskId="task-1")
    room.insert(NewInbound("qr-1", "system", NOW, '{"questionId":"q"}', trigger=True))

    sweep.end()

    assert room.due_at() is None


def test_migrated_recurring_row_is_found_at_the_end_of_the_container(
    room: TaskRoom, sweep: Sweep
) -> None:
    """Mixed time formats (W-60) included."""
    conn = sqlite3.connect(room.folder().inbound_db)
    conn.execute(
        "INSERT INTO messages_in (id, seq, kind, timestamp, status, process_after, recurrence,"
        " content) VALUES ('old', 90, 'task', '2026-01-01 08:00:00', 'completed',"
        " '2026-01-01 09:00:00', '0 9 * * *', '{\"prompt\":\"x\"}')"
    )
    conn.commit()
    conn.close()

    sweep.end()

    (following,) = room.live("old")
    assert following.process_after is not None
    assert following.process_after > NOW


# --- claims that a dead container left (T-40) ---------------------------------------------------


def test_t40_a_crash_counts_a_try_of_each_open_claim_once(room: TaskRoom, sweep: Sweep) -> None:
    room.insert(NewInbound("m1", "chat", NOW, '{"text":"x"}', CHAT))
    for row_id in ("task-1", "m1"):
        sweep.claim(row_id)
    with open_inbound(room.folder().inbound_db) as writer:
        writer.retry_later("m1", NOW + HOUR)  # an earlier end has been counted already

    sweep.end(139, seconds=30)

    hit, left = room.row("task-1"), room.row("m1")
    assert (hit.tries, hit.process_after) == (1, NOW + timedelta(seconds=35))
    assert (left.tries, left.process_after) == (1, NOW + HOUR)


def test_t40_the_next_runner_drops_claims_of_the_dead_one_and_nothing_else(
    room: TaskRoom, sweep: Sweep
) -> None:
    """W-33: design void of H-152, the claims are the runner's own to remove."""
    sweep.claim("task-1")
    sweep.claim("m1")
    sweep.complete("m1")

    with open_outbound(room.folder().out_dir / "outbound.db") as out:
        assert out.release_stale_claims(2) == ["task-1"]
        assert out.release_stale_claims(2) == []
    sweep.look(5)
    assert [ack.message_id for ack in sweep.agent.view.acks] == ["m1"]


def test_w28_a_run_that_the_agent_gave_up_is_recorded_as_failed(
    room: TaskRoom, sweep: Sweep
) -> None:
    """In the reference a failed acknowledgement became a completed one."""
    sweep.claim("task-1")
    with open_outbound(room.folder().out_dir / "outbound.db") as out:
        out.fail(["task-1"], NOW)

    sweep.end()

    assert room.row("task-1").status is InboundStatus.FAILED
    assert [(run.status, run.error) for run in runs(room)] == [
        (tasks.RunStatus.FAILED, "the agent could not finish it")
    ]

"""What follows when a run is over, on real files (T-45, T-46, T-74)."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from helpers.tasks_room import CHAT, HOUR, NOW, Fields, TaskRoom

from contract.inbound.row import InboundRow, InboundStatus, NewInbound
from contract.inbound.writer import open_inbound
from nanoclaw.db import deliveries, owner_notices, tasks
from nanoclaw.db.tasks import RunStatus, SeriesState
from nanoclaw.tasks.decide import ALERT_AFTER_FAILURES
from nanoclaw.tasks.keeper import KEPT_RUNS, TaskKeeper

FAILED, COMPLETED = InboundStatus.FAILED, InboundStatus.COMPLETED


class Series:
    """One series and the keeper of its session."""

    def __init__(self, room: TaskRoom) -> None:
        self.room = room
        self.keeper = TaskKeeper(room.conn, room.config)

    def start(self, **fields: object) -> None:
        given: Fields = {"processAfter": NOW.isoformat(), "recurrence": "@every 1h", **fields}
        self.room.schedule(**given)

    def run(self, status: InboundStatus = COMPLETED, *, at: datetime = NOW) -> InboundRow:
        """The live row runs and ends; the next one."""
        (row,) = self.room.live()
        self.room.finish(row.id, status)
        self.keeper.settle(self.room.session, at)
        (following,) = self.room.live()
        return following

    def runs(self) -> list[tasks.TaskRun]:
        return tasks.runs_of(self.room.conn, "sess-1", "task-1", 2 * KEPT_RUNS)

    def book(self) -> tasks.Series:
        found = tasks.get(self.room.conn, "sess-1", "task-1")
        assert found is not None
        return found


@pytest.fixture
def room(tmp_path: Path) -> Iterator[TaskRoom]:
    made = TaskRoom(tmp_path)
    yield made
    made.close()


@pytest.fixture
def series(room: TaskRoom) -> Series:
    return Series(room)


def test_t45_a_clone_carries_the_series(room: TaskRoom, series: Series) -> None:
    series.start(tz="Asia/Tokyo", catchUp="all", recurrence="0 9 * * *")

    following = series.run(at=NOW + HOUR)

    first = room.row("task-1")
    assert following.id != first.id
    assert (following.series_id, following.kind) == ("task-1", "task")
    assert (following.content, following.address) == (first.content, first.address)
    assert (following.tz, following.catch_up, following.tries) == ("Asia/Tokyo", "all", 0)
    assert following.seq % 2 == 0


def test_t46_one_successor_in_the_future_and_the_old_recurrence_is_cleared(
    room: TaskRoom, series: Series
) -> None:
    series.start()

    following = series.run(at=NOW + timedelta(minutes=90))
    series.keeper.settle(room.session, NOW + timedelta(minutes=90))

    assert following.process_after == NOW + 2 * HOUR
    assert following.recurrence == "@every 1h"
    assert room.row("task-1").recurrence is None
    assert len(room.live()) == 1


def test_t46_a_row_without_recurrence_is_not_cloned(room: TaskRoom, series: Series) -> None:
    series.start(recurrence=None)
    room.finish("task-1")

    series.keeper.settle(room.session, NOW)

    assert not room.live()
    assert series.book().state is SeriesState.ENDED
    assert [run.status for run in series.runs()] == [RunStatus.COMPLETED]


def test_other_kinds_of_rows_recur_too(room: TaskRoom, series: Series) -> None:
    room.insert(NewInbound("msg-1", "chat", NOW, '{"text":"x"}', CHAT, recurrence="@every 1h"))
    room.finish("msg-1")

    series.keeper.settle(room.session, NOW)

    with open_inbound(room.folder().inbound_db) as writer:
        assert writer.pending_summary(NOW).next_due_at == NOW + HOUR


def test_t74_a_failed_occurrence_keeps_its_series(series: Series) -> None:
    series.start()

    following = series.run(FAILED)

    assert following.process_after == NOW + HOUR
    assert series.book().failures == 1
    assert [run.status for run in series.runs()] == [RunStatus.FAILED]


def test_repeated_failure_is_told_once_and_the_series_goes_on(
    room: TaskRoom, series: Series
) -> None:
    series.start()
    for number in range(ALERT_AFTER_FAILURES + 2):
        series.run(FAILED, at=NOW + number * HOUR)

    told = [row[0] for row in room.conn.execute("SELECT content FROM deliveries")]
    assert ["3 times" in text for text in told] == [True]
    (notice,) = owner_notices.created(room.conn, 10)
    assert "task-1" in notice.text
    assert series.book().state is SeriesState.LIVE

    series.run(COMPLETED, at=NOW + 9 * HOUR)
    assert series.book().failures == 0


def test_history_says_when_a_run_was_due_and_when_it_began(room: TaskRoom, series: Series) -> None:
    series.start()
    with open_inbound(room.folder().inbound_db) as writer:
        writer.retry_later("task-1", NOW + timedelta(seconds=80))  # a crash, and one more try
    room.finish("task-1")

    began, now = NOW + timedelta(seconds=81), NOW + timedelta(seconds=95)
    series.keeper.settle(room.session, now, {"task-1": began})

    (run,) = series.runs()
    assert (run.due_at, run.started_at, run.ended_at) == (NOW, began, now)
    assert room.live()[0].process_after == NOW + HOUR


def test_a_series_that_cannot_go_on_is_told_once_and_ended(room: TaskRoom, series: Series) -> None:
    """W-27: the reference logged the same complaint every minute for ever."""
    room.insert(
        NewInbound("task-1", "task", NOW, '{"prompt":"x"}', CHAT, recurrence="every morning")
    )
    room.finish("task-1")

    for _ in range(3):
        series.keeper.settle(room.session, NOW)

    (note,) = room.notes()
    assert "every morning" in note
    assert series.book().state is SeriesState.ENDED
    assert room.row("task-1").recurrence is None


@pytest.mark.parametrize("point", ["recorded", "recurred"])
def test_a_repeated_step_changes_nothing(room: TaskRoom, series: Series, point: str) -> None:
    """The process may die after the books and after the file; another one does it all again."""
    series.start()
    (row,) = room.live()
    room.finish(row.id)
    series.keeper.settle(room.session, NOW)
    before = (room.live(), len(series.runs()), series.book())
    if point == "recorded":
        conn = sqlite3.connect(room.folder().inbound_db)
        conn.execute("DELETE FROM messages_in WHERE id <> 'task-1'")
        conn.execute("UPDATE messages_in SET recurrence = '@every 1h' WHERE id = 'task-1'")
        conn.commit()
        conn.close()

    series.keeper.settle(room.session, NOW)

    assert (room.live(), len(series.runs()), series.book()) == before


def test_policy_all_makes_up_one_time_after_the_other(room: TaskRoom, series: Series) -> None:
    series.start(catchUp="all")
    now = NOW + timedelta(hours=3, minutes=30)

    due = [series.run(at=now).process_after for _ in range(4)]

    assert due == [NOW + hours * HOUR for hours in (1, 2, 3, 4)]


def test_policy_skip_moves_a_missed_time_on(room: TaskRoom, series: Series) -> None:
    series.start(catchUp="skip")
    now = NOW + timedelta(hours=5, minutes=30)

    assert series.keeper.skip_missed(room.session, now)

    assert room.row("task-1").process_after == NOW + 6 * HOUR
    assert room.due_at() == NOW + 6 * HOUR
    (run,) = series.runs()
    assert (run.status, run.missed) == (RunStatus.SKIPPED, 6)
    assert room.due_at() == NOW + 6 * HOUR


def test_policy_skip_ends_a_single_task_that_was_missed(room: TaskRoom, series: Series) -> None:
    series.start(catchUp="skip", recurrence=None)

    assert series.keeper.skip_missed(room.session, NOW + HOUR)

    assert not room.live()
    assert series.book().state is SeriesState.ENDED
    assert room.due_at() is None


def test_history_is_bounded(room: TaskRoom, series: Series) -> None:
    series.start()
    with room.conn:
        room.conn.executemany(
            "INSERT INTO task_runs (session_id, row_id, series_id, agent_group_id, ended_at,"
            " status) VALUES ('sess-1', ?, 'task-1', 'ag', '2020-01-01T00:00:00.000Z',"
            " 'completed')",
            [(f"old-{number}",) for number in range(KEPT_RUNS + 5)],
        )

    series.run()

    runs = series.runs()
    assert len(runs) == KEPT_RUNS
    assert runs[0].row_id == "task-1"


def test_rows_of_other_programs_get_their_books(room: TaskRoom, series: Series) -> None:
    """A task that setup or the earlier program has written."""
    content = json.dumps({"prompt": "x"})
    room.insert(NewInbound("task-1", "task", NOW, content, CHAT, recurrence="@daily"))

    following = series.run()

    assert following.recurrence == "@daily"
    assert series.book().next_run_at == following.process_after
    assert deliveries.open_lanes(room.conn) == []

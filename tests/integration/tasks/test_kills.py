"""A process that dies at a step, or that works beside others: nothing is lost and nothing doubled.

Covers every kill point of effects and tasks, and the answer to an administrative request.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder, find_kill_points
from helpers.tasks_room import HOUR, NOW, Fields, TaskRoom

from contract.clock import to_text
from contract.inbound.row import InboundStatus
from nanoclaw.db import tasks

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60
LATER = NOW + timedelta(hours=3, minutes=30)


def recurring(room: TaskRoom, task_id: str = "task-1", **fields: object) -> None:
    given: Fields = {"processAfter": NOW.isoformat(), "recurrence": "@every 1h", **fields}
    room.schedule(task_id, **given)


def ask_schedule(room: TaskRoom) -> None:
    room.ask(
        "schedule_task", taskId="task-1", prompt="x", processAfter=LATER.isoformat(),
        recurrence="@every 1h", context="isolated",
    )  # fmt: skip


def ask_cancel(room: TaskRoom) -> None:
    recurring(room)
    room.ask("cancel_task", taskId="task-1")


def ask_command(room: TaskRoom) -> None:
    room.ask("cli_request", requestId="r1", command="groups-list", args={})


def end_run(room: TaskRoom) -> None:
    recurring(room)
    room.finish("task-1", InboundStatus.FAILED)


def miss_run(room: TaskRoom) -> None:
    recurring(room, catchUp="skip")


WAYS: dict[str, tuple[Callable[[TaskRoom], None], str]] = {
    "effects.begun": (ask_schedule, "effects"),
    "effects.done": (ask_schedule, "effects"),
    "effects.finished": (ask_schedule, "effects"),
    "tasks.planned": (ask_schedule, "effects"),
    "tasks.written": (ask_schedule, "effects"),
    "tasks.changed": (ask_cancel, "effects"),
    "admin.answered": (ask_command, "effects"),
    "tasks.recorded": (end_run, "settle"),
    "tasks.recurred": (end_run, "settle"),
    "tasks.skipped": (miss_run, "skip"),
}
"""For each point: what is there before, and what the process does that dies at it."""


def start(room: TaskRoom, what: str, kill: KillFolder | None = None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    if kill is not None:
        environment["NANOCLAW_KILL_DIR"] = str(kill.path)
    command = [sys.executable, "-m", "helpers.tasks_child", str(room.config.home), what]
    return subprocess.Popen([*command, to_text(LATER)], env=environment, cwd=ROOT)


def end_of(process: subprocess.Popen[bytes]) -> int:
    return process.wait(WAIT_SECONDS)


def books(room: TaskRoom) -> list[tuple[object, ...]]:
    """Everything that stands in tables and files about tasks, without times of writing."""
    found: list[tuple[object, ...]] = []
    for sql in (
        "SELECT effect_id, kind, state FROM effects ORDER BY effect_id",
        "SELECT series_id, state, recurrence, next_run_at, failures FROM task_series",
        "SELECT row_id, status, due_at, missed FROM task_runs ORDER BY row_id",
        "SELECT mode, next_due_at FROM sessions ORDER BY mode",
    ):
        found += [tuple(row) for row in room.conn.execute(sql)]
    for file in sorted(room.config.paths.sessions.glob("*/*/in/inbound.db")):
        conn = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        found += conn.execute(
            "SELECT id, seq, kind, status, process_after, recurrence, series_id, content"
            " FROM messages_in ORDER BY seq"
        ).fetchall()
        conn.close()
    return found


def test_every_point_has_a_way() -> None:
    areas = ("effects.", "tasks.", "admin.")
    elsewhere = {"admin.folders_made", "admin.folders_removed"}  # integration/admin/test_kills.py

    found = {point for point in find_kill_points() if point.startswith(areas)}
    assert found - elsewhere == set(WAYS)


@pytest.mark.parametrize("point", WAYS)
def test_t66_death_at_a_step_leaves_the_books_as_without_it(tmp_path: Path, point: str) -> None:
    prepare, what = WAYS[point]
    (tmp_path / "kill").mkdir()
    kill = KillFolder(tmp_path / "kill")
    calm, hit = TaskRoom(tmp_path / "calm"), TaskRoom(tmp_path / "hit")
    for room in (calm, hit):
        prepare(room)
    assert end_of(start(calm, what)) == 0

    kill.arm(point, "self")
    assert end_of(start(hit, what, kill)) == -signal.SIGKILL
    assert end_of(start(hit, what)) == 0

    assert [_plain(hit, line) for line in books(hit)] == [
        _plain(calm, line) for line in books(calm)
    ]
    calm.close()
    hit.close()


def _plain(room: TaskRoom, line: tuple[object, ...]) -> tuple[object, ...]:
    """Ids of groups, and when they were made, differ from home to home."""
    ((made,),) = room.conn.execute("SELECT created_at FROM agent_groups").fetchall()
    own = {room.group_id: "GROUP", made: "MADE"}
    return tuple(_with(value, own) if isinstance(value, str) else value for value in line)


def _with(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def test_several_processes_bring_one_successor_forth(tmp_path: Path) -> None:
    """Sweep and delivery may find the end of a run at the same moment (W-27)."""
    room = TaskRoom(tmp_path)
    names = [f"task-{number}" for number in range(20)]
    for name in names:
        recurring(room, task_id=name)
        room.finish(name)

    workers = [start(room, "settle") for _ in range(4)]

    assert [end_of(worker) for worker in workers] == [0] * 4
    for name in names:
        (row,) = room.live(name)
        assert row.process_after == NOW + 4 * HOUR
        assert len(tasks.runs_of(room.conn, "sess-1", name, 10)) == 1
    room.close()


def test_cancelling_beside_the_end_of_a_run_leaves_nothing_alive(tmp_path: Path) -> None:
    room = TaskRoom(tmp_path)
    names = [f"task-{number}" for number in range(10)]
    for name in names:
        recurring(room, task_id=name)
        room.finish(name)
        room.ask("cancel_task", taskId=name)

    workers = [start(room, what) for what in ("settle", "effects")]

    assert [end_of(worker) for worker in workers] == [0, 0]
    room.conn.execute("UPDATE effects SET next_attempt_at = created_at WHERE state = 'pending'")
    room.run()
    assert [room.live(name) for name in names] == [[]] * len(names)
    assert room.notes() == []
    assert room.due_at() is None
    room.close()

"""The delivery process dies at a step of an agent's command: done once, answered once (N-41)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder, find_kill_points
from helpers.tasks_room import NOW, TaskRoom

from contract.clock import to_text
from nanoclaw.admin.asking import ACTION
from nanoclaw.approvals import answers
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.requests import HOST
from nanoclaw.db import approvals
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import CliScope

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60


def ask(room: TaskRoom) -> None:
    room.configure(ContainerConfigChange(cli_scope=CliScope.GLOBAL))
    args = {"name": "Second", "folder": "second"}
    room.ask("cli_request", requestId="r1", command="groups-create", args=args)


def approve(room: TaskRoom) -> None:
    ask(room)
    room.run()
    (approval,) = approvals.pending(room.conn)
    with transaction(room.conn):
        answers.answer(room.conn, Click(approval.approval_id, "approve", HOST, "", ""), NOW)


def approve_deletion(room: TaskRoom) -> None:
    approve(room)
    room.run()
    (room.config.paths.groups / "second" / "plan.txt").write_text("at noon")
    [group_id] = room.conn.execute("SELECT id FROM agent_groups WHERE folder = 'second'").fetchone()
    args = {"id": group_id, "cascade": True}
    room.ask("cli_request", requestId="r2", command="groups-delete", args=args)
    room.run()
    (approval,) = approvals.pending(room.conn)
    with transaction(room.conn):
        answers.answer(room.conn, Click(approval.approval_id, "approve", HOST, "", ""), NOW)


WAYS: dict[str, tuple[Callable[[TaskRoom], None], ...]] = {
    "ncl.asked": (ask,),
    "ncl.committed": (approve,),
    "admin.answered": (ask, approve),
    "admin.folders_made": (approve,),
}
"""What is under way when the process dies there."""
DELETION = ("ncl.committed", "admin.answered", "admin.folders_removed")
CASES = [(point, prepare) for point, ways in WAYS.items() for prepare in ways]


def carry_on(room: TaskRoom, kill: KillFolder) -> int:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "NANOCLAW_KILL_DIR": str(kill.path),
    }
    command = [sys.executable, "-m", "helpers.tasks_child", str(room.config.home), "effects"]
    child = subprocess.Popen([*command, to_text(NOW)], env=environment, cwd=ROOT)
    return child.wait(WAIT_SECONDS)


def test_every_point_has_a_way() -> None:
    points = set(find_kill_points())

    assert set(WAYS) <= points
    assert {point for point in points if point.startswith("admin.")} <= {*WAYS, *DELETION}


@pytest.mark.parametrize(("point", "prepare"), CASES)
def test_command_is_carried_out_once_and_answered_once(
    tmp_path: Path, point: str, prepare: Callable[[TaskRoom], None]
) -> None:
    (tmp_path / "kill").mkdir()
    kill = KillFolder(tmp_path / "kill")
    room = TaskRoom(tmp_path)
    prepare(room)

    kill.arm(point, "self")
    assert carry_on(room, kill) == -signal.SIGKILL
    kill.clear(point)
    assert carry_on(room, kill) == 0

    frame = json.loads(room.row("cli-resp-r1").content)["frame"]
    assert frame["error"]["code"] == "approval-pending"
    assert room.conn.execute("SELECT count(*) FROM pending_approvals").fetchone()[0] == 1
    made = room.conn.execute("SELECT count(*) FROM agent_groups WHERE folder = 'second'")
    audited = room.conn.execute("SELECT count(*) FROM audit WHERE kind = 'ncl.groups-create'")
    times = 1 if prepare is approve else 0
    assert (made.fetchone()[0], audited.fetchone()[0]) == (times, times)
    assert len(room.notes()) == times
    assert all("approved and carried out" in note for note in room.notes())
    states = room.conn.execute("SELECT DISTINCT state FROM effects WHERE kind LIKE ?", (ACTION,))
    assert {row[0] for row in states} <= {"done"}
    assert (room.config.paths.groups / "second" / "CLAUDE.local.md").exists() == (times == 1)
    room.close()


@pytest.mark.parametrize("point", DELETION)
def test_deleted_group_leaves_its_folders_in_the_trash(tmp_path: Path, point: str) -> None:
    (tmp_path / "kill").mkdir()
    kill = KillFolder(tmp_path / "kill")
    room = TaskRoom(tmp_path)
    approve_deletion(room)

    kill.arm(point, "self")
    assert carry_on(room, kill) == -signal.SIGKILL
    kill.clear(point)
    assert carry_on(room, kill) == 0

    paths = room.config.paths
    assert not (paths.groups / "second").exists()
    [trash] = (paths.data / "trash").iterdir()
    assert (trash / "groups-second" / "plan.txt").read_text() == "at noon"
    audited = room.conn.execute("SELECT count(*) FROM audit WHERE kind = 'ncl.groups-delete'")
    assert audited.fetchone()[0] == 1
    assert len([note for note in room.notes() if "groups-delete" in note]) == 1
    open_effects = "SELECT count(*) FROM effects WHERE state <> 'done'"
    assert room.conn.execute(open_effects).fetchone()[0] == 0
    room.close()

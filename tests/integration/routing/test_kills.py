"""The router dies at each of its durable steps; the channel sends again, and nothing is lost or
doubled: one row, one file, nothing left behind."""

import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder, find_kill_points
from helpers.routing_stage import CHANNEL, RouterStage

from contract.clock import utc_now
from contract.killpoint import VARIABLE
from nanoclaw.db import inbound_events
from nanoclaw.model import UnknownSenderPolicy
from nanoclaw.routing.apply import wanted_files
from nanoclaw.routing.taken import TakenFiles

TESTS = Path(__file__).parents[2]
POINTS = [point for point in find_kill_points() if point.startswith("router.")]


def run_victim(folder: Path, kill: KillFolder) -> int:
    environment = {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", VARIABLE: str(kill.path)}
    command = [sys.executable, "-m", "helpers.routing_victim", str(folder)]
    return subprocess.run(command, cwd=TESTS, env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize("point", POINTS)
def test_router_that_dies_at_a_step_loses_and_repeats_nothing(tmp_path: Path, point: str) -> None:
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    with closing(RouterStage(tmp_path)) as stage:
        stage.agent()
        stage.owner()
        stage.wire(stage.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL))
        file = stage.spool(b"pixels")
    (tmp_path / "file").write_text(f"{file.spool} {file.size} {file.sha256}")
    kill.arm(point, "self")

    first = run_victim(tmp_path, kill)
    second = run_victim(tmp_path, kill)

    with closing(RouterStage(tmp_path)) as after:
        assert (first, second) == (-signal.SIGKILL, 0)
        (row,) = after.rows_of()
        folder = after.folder(after.session())
        spools = after.paths.channel(CHANNEL)
        assert '"localPath":"files/m-1/photo.jpg"' in row.content
        assert [p.read_bytes() for p in folder.in_dir.glob("files/*/*")] == [b"pixels"]
        TakenFiles(after.paths).sweep(utc_now() + timedelta(hours=25), wanted_files(after.conn))
        assert [*spools.glob("spool/in/*"), *spools.glob("taken/*")] == []
        assert inbound_events.unrouted(after.conn, 1) == []

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.waiting import wait_until

from contract import killpoint

REPOSITORY = Path(__file__).parents[3]
PROGRAM = "from contract.killpoint import reached\nreached('point')\nprint('went on')"


def run(folder: Path | None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    if folder is not None:
        environment[killpoint.VARIABLE] = str(folder)
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_without_a_folder_nothing_happens() -> None:
    killpoint.reached("point")

    assert run(None).stdout == "went on\n"


def test_an_unarmed_point_is_passed(tmp_path: Path) -> None:
    (tmp_path / "another").write_text("self")

    assert run(tmp_path).stdout == "went on\n"


def test_an_armed_point_kills_the_process_once(tmp_path: Path) -> None:
    (tmp_path / "point").write_text("self")

    first, second = run(tmp_path), run(tmp_path)

    assert first.returncode == -signal.SIGKILL
    assert first.stdout == ""
    assert second.stdout == "went on\n"


def test_a_paused_process_goes_on_when_its_mark_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killpoint, "_folder", str(tmp_path))
    (tmp_path / "point").write_text("pause")
    paused = threading.Thread(target=killpoint.reached, args=("point",))
    paused.start()

    wait_until((tmp_path / "point.reached").exists)
    assert paused.is_alive()
    (tmp_path / "point.reached").unlink()

    paused.join(5)
    assert not paused.is_alive()
    killpoint.reached("point")  # not armed any more

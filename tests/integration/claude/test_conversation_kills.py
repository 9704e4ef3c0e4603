"""Kills a process that works on a conversation around each record (R-336)."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.claude_memory_child import ROWS

ROOT = Path(__file__).parents[3]
RECORDS = 18
"""Header, head, and per row: input, call, results, answer, end; the test below counts them."""


def work(folder: Path, point: str) -> int:
    """The exit status of one process."""
    command = [sys.executable, "-m", "helpers.claude_memory_child", str(folder), point]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""}
    return subprocess.run(command, env=environment, cwd=folder, check=False, timeout=60).returncode


def written(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def check_outcome(folder: Path) -> None:
    texts = [line.partition("\t")[2] for line in written(folder, "ledger")]
    assert texts == [f"answer {row}" for row in ROWS]
    assert [line.partition("\t")[2] for line in written(folder, "effects")] == list(ROWS)
    assert written(folder, "settled") == list(ROWS)


def test_undisturbed_work_writes_the_records_that_are_killed_below(tmp_path: Path) -> None:
    assert work(tmp_path, "never") == 0

    check_outcome(tmp_path)
    (file,) = (tmp_path / "conversation").glob("*.jsonl")
    assert len(file.read_text().splitlines()) == RECORDS - 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_kill_at_any_record_loses_nothing_and_doubles_nothing(tmp_path: Path, moment: str) -> None:
    for number in range(1, RECORDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert work(folder, f"{moment}:{number}") == -9

        assert work(folder, "never") == 0

        check_outcome(folder)


def test_kills_one_after_another_still_end_well(tmp_path: Path) -> None:
    for number in (3, 2, 2, 3, 1, 4, 2):
        work(tmp_path, f"after:{number}")

    assert work(tmp_path, "never") == 0

    check_outcome(tmp_path)

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.desk_session import DeskSession
from helpers.kill_points import KillFolder
from helpers.runner_process import PROJECT

SEND_FILE = {"path": "a.txt", "text": "see"}


@pytest.fixture
def kill(tmp_path: Path) -> KillFolder:
    folder = KillFolder(tmp_path / "kill")
    folder.path.mkdir()
    return folder


def call_and_die(
    session: DeskSession, kill: KillFolder, point: str, tool: str, arguments: object
) -> None:
    kill.arm(point, "self")
    program = subprocess.run(
        [sys.executable, "-m", "helpers.desk_program", tool, "toolu_k", json.dumps(arguments)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
            "NANOCLAW_KILL_DIR": str(kill.path),
            **session.paths.to_environment(),
        },
        cwd=session.root,
        check=False,
        timeout=60,
    )
    assert program.returncode == -signal.SIGKILL


def test_kill_between_copy_and_row_leaves_a_file_without_message_which_start_removes(
    session: DeskSession, kill: KillFolder
) -> None:
    (session.paths.workspace / "a.txt").write_text("x")

    call_and_die(session, kill, "runner.file_copied", "send_file", SEND_FILE)

    assert not session.rows
    assert asyncio.run(session.desk.recall("toolu_k")) is None
    assert len(list(session.paths.out_files.iterdir())) == 1
    asyncio.run(session.desk.start())
    assert not list(session.paths.out_files.iterdir())


def test_kill_after_the_transaction_is_answered_from_memory_and_not_repeated(
    session: DeskSession, kill: KillFolder
) -> None:
    (session.paths.workspace / "a.txt").write_text("x")

    call_and_die(session, kill, "runner.tool_committed", "send_file", SEND_FILE)

    row = session.last
    told = asyncio.run(session.desk.recall("toolu_k"))
    assert told == f"File a.txt sent to the current conversation (id: {row.seq})."
    assert (session.paths.out_files / row.id / "a.txt").read_text() == "x"
    assert session.call("send_message", "toolu_k", text="again").text == told
    assert len(session.rows) == 1


def test_kill_after_a_question_leaves_it_open_for_a_late_answer(
    session: DeskSession, kill: KillFolder
) -> None:
    ask = {"title": "Deploy", "question": "Go live?", "options": ["Yes", "No"]}

    call_and_die(session, kill, "runner.tool_committed", "ask_user_question", ask)

    told = asyncio.run(session.desk.recall("toolu_k"))
    assert told is not None
    assert "still open" in told
    assert asyncio.run(session.desk.find_question(session.last.id)) is not None

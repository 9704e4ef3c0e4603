"""W-42: whoever comes first makes the session, everybody else finds it."""

import subprocess
import sys
from pathlib import Path

from helpers.routing_stage import RouterStage

from contract.clock import utc_now
from nanoclaw.db import sessions
from nanoclaw.model import NewSession, SessionMode

TESTS = Path(__file__).parents[2]
CHATS = 25


def race(stage: RouterStage) -> list[list[str]]:
    """What two programs that begin at the same moment print, each for the same chats."""
    command = [sys.executable, "-m", "helpers.routing_racer", str(stage.paths.home)]
    racers = [
        subprocess.Popen(
            [*command, name, str(CHATS)], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={"PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        )
        for name in ("cli-a", "cli-b")
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    outputs = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=30)
        assert racer.returncode == 0
        outputs.append(out.split())
    return outputs


def test_w42_two_processes_find_or_create_the_same_sessions(stage: RouterStage) -> None:
    stage.agent()
    for number in range(CHATS):
        stage.wire(stage.chat(f"double:{number}"))

    first, second = race(stage)

    assert first == second
    assert len(set(first)) == CHATS
    assert len(stage.sessions()) == CHATS


def test_w42_w56_shared_agent_gets_one_session_from_two_processes(stage: RouterStage) -> None:
    stage.agent()
    for number in range(CHATS):
        stage.wire(stage.chat(f"double:{number}"), session_mode=SessionMode.AGENT_SHARED)
    # A conversation of another mode is never taken over, however new it is.
    stranger = NewSession("sess-x", "ag-1", None, "t", SessionMode.PER_THREAD, "other", utc_now())
    sessions.create(stage.conn, stranger)

    first, second = race(stage)

    assert len(set(first + second)) == 1
    assert "sess-x" not in first

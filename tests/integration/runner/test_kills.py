"""A runner that is killed right behind a durable step of its own, and the one that follows it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder
from helpers.loop_thread import insert
from helpers.runner_process import PROJECT, RunnerSession
from helpers.waiting import wait_until

from contract.address import Destination, DestinationType
from contract.inbound.row import AckStatus

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")


@pytest.fixture
def kill(tmp_path: Path) -> KillFolder:
    folder = KillFolder(tmp_path / "kill")
    folder.path.mkdir()
    return folder


class Runner:
    """Processes that play a turn on this session, one after the other."""

    def __init__(self, session: RunnerSession, kill: KillFolder) -> None:
        self._session = session
        self._kill = kill
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, play: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "tests" / "helpers" / "loop_main.py"), play],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}",
                "NANOCLAW_KILL_DIR": str(self._kill.path),
                **self._session.paths.to_environment(),
            },
        )
        self._processes.append(process)
        return process

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture
def runner(session: RunnerSession, kill: KillFolder) -> Iterator[Runner]:
    session.permit(ME)
    made = Runner(session, kill)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("play", "point", "texts"),
    [
        ("said", "runner.said", ["soon", "done"]),
        ("said", "runner.turn_done", ["soon", "done"]),
        ("said", "runner.answered", ["soon", "done"]),
        ("nudged", "runner.nudged", ["done"]),
        ("nudged", "runner.turn_done", ["done"]),
        ("nudged", "runner.answered", ["done"]),
        ("commanded", "runner.claimed", ["/cost done"]),
        ("commanded", "runner.commanded", ["/cost done"]),
    ],
)
def test_message_is_answered_exactly_once(
    session: RunnerSession,
    runner: Runner,
    kill: KillFolder,
    play: str,
    point: str,
    texts: list[str],
) -> None:
    kill.arm(point, "self")
    message = session.send("/cost" if play == "commanded" else "hello")
    assert runner.start(play).wait(10) == -signal.SIGKILL
    session.renew_lease()

    runner.start(play)

    session.wait_for_status(message, AckStatus.COMPLETED)
    wait_until(lambda: session.texts() == texts, what=f"exactly {texts}")


def test_task_is_gated_once(session: RunnerSession, kill: KillFolder, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    script = f"""echo run >> {runs}; echo '{{"wakeAgent": false}}'"""
    task = insert(session, "t-1", "task", {"prompt": "p", "script": script})
    kill.arm("runner.gated", "self")
    assert session.start(NANOCLAW_KILL_DIR=str(kill.path)).code() == -signal.SIGKILL
    session.renew_lease()

    session.start()

    message = session.send("hello")
    session.wait_for_status(message, AckStatus.COMPLETED)
    assert session.status_of(task) is AckStatus.COMPLETED
    assert (runs.read_text(), session.texts()) == ("run\n", ["You said: hello"])

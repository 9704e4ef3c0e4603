"""``ncl`` over its socket against a whole host with a running agent."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.host import Host
from helpers.terminal import Terminal
from helpers.waiting import wait_until

from nanoclaw.admin.client import ask
from nanoclaw.admin.frames import Success

SECONDS = 60


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    command = (sys.executable, "-m", "helpers.crash_host", "--runtime", "process")
    (tmp_path_factory.getbasetemp() / "kill").mkdir(exist_ok=True)
    environment = {"NANOCLAW_KILL_DIR": str(tmp_path_factory.getbasetemp() / "kill")}
    host = Host(Path(tmp_path_factory.mktemp("home")), command=command, environment=environment)
    host.start()
    yield host
    host.stop()


@pytest.fixture
def terminal(host: Host) -> Iterator[Terminal]:
    terminal = Terminal(host.paths.socket("cli"))
    yield terminal
    terminal.close()


def get(host: Host, command: str, **args: str | bool) -> Any:
    answer = ask(host.paths.socket("ncl"), command, args, SECONDS)
    assert isinstance(answer, Success), answer
    return answer.data


def heard(terminal: Terminal, text: str) -> bool:
    terminal.receive(0.05)
    return any(text in reply.text for reply in terminal.replies)


def test_restarted_agent_comes_back_with_its_message(host: Host, terminal: Terminal) -> None:
    terminal.wait_for_answer(terminal.send("hello"))
    (group,) = get(host, "groups-list")
    (before,) = get(host, "sessions-list")

    answer = get(host, "groups-restart", id=group["id"], message="look around")

    assert answer == {"restarted": 1, "rebuilt": False}
    wait_until(lambda: heard(terminal, "look around"), within=SECONDS, what="the agent is back")
    (after,) = get(host, "sessions-list")
    assert (before["container_status"], after["id"]) == ("running", before["id"])


def test_group_at_work_is_kept_and_rebuilt_without_packages(host: Host, terminal: Terminal) -> None:
    terminal.wait_for_answer(terminal.send("hello again"))
    (group,) = get(host, "groups-list")
    refused = ask(host.paths.socket("ncl"), "groups-delete", {"id": group["id"]}, SECONDS)
    assert not isinstance(refused, Success)

    answer = get(host, "groups-restart", id=group["id"], rebuild=True)

    assert answer == {"restarted": 1, "rebuilt": False}
    terminal.wait_for_answer(terminal.send("and once more"))

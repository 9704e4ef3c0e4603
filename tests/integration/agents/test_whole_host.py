"""Two agents of a real host talk to each other, and the delivery process is killed meanwhile."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.host import Host
from helpers.kill_points import KillFolder
from helpers.terminal import Terminal
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.jsontext import dump
from nanoclaw.db import agent_groups, container_configs, destinations
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import AgentGroup, DestinationRow, TargetType

TELL = '<message to="terminal">Ben knows: 42</message>'
ANN_RULES = [
    {"match": "the answer is", "steps": [{"say": TELL}]},
    {"match": "ask ben", "steps": [{"say": '<message to="ben">what is it?</message>'}]},
]
BEN_RULES = [
    {"match": "what is it", "steps": [{"say": '<message to="ann">the answer is 42</message>'}]},
]
POINTS = [
    "effects.begun",
    "host.agent_files_copied",
    "host.agent_message_written",
    "host.agent_message_marked",
    "effects.done",
]


@pytest.fixture
def kill(tmp_path: Path) -> KillFolder:
    folder = tmp_path / "kill"
    folder.mkdir()
    return KillFolder(folder)


@pytest.fixture
def host(tmp_path: Path, kill: KillFolder) -> Iterator[Host]:
    config, conn = make_home(tmp_path)
    now = utc_now()
    (ann,) = agent_groups.list_all(conn)
    ben = AgentGroup("ag-ben", "Ben", "ben", now)
    agent_groups.create(conn, ben)
    for group, rules, name, target in ((ann, ANN_RULES, "ben", ben), (ben, BEN_RULES, "ann", ann)):
        container_configs.ensure(conn, group.id, now)
        change = ContainerConfigChange(provider="scripted", script=dump(rules))
        container_configs.update(conn, group.id, change, now)
        row = DestinationRow(group.id, name, TargetType.AGENT, target.id, now)
        destinations.create(conn, row)
    conn.close()
    made = Host(
        config.home,
        command=(sys.executable, "-m", "helpers.crash_host", "--runtime", "process"),
        environment={"NANOCLAW_KILL_DIR": str(kill.path)},
    )
    with made:
        yield made


def passages(host: Host) -> list[tuple[str, int]]:
    """Who has spoken, and at which hop."""
    with closing(open_central(host.paths.central_db)) as conn:
        rows = conn.execute("SELECT sender_id, hop FROM agent_traffic ORDER BY hop").fetchall()
    return [("ben" if row[0] == "ag-ben" else "ann", row[1]) for row in rows]


def ask(host: Host, terminal: Terminal) -> None:
    terminal.send("please ask ben")

    def answered() -> bool:
        terminal.receive(0.05)
        return any("Ben knows" in reply.text for reply in terminal.replies)

    wait_until(answered, within=60, what="Ann passes on what Ben has said")


def test_question_goes_to_the_other_agent_and_its_answer_comes_back(host: Host) -> None:
    with closing(Terminal(host.paths.socket("cli"))) as terminal:
        ask(host, terminal)

        assert [reply.text for reply in terminal.replies] == ["Ben knows: 42"]
    assert passages(host) == [("ann", 1), ("ben", 2)]


@pytest.mark.parametrize("point", POINTS)
def test_killed_delivery_loses_no_message_between_agents_and_repeats_none(
    host: Host, kill: KillFolder, point: str
) -> None:
    kill.arm(point, "self")

    with closing(Terminal(host.paths.socket("cli"))) as terminal:
        ask(host, terminal)

        assert kill.was_reached(point)
        assert [reply.text for reply in terminal.replies] == ["Ben knows: 42"]
    assert passages(host) == [("ann", 1), ("ben", 2)]

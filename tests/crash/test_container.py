"""Kills real containers, and the processes around them, while a message is on its way."""

from collections.abc import Iterator

import pytest
from helpers.kill_points import KillFolder
from helpers.stage import Stage

from contract.clock import utc_now
from contract.jsontext import dump
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_configs import ContainerConfigChange

HOPS = (
    "router.event_committed",
    "router.row_inserted",
    "sweep.container_started",
    "sweep.marked_running",
    "delivery.queued",
    "worker.send_tried",
    "delivery.settled",
)
SCRIPT = [
    {"match": "slow", "steps": [{"delay_ms": 1500}, {"say": "You said: {text}"}]},
    {"match": None, "steps": [{"say": "You said: {text}"}]},
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, container_engine: None) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("crash")
    kill = KillFolder(folder / "kill")
    kill.path.mkdir()
    stage = Stage(folder / "home", kill, "docker")
    conn = open_central(stage.host.paths.central_db)
    (group,) = agent_groups.list_all(conn)
    change = ContainerConfigChange(script=dump({"rules": SCRIPT}))
    container_configs.update(conn, group.id, change, utc_now())
    conn.close()
    stage.terminal.wait_for_answer(stage.say("the first one may build the image"), within=900)
    yield stage
    stage.close()


@pytest.mark.parametrize("victim", ["runner", "sweep", "supervisor"])
@pytest.mark.parametrize("point", HOPS)
def test_container_or_its_keeper_may_die_at_any_hop(stage: Stage, point: str, victim: str) -> None:
    stage.kill_while_paused(point, victim)

    stage.assert_balanced()


def test_container_that_dies_in_the_middle_of_a_turn_is_replaced(stage: Stage) -> None:
    message_id = stage.say("slow answer, please")
    stage.wait_until_at_work()

    stage.kill_runners()

    stage.wait_for_answer(message_id)
    stage.assert_balanced()


def test_host_restart_leaves_the_agent_at_work(stage: Stage) -> None:
    stage.wait_for_answer(stage.say("are you there?"))
    before = stage.containers()
    message_id = stage.say("slow answer across a restart")
    stage.wait_until_at_work()

    stage.host.kill()
    stage.revive()

    stage.wait_for_answer(message_id)
    assert stage.containers() == before
    stage.assert_balanced()

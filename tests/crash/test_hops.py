"""Kills every process at every durable step of a chat message's way and balances the books.

The seed of the crash matrix: each case sends messages through a real host with real runners, has
one process killed at one named point, and wants every message answered exactly once.
"""

from collections.abc import Iterator

import pytest
from helpers.kill_points import NOT_A_HOP, KillFolder, find_kill_points
from helpers.stage import Stage
from helpers.waiting import wait_until

POINTS = tuple(point for point in find_kill_points() if not point.startswith(NOT_A_HOP))
VICTIMS = ("router", "delivery", "sweep", "admin", "channel:cli", "forkserver", "supervisor",
           "runner")  # fmt: skip
HOPS = tuple(
    point
    for point in POINTS
    if point
    in {
        "worker.inbound_received",
        "router.event_committed",
        "router.row_inserted",
        "router.event_routed",
        "sweep.leased",
        "sweep.container_started",
        "sweep.marked_running",
        "runner.claimed",
        "runner.answered",
        "delivery.queued",
        "delivery.marked_sending",
        "worker.send_tried",
        "worker.send_done",
        "delivery.settled",
        "delivery.projected",
    }
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("crash")
    kill = KillFolder(folder / "kill")
    kill.path.mkdir()
    stage = Stage(folder / "home", kill, "process")
    yield stage
    stage.close()


def test_there_are_kill_points_in_every_part() -> None:
    areas = {point.split(".")[0] for point in POINTS}

    assert areas >= {"router", "delivery", "sweep", "worker", "runner"}
    assert len(HOPS) >= 12


@pytest.mark.parametrize("point", POINTS)
def test_process_that_dies_at_a_step_loses_and_repeats_nothing(stage: Stage, point: str) -> None:
    stage.kill.arm(point, "self")

    # Twice, with a dead agent in between, so that starting, working and ending all happen.
    stage.wait_for_answer(stage.say(f"first at {point}"))
    stage.kill_runners()
    stage.wait_for_answer(stage.say(f"second at {point}"))

    wait_until(lambda: stage.kill.was_reached(point), within=15, what=f"{point} is reached")
    stage.kill.clear(point)
    stage.assert_balanced()


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("point", HOPS)
def test_any_process_may_die_while_another_is_at_a_step(
    stage: Stage, point: str, victim: str
) -> None:
    stage.kill_while_paused(point, victim)

    stage.assert_balanced()

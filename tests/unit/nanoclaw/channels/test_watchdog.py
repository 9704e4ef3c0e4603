from collections.abc import Iterator

import pytest
from helpers.channel_clock import ClockedReactor

from nanoclaw.channels import watchdog as watchdog_module
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.pool import Task
from nanoclaw.channels.watchdog import SILENCE_SECONDS, TICK_SECONDS, Watchdog, WatchdogParts
from nanoclaw.channels.worker import guarded
from nanoclaw.events import FailureClass


class DirectPool:
    """Runs a task at once, or never."""

    hangs = False

    def put(self, task: Task) -> None:
        if not self.hangs:
            task()


class Scene:
    def __init__(self) -> None:
        self.reactor = ClockedReactor()
        self.pool = DirectPool()
        self.probes = 0
        self.dead = False
        self.resets = 0
        parts = WatchdogParts(self.probe, guarded, self.pool, self.reset)  # type: ignore[arg-type]
        self.watchdog = Watchdog(self.reactor, parts)
        self.watchdog.start()

    def probe(self) -> None:
        self.probes += 1
        if self.dead:
            raise ChannelFailure(FailureClass.OFFLINE, "no answer")

    def reset(self) -> None:
        self.resets += 1

    def pass_time(self, seconds: float) -> None:
        while seconds > 0:
            seconds -= TICK_SECONDS
            self.reactor.pass_time(TICK_SECONDS)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(watchdog_module, "_offset", lambda _: 0.0)
    made = Scene()
    yield made
    made.reactor.close()


def test_a_busy_connection_is_left_alone(scene: Scene) -> None:
    for _ in range(30):
        scene.watchdog.note_sign_of_life()
        scene.pass_time(TICK_SECONDS)

    assert scene.probes == 0


def test_a_silent_connection_that_lives_is_probed_and_kept(scene: Scene) -> None:
    scene.pass_time(2 * SILENCE_SECONDS + TICK_SECONDS)

    assert scene.probes == 2
    assert scene.resets == 0


def test_three_failed_probes_close_the_connection(scene: Scene) -> None:
    scene.dead = True

    scene.pass_time(SILENCE_SECONDS + 2 * TICK_SECONDS)

    assert (scene.probes, scene.resets) == (3, 1)


def test_one_good_probe_forgives_failed_ones(scene: Scene) -> None:
    scene.dead = True
    scene.pass_time(SILENCE_SECONDS + TICK_SECONDS)
    scene.dead = False
    scene.pass_time(2 * TICK_SECONDS)

    assert (scene.probes, scene.resets) == (3, 0)


def test_a_probe_that_hangs_counts_as_failed(scene: Scene) -> None:
    scene.pool.hangs = True

    scene.pass_time(SILENCE_SECONDS + 3 * TICK_SECONDS)

    assert scene.resets == 1


def test_a_jump_of_the_wall_clock_means_probe_now(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_module, "_offset", lambda _: 3600.0)

    scene.pass_time(TICK_SECONDS)

    assert scene.probes == 1

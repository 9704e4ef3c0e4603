"""Images of single groups on the sweep's side: the queue, and what containers start from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from helpers import agents_builder
from helpers.agents_scene import Scene

from nanoclaw.config import HostConfig
from nanoclaw.containers.group_image import GroupOrder, group_order
from nanoclaw.containers.packages import PackageSet
from nanoclaw.containers.recipe import repository
from nanoclaw.db import container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.errors import ContainerError
from nanoclaw.events import BuildImage, ImageBuilt
from nanoclaw.reactor import Reactor
from nanoclaw.sweep.builds import Builds
from nanoclaw.sweep.engine import Engine, EngineState
from nanoclaw.sweep.group_builds import MAX_WAITING, GroupBuilds
from nanoclaw.sweep.group_images import BeingBuilt, GroupImages


@dataclass
class BaseBuilds:
    is_running: bool = False
    is_blocked: object = None


@dataclass
class EngineDouble:
    """An engine as far as builds look at it."""

    is_docker: bool = True
    state: EngineState = EngineState.READY
    image_id: str | None = "sha256:base"
    builds: BaseBuilds = field(default_factory=BaseBuilds)


@dataclass
class Yard:
    """A reactor with a queue of builds in front of real builder processes."""

    reactor: Reactor
    config: HostConfig
    engine: EngineDouble
    builds: GroupBuilds

    def order(self, *apt: str, group: str = "ag-a") -> GroupOrder:
        return group_order(self.config, group, PackageSet.of(apt), "")

    def tag(self, *apt: str) -> str:
        return self.order(*apt).tag(repository(self.config))

    def run_until(self, answers: list[ImageBuilt], count: int) -> None:
        for _ in range(600):
            if len(answers) >= count:
                return
            self.reactor.run_once(0.1)
        raise AssertionError("the build did not end")

    def built(self) -> list[str]:
        """Packages of every builder process that ran, in order."""
        return [path.read_text() for path in sorted(self.config.home.glob("built-*"))]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    config = HostConfig(tmp_path / "home")
    config.paths.ensure()
    reactor, engine = Reactor(), EngineDouble()
    builds = GroupBuilds(reactor, config, cast("Engine", engine), agents_builder.build)
    yield Yard(reactor, config, engine, builds)
    builds.close()
    reactor.close()


def test_order_is_built_in_a_process_of_its_own(yard: Yard) -> None:
    answers: list[ImageBuilt] = []

    yard.builds.want(yard.order("jq"), answers.append)
    yard.run_until(answers, 1)

    assert answers == [ImageBuilt(tag=yard.tag("jq"))]
    assert yard.built() == ["jq"]


def test_failed_build_says_why(yard: Yard) -> None:
    answers: list[ImageBuilt] = []

    yard.builds.want(yard.order("nonesuch"), answers.append)
    yard.run_until(answers, 1)

    assert answers == [ImageBuilt(detail="Unable to locate package nonesuch")]


def test_equal_orders_are_one_build_and_others_wait_their_turn(yard: Yard) -> None:
    answers: list[ImageBuilt] = []

    for name in ("jq", "jq", "curl", "jq"):
        yard.builds.want(yard.order(name), answers.append)
    yard.run_until(answers, 4)

    assert sorted(answer.tag or "" for answer in answers) == sorted(
        [yard.tag("jq")] * 3 + [yard.tag("curl")]
    )
    assert yard.built() == ["jq", "curl"]


def test_image_of_all_goes_first(yard: Yard) -> None:
    """Without it nothing can be built, and there is one builder's place."""
    answers: list[ImageBuilt] = []
    yard.engine.builds.is_running = True
    yard.builds.want(yard.order("jq"), answers.append)
    for _ in range(5):
        yard.reactor.run_once(0.05)
    assert yard.built() == []

    yard.engine.builds.is_running = False
    yard.run_until(answers, 1)

    assert yard.built() == ["jq"]


def test_image_of_all_waits_while_a_group_has_the_place(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[object] = []
    monkeypatch.setattr(
        "nanoclaw.containers.build_process.BuildProcess.start",
        lambda self, config, entry: began.append(entry),
    )
    base = Builds(yard.reactor, yard.config, lambda _: None, lambda: None)
    base.is_blocked = lambda: True

    base.want()
    assert began == []
    base.is_blocked = lambda: False
    for _ in range(30):
        yard.reactor.run_once(0.1)
        if began:
            break

    assert len(began) == 1


@pytest.mark.parametrize("state", [EngineState.UNREACHABLE, EngineState.NO_IMAGE])
def test_engine_that_is_not_ready_is_a_passing_trouble(yard: Yard, state: EngineState) -> None:
    answers: list[ImageBuilt] = []
    yard.engine.state = state

    yard.builds.want(yard.order("jq"), answers.append)
    yard.run_until(answers, 1)

    assert answers[0].passing
    assert state.value in answers[0].detail


def test_host_without_containers_says_that_nothing_can_be_installed(yard: Yard) -> None:
    answers: list[ImageBuilt] = []
    yard.engine.is_docker = False

    yard.builds.want(yard.order("jq"), answers.append)
    yard.run_until(answers, 1)

    assert not answers[0].passing
    assert "without containers" in answers[0].detail


def test_queue_is_bounded(yard: Yard) -> None:
    answers: list[ImageBuilt] = []
    yard.engine.builds.is_running = True  # so that all of them wait
    for number in range(MAX_WAITING):
        yard.builds.want(yard.order(f"p{number}"), lambda _: None)

    yard.builds.want(yard.order("one-more"), answers.append)
    yard.run_until(answers, 1)

    assert answers[0].passing


# --- what a group starts from ---------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.close()


@dataclass
class BuildsDouble:
    """Takes orders; a test says how they end."""

    wanted: list[GroupOrder] = field(default_factory=list)
    answers: list[object] = field(default_factory=list)

    def want(self, order: GroupOrder, on_built: object) -> None:
        self.wanted.append(order)
        self.answers.append(on_built)

    want_once = want

    def end(self, answer: ImageBuilt) -> None:
        on_built = self.answers.pop()
        assert callable(on_built)
        on_built(answer)

    def close(self) -> None:
        pass


@dataclass
class Chooser:
    scene: Scene
    engine: EngineDouble
    builds: BuildsDouble
    images: GroupImages

    def image(self) -> str:
        return self.images.image_for(self.scene.config_of("ag-a"))

    def store(self, *apt: str, tag: str | None = None) -> None:
        change = ContainerConfigChange(packages_apt=apt, image_tag=tag)
        container_configs.update(self.scene.conn, "ag-a", change, self.scene.now)


@pytest.fixture
def chooser(scene: Scene) -> Chooser:
    engine, builds = EngineDouble(), BuildsDouble()
    images = GroupImages(
        scene.conn, scene.config, cast("Engine", engine), cast("GroupBuilds", builds)
    )
    return Chooser(scene, engine, builds, images)


def test_group_without_packages_starts_from_the_image_of_all(chooser: Chooser) -> None:
    assert chooser.image() == "sha256:base"
    chooser.store(tag="mine:1")
    assert chooser.image() == "mine:1"


def test_image_of_an_older_base_is_built_anew_before_the_start(chooser: Chooser) -> None:
    chooser.store("jq", tag=f"{repository(chooser.scene.config)}:ag-a-0000000000000000")

    with pytest.raises(BeingBuilt):
        chooser.image()
    (order,) = chooser.builds.wanted
    tag = order.tag(repository(chooser.scene.config))
    chooser.builds.end(ImageBuilt(tag=tag))

    assert chooser.scene.config_of("ag-a").image_tag == tag
    assert order.packages == PackageSet.of(["jq"])


def test_image_that_somebody_removed_is_built_again(chooser: Chooser) -> None:
    tag = group_order(chooser.scene.config, "ag-a", PackageSet.of(["jq"]), "").tag(
        repository(chooser.scene.config)
    )
    chooser.store("jq", tag=tag)
    assert chooser.image() == tag

    chooser.images.gone(tag)
    with pytest.raises(BeingBuilt):
        chooser.image()
    chooser.builds.end(ImageBuilt(tag=tag))

    assert chooser.image() == tag


def test_operators_image_that_is_gone_is_an_error_in_plain_words(chooser: Chooser) -> None:
    chooser.store(tag="mine:1")
    chooser.images.gone("mine:1")

    with pytest.raises(ContainerError, match="mine:1"):
        chooser.image()


def test_build_that_failed_counts_as_a_failed_start_once(chooser: Chooser) -> None:
    chooser.store("nonesuch")
    with pytest.raises(BeingBuilt):
        chooser.image()
    chooser.builds.end(ImageBuilt(detail="no such package"))

    with pytest.raises(ContainerError, match="no such package"):
        chooser.image()
    with pytest.raises(BeingBuilt):
        chooser.image()

    assert len(chooser.builds.wanted) == 2


def test_engine_that_went_away_during_the_build_blames_nobody(chooser: Chooser) -> None:
    chooser.store("jq")
    with pytest.raises(BeingBuilt):
        chooser.image()
    chooser.builds.end(ImageBuilt(detail="no engine", passing=True))

    with pytest.raises(BeingBuilt):
        chooser.image()


def test_packages_that_changed_during_the_build_keep_their_own_image(chooser: Chooser) -> None:
    chooser.store("jq")
    with pytest.raises(BeingBuilt):
        chooser.image()
    chooser.store("curl", tag="of curl")

    chooser.builds.end(ImageBuilt(tag="of jq"))

    assert chooser.scene.config_of("ag-a").image_tag == "of curl"


def test_process_runtime_knows_no_images(chooser: Chooser) -> None:
    chooser.engine.is_docker = False
    chooser.engine.image_id = ""
    chooser.store("jq")

    assert chooser.image() == ""


def test_request_of_delivery_names_its_packages(chooser: Chooser) -> None:
    chooser.images.build(BuildImage("ag-a", ("jq",), ("cowsay",), ("rich",)), lambda _: None)

    (order,) = chooser.builds.wanted
    assert order.packages == PackageSet.of(["jq"], ["cowsay"], ["rich"])

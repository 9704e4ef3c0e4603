import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from nanoclaw.config import HostConfig
from nanoclaw.containers.build_network import BuildNetwork
from nanoclaw.containers.docker_runtime import BuildOrder, DockerRuntime
from nanoclaw.containers.group_image import (
    DOCKERFILE,
    GroupOrder,
    NeedsBuild,
    UseBase,
    UseImage,
    build_context,
    choose_image,
    ensure_group_image,
    group_order,
)
from nanoclaw.containers.image import Progress
from nanoclaw.containers.packages import PackageSet
from nanoclaw.containers.recipe import BUILD_LABEL, read_recipe, repository
from nanoclaw.errors import ContainerError

CONFIG = HostConfig(Path("/home/nc"))
NO_NETWORK = BuildNetwork({}, None, ())
PACKAGES = PackageSet.of(["jq"], ["cowsay"], ["rich"])
ORDER = group_order(CONFIG, "ag-1-abc", PACKAGES, "sha256:base")
NAME = repository(CONFIG)
TAG = ORDER.tag(NAME)


@dataclass
class EngineDouble:
    """An engine whose builds read lines aloud."""

    by_name: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    orders: list[BuildOrder] = field(default_factory=list)
    untagged: list[str] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    lines: tuple[Mapping[str, object], ...] = ({"stream": "Step 1/9 : ARG BASE\n"},)

    def find_image_by_name(self, name: str) -> str | None:
        return self.by_name.get(name)

    def image_size(self, name: str) -> int:
        return 1000

    def tags_of(self, repository: str) -> list[str]:
        return self.names

    def untag_image(self, tag: str) -> None:
        self.untagged.append(tag)

    def prune_images(self, label: str) -> None:
        self.pruned.append(label)

    def build(self, order: BuildOrder) -> Iterator[Mapping[str, object]]:
        self.orders.append(order)
        yield from self.lines
        self.by_name[order.tag] = "sha256:new"


def ensure(engine: EngineDouble, order: GroupOrder = ORDER) -> list[Progress]:
    seen: list[Progress] = []
    ensure_group_image(cast("DockerRuntime", engine), CONFIG, order, NO_NETWORK, seen.append)
    return seen


def test_name_says_whose_image_it_is_and_what_is_in_it() -> None:
    assert TAG.startswith(f"{NAME}:ag-1-abc-")
    others = [
        group_order(CONFIG, "ag-2", PACKAGES, "sha256:base"),
        group_order(CONFIG, "ag-1-abc", PackageSet.of(["jq"]), "sha256:base"),
        group_order(replace(CONFIG, browser=True), "ag-1-abc", PACKAGES, "sha256:base"),
        group_order(CONFIG, "ag-1-abc", PackageSet.of(["jq", "cowsay"], (), ["rich"]), ""),
    ]
    assert len({TAG, *(order.tag(NAME) for order in others)}) == 5


def test_image_of_the_same_recipe_is_the_same_base_wherever_it_was_built() -> None:
    assert group_order(CONFIG, "ag-1-abc", PACKAGES, "sha256:elsewhere").tag(NAME) == TAG


def test_given_base_is_known_by_its_content() -> None:
    given = replace(CONFIG, image="registry/mine:1")

    one = group_order(given, "ag-1", PACKAGES, "sha256:1")
    other = group_order(given, "ag-1", PACKAGES, "sha256:2")

    assert one.base == "registry/mine:1"
    assert one.tag(NAME) != other.tag(NAME)


@pytest.mark.parametrize("group", ["../x", "a b", "-x", "x" * 200, ""])
def test_odd_group_id_still_makes_a_valid_name(group: str) -> None:
    tag = group_order(CONFIG, group, PACKAGES, "").tag(NAME).rpartition(":")[2]

    assert tag.replace("-", "").isalnum()
    assert len(tag) <= 128


def test_build_gets_names_in_files_and_never_in_a_command() -> None:
    engine = EngineDouble()

    ensure(engine)

    (order,) = engine.orders
    with tarfile.open(fileobj=order.context) as tar:
        files = {name: tar.extractfile(name) for name in tar.getnames()}
        texts = {name: file.read().decode() for name, file in files.items() if file is not None}
    assert texts == {
        "Dockerfile": DOCKERFILE, "apt.txt": "jq\n", "npm.txt": "cowsay\n", "pip.txt": "rich\n",
    }  # fmt: skip
    assert all(name not in DOCKERFILE for name in ("cowsay", "jq", "rich"))
    assert order.tag == TAG
    assert order.arguments == {"BASE": f"{NAME}:{read_recipe(CONFIG).hash}"}


def test_image_of_one_group_is_never_taken_for_the_base_of_all() -> None:
    """Every step inherits the base's label, and a failed build leaves its last one behind."""
    first, second, third = DOCKERFILE.splitlines()[:3]

    assert (first, second) == ("ARG BASE", "FROM ${BASE}")
    assert third.startswith(f"LABEL {BUILD_LABEL}=")
    assert third != f"LABEL {read_recipe(CONFIG).label}"


def test_leftovers_of_builds_are_removed_also_when_they_failed() -> None:
    """W-61."""
    good, bad = EngineDouble(), EngineDouble(lines=({"error": "no"},))

    ensure(good)
    with pytest.raises(ContainerError):
        ensure(bad)

    assert good.pruned == bad.pruned == [f"{BUILD_LABEL}=group"]


def test_image_that_is_there_is_not_built() -> None:
    engine = EngineDouble(by_name={TAG: "sha256:there"})

    ensure(engine)

    assert engine.orders == []


def test_names_are_checked_once_more_before_the_build() -> None:
    engine = EngineDouble()
    bad = replace(ORDER, packages=PackageSet(apt=("jq; rm -rf /",)))

    with pytest.raises(ContainerError, match="no name of a package"):
        ensure(engine, bad)

    assert engine.orders == []


def test_failed_build_says_what_happened() -> None:
    lines = (
        {"stream": "Step 12/15 : RUN apt-get\n"},
        {"stream": "E: Unable to locate package nonesuch\n"},
        {"error": "returned a non-zero code: 100"},
    )

    with pytest.raises(ContainerError, match="Unable to locate package nonesuch"):
        ensure(EngineDouble(lines=lines))


def test_missing_base_is_explained() -> None:
    lines = ({"stream": "Step 2/15 : FROM x\n"}, {"error": "pull access denied"})

    with pytest.raises(ContainerError, match="base image"):
        ensure(EngineDouble(lines=lines))


def test_only_old_images_of_the_same_group_lose_their_names() -> None:
    """W-61; the newest come first, and the group may just start from one of them."""
    own = [f"{NAME}:ag-1-abc-{number:016x}" for number in range(4)]
    others = [f"{NAME}:latest", f"{NAME}:0123456789abcdef", f"{NAME}:ag-2-{1:016x}"]
    engine = EngineDouble(by_name={TAG: "x"}, names=[TAG, *own, *others])

    ensure(engine)

    assert engine.untagged == own[2:]


def test_context_brings_the_certificates_of_a_closed_network(tmp_path: Path) -> None:
    certificates = tmp_path / "ca.pem"
    certificates.write_text("CERT")

    with tarfile.open(fileobj=build_context(PACKAGES, BuildNetwork({}, certificates, ()))) as tar:
        assert "host-ca.pem" in tar.getnames()


NONE = group_order(CONFIG, "ag-1-abc", PackageSet(), "sha256:base")


@pytest.mark.parametrize(
    ("stored", "order", "expected"),
    [
        pytest.param(None, NONE, UseBase(), id="nothing wanted"),
        pytest.param(TAG, NONE, UseBase(), id="last package removed"),
        pytest.param("nanoclaw-agent-v2-0badcafe:ag-1", NONE, UseBase(), id="earlier program"),
        pytest.param("mine:1", NONE, UseImage("mine:1"), id="the operator's own"),
        pytest.param("mine:1", ORDER, UseImage("mine:1"), id="the operator knows what is in it"),
        pytest.param(None, ORDER, NeedsBuild(ORDER), id="never built"),
        pytest.param(TAG, ORDER, UseImage(TAG), id="built"),
        pytest.param(f"{NAME}:ag-1-abc-old", ORDER, NeedsBuild(ORDER), id="of an older base"),
    ],
)
def test_group_starts_from_what_it_was_promised(
    stored: str | None, order: GroupOrder, expected: object
) -> None:
    """H-186, H-201."""
    assert choose_image(stored, order, NAME) == expected

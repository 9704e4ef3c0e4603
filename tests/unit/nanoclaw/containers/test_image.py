import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from nanoclaw.config import HostConfig
from nanoclaw.containers.build_log import BuildLog
from nanoclaw.containers.build_network import BuildNetwork, read_build_network
from nanoclaw.containers.docker_runtime import BuildOrder, DockerRuntime
from nanoclaw.containers.image import Progress, build_context, ensure_image
from nanoclaw.containers.image_command import build_lock
from nanoclaw.containers.recipe import BUILD_LABEL, read_recipe, repository
from nanoclaw.errors import ContainerError

CONFIG = HostConfig(Path("/home/nc"))
NO_NETWORK = BuildNetwork({}, None, ())
GOOD_BUILD = (
    {"stream": "Step 1/2 : FROM debian\n"},
    {"stream": " ---> abc\n"},
    {"stream": "Step 2/2 : RUN true\n"},
    {"aux": {"ID": "sha256:new"}},
)


@dataclass
class EngineDouble:
    """An engine that has images and builds by reading lines aloud."""

    by_label: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, str] = field(default_factory=dict)
    lines: tuple[Mapping[str, object], ...] = GOOD_BUILD
    tags: list[tuple[str, str]] = field(default_factory=list)
    untagged: list[str] = field(default_factory=list)
    orders: list[BuildOrder] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def find_image(self, label: str) -> str | None:
        return self.by_label.get(label)

    def find_image_by_name(self, name: str) -> str | None:
        return self.by_name.get(name)

    def image_size(self, name: str) -> int:
        return 1000

    def tag_image(self, image_id: str, tag: str) -> None:
        self.tags.append((image_id, tag))

    def tags_of(self, repository: str) -> list[str]:
        return self.names

    def untag_image(self, tag: str) -> None:
        self.untagged.append(tag)

    def build(self, order: BuildOrder) -> Iterator[Mapping[str, object]]:
        self.orders.append(order)
        yield from self.lines
        self.by_label[f"{BUILD_LABEL}={order.labels[BUILD_LABEL]}"] = "sha256:new"

    def pull(self, name: str) -> Iterator[Mapping[str, object]]:
        yield {"status": "pulling"}
        self.by_name[name] = "sha256:pulled"


def ensure(
    engine: EngineDouble, config: HostConfig = CONFIG, network: BuildNetwork = NO_NETWORK
) -> list[Progress]:
    seen: list[Progress] = []
    ensure_image(cast("DockerRuntime", engine), config, network, seen.append)
    return seen


def test_missing_image_is_built_and_named() -> None:
    engine = EngineDouble()
    recipe = read_recipe(CONFIG)

    ensure(engine)

    (order,) = engine.orders
    assert order.labels == {BUILD_LABEL: recipe.hash}
    name = repository(CONFIG)
    assert engine.tags == [
        ("sha256:new", f"{name}:{recipe.hash}"), ("sha256:new", f"{name}:latest")
    ]  # fmt: skip


def test_progress_counts_steps() -> None:
    seen = ensure(EngineDouble())

    assert [(line.step, line.steps) for line in seen] == [(1, 2), (1, 2), (2, 2)]


def test_image_of_another_installation_is_only_given_our_name() -> None:
    engine = EngineDouble(by_label={read_recipe(CONFIG).label: "sha256:old"})

    ensure(engine)

    assert not engine.orders
    assert {image for image, _ in engine.tags} == {"sha256:old"}


def test_names_of_older_recipes_are_taken_away() -> None:
    name, recipe = repository(CONFIG), read_recipe(CONFIG)
    engine = EngineDouble(names=[f"{name}:older", f"{name}:latest", f"{name}:{recipe.hash}"])

    ensure(engine)

    assert engine.untagged == [f"{name}:older"]


def test_given_image_is_fetched_instead_of_building() -> None:
    engine = EngineDouble()

    ensure(engine, replace(CONFIG, image="registry/mine:1"))

    assert not engine.orders
    assert engine.by_name == {"registry/mine:1": "sha256:pulled"}


def test_failed_step_says_what_was_going_on() -> None:
    engine = EngineDouble(
        lines=(
            {"stream": "Step 3/9 : RUN pip install\n"},
            {"stream": "no such package\n"},
            {"error": "returned a non-zero code: 1"},
        )
    )

    with pytest.raises(ContainerError, match=r"non-zero code: 1 \(no such package\).*build.log"):
        ensure(engine)


def test_line_that_the_engine_cut_into_pieces_is_one_line_in_the_reason() -> None:
    engine = EngineDouble(
        lines=(
            {"stream": "Step 6/9 : RUN apt-get\n"},
            {"stream": "\x1b[91mE:\x1b[0m"},
            {"stream": "\x1b[91m \x1b[0m"},
            {"stream": "\x1b[91mUnable to locate package nonesuch\x1b[0m"},
            {"stream": "\x1b[91m\n\x1b[0m"},
            {"error": "returned a non-zero code: 100"},
        )
    )

    with pytest.raises(ContainerError, match=r"\(E: Unable to locate package nonesuch\)"):
        ensure(engine)


def test_missing_base_image_is_explained() -> None:
    engine = EngineDouble(
        lines=(
            {"stream": "Step 1/9 : ARG BASE\n"},
            {"stream": "Step 2/9 : FROM ${BASE}\n"},
            {"error": "pull access denied for debian:trixie-slim"},
        )
    )

    with pytest.raises(ContainerError, match=r"base image debian:trixie-slim .* tools/engine-up"):
        ensure(engine)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(CONFIG, browser=True), id="browser"),
        pytest.param(replace(CONFIG, cjk_fonts=True), id="fonts"),
        pytest.param(replace(CONFIG, base_image="debian:sid"), id="base image"),
    ],
)
def test_every_choice_is_another_recipe(other: HostConfig) -> None:
    assert read_recipe(other).hash != read_recipe(CONFIG).hash


def test_recipe_does_not_depend_on_the_home() -> None:
    assert read_recipe(HostConfig(Path("/other"))).hash == read_recipe(CONFIG).hash


def test_incomplete_recipe_is_an_error_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match="incomplete"):
        read_recipe(CONFIG, tmp_path)


def test_context_holds_the_recipe_and_the_certificates_only(tmp_path: Path) -> None:
    certificates = tmp_path / "ca.pem"
    certificates.write_text("CERT")

    context = build_context(read_recipe(CONFIG), BuildNetwork({}, certificates, ()))

    with tarfile.open(fileobj=context) as tar:
        assert sorted(tar.getnames()) == [
            "Dockerfile", "host-ca.pem", "lock/runner.txt", "lock/tools.txt"
        ]  # fmt: skip


# --- what the build gets from this machine's network ----------------------------------------------


def test_settings_of_the_network_are_passed_on_when_they_are_set() -> None:
    network = read_build_network(
        {"HTTPS_PROXY": "http://proxy:3128", "PIP_INDEX_URL": "https://index/simple", "HOME": "/x"}
    )

    assert network.arguments == {
        "HTTPS_PROXY": "http://proxy:3128", "PIP_INDEX_URL": "https://index/simple"
    }  # fmt: skip


def test_nothing_is_passed_on_from_an_ordinary_machine() -> None:
    assert read_build_network({"PATH": "/bin"}) == BuildNetwork({}, None, ())


def test_folders_of_this_machine_are_left_out() -> None:
    network = read_build_network(
        {"PIP_EXTRA_INDEX_URL": "file:///opt/simple https://b/simple", "PIP_INDEX_URL": "/opt/x"}
    )

    assert network.arguments == {"PIP_EXTRA_INDEX_URL": "https://b/simple"}


def test_address_with_a_password_is_withheld_and_named() -> None:
    network = read_build_network({"PIP_INDEX_URL": "https://me:secret@index/simple"})

    assert network.arguments == {}
    assert network.withheld == ("PIP_INDEX_URL",)
    seen = ensure(EngineDouble(), network=network)
    assert "PIP_INDEX_URL" in seen[0].text
    assert "secret" not in seen[0].text


def test_first_certificate_file_that_exists_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()

    network = read_build_network({"PIP_CERT": "/missing.pem", "SSL_CERT_FILE": str(file)})

    assert network.certificates == file


# --- the log --------------------------------------------------------------------------------------


def test_build_log_keeps_the_build_before(tmp_path: Path) -> None:
    paths = HostConfig(tmp_path).paths
    paths.ensure()
    for text in ("first", "second"):
        with BuildLog(paths) as log:
            log.add(text)

    assert "second" in (paths.logs / "build.log").read_text()
    assert "first" in (paths.logs / "build.log.1").read_text()


def test_build_log_ends_with_the_reason_of_a_failure(tmp_path: Path) -> None:
    paths = HostConfig(tmp_path).paths
    paths.ensure()

    with pytest.raises(ContainerError), BuildLog(paths):
        raise ContainerError("no disk")

    assert (paths.logs / "build.log").read_text().endswith("build failed: no disk\n")


def test_unwritable_log_stops_no_build(tmp_path: Path) -> None:
    with BuildLog(HostConfig(tmp_path / "missing").paths) as log:
        log.add("line")


def test_second_build_on_one_home_is_refused_in_plain_words(tmp_path: Path) -> None:
    config = HostConfig(tmp_path)
    config.paths.ensure()

    with (
        build_lock(config.paths),
        pytest.raises(ContainerError, match="already"),
        build_lock(config.paths),
    ):
        pass

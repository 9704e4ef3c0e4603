"""Packages from the approval to a container that has them, with a real engine and real indexes."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.engine import HELLO, SweepProcess, TestSession, docker, remove_containers

from contract.config import AdditionalMount
from nanoclaw.config import host_environment
from nanoclaw.containers import group_image
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.events import BuildImage, Frame, ImageBuilt
from nanoclaw.link import Answer, FrameClient, QuietHandler
from nanoclaw.reactor import Reactor

IMAGE = "nanoclaw-agent-test"
PASSED = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "NPM_CONFIG_REGISTRY", "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS", "PIP_DEFAULT_TIMEOUT",
)  # fmt: skip
BUILD_SECONDS = 900.0
GROUP_LABEL = f"label={group_image.GROUP_LABEL}"


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepProcess]:
    with base_unchanged(), SweepProcess(tmp_path, runtime="docker", image_base=IMAGE) as made:
        environment = host_environment()
        made.environment = {name: environment[name] for name in PASSED if name in environment}
        made.environment["HOME"] = str(tmp_path)
        yield made
        made.kill()
        remove_containers(made.paths.slug)
        remove_group_images(made)


@contextmanager
def base_unchanged() -> Iterator[None]:
    """Whatever is built for one group, the image of all stays what it was."""
    name = f"{IMAGE}:latest"
    before = docker("images", "-q", name).strip()
    yield
    assert docker("images", "-q", name).strip() == before or not before
    assert docker("images", "-q", "--filter", "dangling=true", "--filter", GROUP_LABEL) == ""


def group_of(sweep: SweepProcess) -> str:
    with sweep.database() as conn:
        (group, *_) = agent_groups.list_all(conn)
    return group.id


def remove_group_images(sweep: SweepProcess) -> None:
    prefix = f"{IMAGE}:{group_of(sweep)}-"
    for tag in docker("images", IMAGE, "--format", "{{.Repository}}:{{.Tag}}").split():
        if tag.startswith(prefix):
            subprocess.run(["docker", "rmi", "-f", tag], capture_output=True, check=False)


def request(sweep: SweepProcess, frame: Frame) -> Answer:
    """As the delivery process asks."""
    reactor = Reactor()
    client = FrameClient(reactor, sweep.paths.socket("sweep"), HELLO, QuietHandler())
    client.connect()
    while not client.connected:
        reactor.run_once(0.02)
    answers: list[Answer] = []
    client.request(frame, BUILD_SECONDS, answers.append)
    while not answers:
        reactor.run_once(0.5)
    client.close()
    reactor.close()
    return answers[0]


def inside(session: TestSession, command: str) -> str:
    container_id = session.wait_until_running()
    words = ["docker", "exec", container_id, "bash", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_packages_of_all_three_kinds_are_in_the_next_container(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)  # the first test may build the image
    group = group_of(sweep)
    wanted = BuildImage(group, ("tree",), ("cowsay",), ("tabulate",))

    built = request(sweep, wanted)
    again = request(sweep, wanted)

    assert isinstance(built, ImageBuilt), built
    assert built.tag is not None, built.detail
    assert again == built
    change = ContainerConfigChange(
        packages_apt=wanted.apt, packages_npm=wanted.npm, packages_pip=wanted.pip,
        image_tag=built.tag,
    )  # fmt: skip
    with sweep.database() as conn:
        container_configs.update(conn, group, change, session.row().created_at)
    sweep.ask_to_stop(session.id)
    session.wait_until_settled()
    session.ask("m2", "and now")
    session.wait_for_answer("You said: and now", within=60)
    assert "tree v" in inside(session, "tree --version")
    assert "moo" in inside(session, "cowsay moo")
    assert "x" in inside(
        session, "python3 -c 'import tabulate; print(tabulate.tabulate([[\"x\"]]))'"
    )
    assert inside(session, "id -u").strip() != "0"
    (facts,) = json.loads(docker("inspect", session.row().container_id or ""))
    assert facts["Config"]["Image"] == built.tag


def test_package_that_does_not_exist_is_named_in_the_reason(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)

    built = request(sweep, BuildImage(group_of(sweep), ("nonesuch-package",)))

    assert isinstance(built, ImageBuilt)
    assert built.tag is None
    assert "nonesuch-package" in built.detail
    session.ask("m2", "still there?")
    session.wait_for_answer("You said: still there?", within=60)


def test_group_whose_image_was_removed_gets_it_back_before_it_starts(sweep: SweepProcess) -> None:
    group = group_of(sweep)
    with sweep.database() as conn:
        change = ContainerConfigChange(packages_pip=("tabulate",))
        container_configs.update(conn, group, change, agent_groups.list_all(conn)[0].created_at)
    session = sweep.new_session()
    sweep.start()

    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=900)
    first = inside(session, "python3 -c 'import tabulate; print(1)'")
    sweep.ask_to_stop(session.id)
    session.wait_until_settled()
    remove_group_images(sweep)
    session.ask("m2", "again")
    session.wait_for_answer("You said: again", within=900)

    assert first.strip() == "1"
    assert inside(session, "python3 -c 'import tabulate; print(2)'").strip() == "2"


def test_operators_folder_is_mounted_where_the_allowlist_allows_it(
    sweep: SweepProcess, tmp_path: Path
) -> None:
    projects = tmp_path / "projects"
    (projects / "site").mkdir(parents=True)
    (projects / "site" / "index.html").write_text("welcome")
    (tmp_path / ".config" / "nanoclaw").mkdir(parents=True)
    allowlist = {"allowedRoots": [{"path": "~/projects"}], "blockedPatterns": []}
    (tmp_path / ".config" / "nanoclaw" / "mount-allowlist.json").write_text(json.dumps(allowlist))
    sweep.configure(
        ContainerConfigChange(
            additional_mounts=(
                AdditionalMount(host_path="~/projects/site", readonly=False),
                AdditionalMount(host_path="/etc"),
            )
        )
    )
    session = sweep.new_session()
    sweep.start()

    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello", within=600)

    assert inside(session, "cat /workspace/extra/site/index.html") == "welcome"
    assert "Read-only" in inside(session, "touch /workspace/extra/site/x")
    assert inside(session, "ls /workspace/extra").split() == ["site"]
    assert "mount refused" in sweep.log()

"""The steps of the set-up against real files, sockets and programs."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.setup_steps import GOOD_KEY, context_of, model_server, write_program

from nanoclaw.config import HostConfig, KeyHeader, Runtime
from nanoclaw.containers.mounts import ALLOWLIST
from nanoclaw.secret_store.store import open_store
from setup.base import REDO, Status
from setup.steps.credentials import EXPLAINED, CredentialsStep, find
from setup.steps.docker import DockerStep, Engine, look
from setup.steps.first_agent import FirstAgentStep
from setup.steps.mounts import MountsStep
from setup.steps.test_message import TestMessageStep

BAD_KEY = "sk-ant-api03-Hn4vC8xQ1zWb6YtR2mKd9SfP5j"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostConfig:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    made = HostConfig(tmp_path / "home", docker_host=f"unix://{tmp_path}/engine.sock")
    made.paths.ensure()
    return made


# --- docker ---------------------------------------------------------------------------------------


@contextmanager
def engine(path: Path, api: str = "1.47") -> Iterator[None]:
    """An engine that answers pings."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                link.recv(4096)
                link.sendall(f"HTTP/1.0 200 OK\r\nApi-Version: {api}\r\n\r\nOK".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        path.unlink()


def fake_docker(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """The only ``docker`` there is; None: none."""
    if script is not None:
        write_program(folder / "docker", script)
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("script", "state"),
    [
        (None, Engine.NOT_INSTALLED),
        ("echo 'permission denied' >&2; exit 1", Engine.NO_PERMISSION),
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", Engine.NO_DAEMON),
        ("echo what >&2; exit 1", Engine.OTHER),
        ("exit 0", Engine.OTHER),
    ],
)
def test_reason_for_a_missing_engine_is_found_and_blocks(
    config: HostConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None,
    state: Engine,
) -> None:  # fmt: skip
    fake_docker(tmp_path / "bin", monkeypatch, script)

    assert look(config).state is state
    finding = DockerStep().inspect(config, {})
    assert finding.blocked
    assert not finding.done
    result = DockerStep().apply(context_of(config))
    assert result.status is Status.FAILED
    assert result.next_step


def test_engine_that_comes_up_later_is_found(
    config: HostConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_docker(tmp_path / "bin", monkeypatch, "echo 'Cannot connect' >&2; exit 1")
    assert look(config).state is Engine.NO_DAEMON

    with engine(tmp_path / "engine.sock"):
        assert DockerStep().inspect(config, {}).done
        assert DockerStep().verify(context_of(config)).status is Status.SUCCESS


def test_engine_at_another_address_is_written_into_the_settings(
    config: HostConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "rootless.sock"
    script = f'[ "$1" = context ] && echo unix://{other}; exit 0'
    fake_docker(tmp_path / "bin", monkeypatch, script)

    with engine(other):
        assert "docker_host" in DockerStep().inspect(config, {}).plan
        assert DockerStep().apply(context_of(config)).status is Status.SUCCESS

    assert f'docker_host = "unix://{other}"' in config.paths.config_file.read_text()


def test_old_engine_is_named(config: HostConfig, tmp_path: Path) -> None:
    with engine(tmp_path / "engine.sock", api="1.24"):
        assert look(config).state is Engine.TOO_OLD


def test_no_engine_is_needed_without_a_sandbox(config: HostConfig) -> None:
    plain = replace(config, runtime=Runtime.PROCESS)

    assert DockerStep().inspect(plain, {}).done


# --- credentials ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_key_of_the_environment_is_tried_and_kept(
    config: HostConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, GOOD_KEY)
    with model_server() as (address, _):
        here = replace(config, anthropic_base_url=address)
        finding = CredentialsStep().inspect(here, {})
        assert (finding.done, finding.questions) == (False, ())
        assert CredentialsStep().apply(context_of(here)).status is Status.SUCCESS

    monkeypatch.delenv(name)
    assert CredentialsStep().inspect(here, {}).done
    assert CredentialsStep().verify(context_of(here)).status is Status.SUCCESS


def test_subscription_is_recognised_and_nothing_is_missing(config: HostConfig) -> None:
    found = find(config, {"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"})

    assert found is not None
    assert found.problem == EXPLAINED
    assert find(config, {}) is None


@pytest.mark.parametrize("header", list(KeyHeader))
def test_given_key_is_tried_kept_and_never_shown(config: HostConfig, header: KeyHeader) -> None:
    lines: list[str] = []
    with model_server() as (address, seen):
        here = replace(config, anthropic_key_header=header)
        answers = {"auth_method": "endpoint", "auth_base_url": address, "auth_secret": GOOD_KEY}
        result = CredentialsStep().apply(context_of(here, answers, lines=lines))

    assert result.status is Status.SUCCESS
    assert seen[0]["path"].startswith("/v1/models")
    assert open_store(config).get("anthropic-api-key") == GOOD_KEY
    assert f'anthropic_base_url = "{address}"' in config.paths.config_file.read_text()
    assert GOOD_KEY not in "".join(lines) + repr(result)


@pytest.mark.parametrize(("status", "says"), [(None, "refused"), (302, "302"), (500, "500")])
def test_key_that_does_not_work_is_not_kept(
    config: HostConfig, status: int | None, says: str
) -> None:
    with model_server(status) as (address, seen):
        here = replace(config, anthropic_base_url=address)
        answers = {"auth_method": "api-key", "auth_secret": BAD_KEY}
        result = CredentialsStep().apply(context_of(here, answers))

    assert result.status is Status.FAILED
    assert says in result.text
    assert BAD_KEY not in repr(result)
    assert len(seen) == 1, "a key follows no redirection"
    assert open_store(config).list() == []


def test_server_without_that_page_is_taken(config: HostConfig) -> None:
    with model_server(404) as (address, _):
        here = replace(config, anthropic_base_url=address)
        answers = {"auth_method": "api-key", "auth_secret": BAD_KEY}
        assert CredentialsStep().apply(context_of(here, answers)).status is Status.SUCCESS


def test_address_where_nobody_listens_is_named(config: HostConfig) -> None:
    answers = {"auth_method": "endpoint", "auth_base_url": "http://127.0.0.1:9",
               "auth_secret": GOOD_KEY}  # fmt: skip
    result = CredentialsStep().apply(context_of(config, answers))

    assert "cannot be reached" in result.text


def test_questions_follow_from_the_answers(config: HostConfig) -> None:
    def keys(answers: dict[str, str]) -> list[str]:
        return [item.key for item in CredentialsStep().inspect(config, answers).questions]

    assert keys({}) == ["auth_method"]
    assert keys({"auth_method": "api-key"}) == ["auth_secret"]
    assert keys({"auth_method": "endpoint"}) == ["auth_base_url", "auth_secret"]
    assert keys({"auth_method": "skip"}) == []
    skipped = CredentialsStep().apply(context_of(config, {"auth_method": "skip"}))
    assert skipped.status is Status.SKIPPED
    assert "script" in skipped.text


# --- mounts ---------------------------------------------------------------------------------------


def test_allowlist_is_written_for_its_owner_alone_and_then_left_alone(config: HostConfig) -> None:
    step, path = MountsStep(), Path.home() / ALLOWLIST
    assert [item.key for item in step.inspect(config, {}).questions] == ["mounts"]

    result = step.apply(context_of(config, {"mounts": "~/a, ~/b:rw"}))

    assert (result.status, result.fields["allowed_roots"]) == (Status.SUCCESS, "2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert step.inspect(config, {}).done
    again = step.apply(context_of(config, {"mounts": ""}))
    assert again.status is Status.SKIPPED
    forced = step.apply(context_of(config, {"mounts": "", REDO: "yes"}))
    assert forced.fields["allowed_roots"] == "0"
    assert json.loads(path.read_text()) == {"allowedRoots": [], "blockedPatterns": []}
    assert list(path.parent.iterdir()) == [path]


def test_broken_allowlist_replaces_nothing(config: HostConfig) -> None:
    result = MountsStep().apply(context_of(config, {"mounts": "{"}))

    assert (result.status, result.fields["error"]) == (Status.FAILED, "invalid_json")
    assert not (Path.home() / ALLOWLIST).exists()


# --- the first agent and its first message --------------------------------------------------------


def test_first_agent_is_made_owned_and_then_done(config: HostConfig) -> None:
    step = FirstAgentStep()
    assert [item.key for item in step.inspect(config, {}).questions] == [
        "display_name", "agent_name", "template",
    ]  # fmt: skip
    assert not config.paths.central_db.exists(), "a look changes nothing"

    answers = {"display_name": "Ann", "agent_name": "Zed", "template": "writer"}
    result = step.apply(context_of(config, answers))

    assert result.status is Status.SUCCESS
    assert (result.fields["agent"], result.fields["folder"]) == ("Zed", "main")
    assert step.inspect(config, {}).done
    assert step.apply(context_of(config, {"agent_name": "Other"})).fields["agent"] == "Zed"


@pytest.mark.parametrize(
    ("script", "outcome", "status"),
    [
        ("echo pong", "ok", Status.SUCCESS),
        ("echo 'Invalid API key'", "auth_error", Status.FAILED),
        ("exit 2", "socket_error", Status.FAILED),
        ("exit 3", "no_reply", Status.FAILED),
    ],
)
def test_first_message_ends_in_success_or_one_command(
    config: HostConfig, tmp_path: Path, script: str, outcome: str, status: Status
) -> None:
    program = write_program(tmp_path / "fake", script)

    result = TestMessageStep().apply(context_of(config, program=(str(program),)))

    assert (result.fields["outcome"], result.status) == (outcome, status)
    assert bool(result.next_step) == (status is Status.FAILED)


def test_client_that_cannot_be_started_counts_as_no_host(config: HostConfig) -> None:
    result = TestMessageStep().apply(context_of(config, program=("/nowhere/nanoclaw",)))

    assert result.fields["outcome"] == "socket_error"


def test_waiting_for_the_answer_can_be_cancelled(config: HostConfig, tmp_path: Path) -> None:
    program = write_program(tmp_path / "fake", "exec sleep 600")

    context = context_of(config, program=(str(program),), cancelled=True)

    assert TestMessageStep().apply(context).fields["outcome"] == "no_reply"


def test_real_client_without_a_host_names_the_command(config: HostConfig) -> None:
    result = TestMessageStep().apply(context_of(config))

    assert result.fields["outcome"] == "socket_error"
    assert result.next_step == f"nanoclaw run --home {config.home}"
    assert TestMessageStep().verify(context_of(config)).status is Status.FAILED

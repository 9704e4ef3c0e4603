"""Agents for people and terminals, made by tools beside a host."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.kill_points import ROOT

from nanoclaw.config import HostConfig
from nanoclaw.errors import ConfigError
from nanoclaw.model import EngageMode
from setup import agent_rows
from setup import first_agent as tools
from setup.first_agent import AgentWish, Person, init_cli_agent, init_first_agent
from setup.group_new import new_group
from setup.register import Registration, problem_with, register

ANN = Person("telegram", "7", "7", "Ann")
QUIET = AgentWish(no_welcome=True)
TABLES = ("users", "user_roles", "agent_groups", "agent_group_members", "messaging_groups",
          "messaging_group_agents", "agent_destinations", "container_configs", "audit")  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    return HostConfig(tmp_path / "home")


def rows(config: HostConfig, sql: str) -> list[tuple[object, ...]]:
    conn = sqlite3.connect(config.paths.central_db)
    try:
        return [tuple(row) for row in conn.execute(sql)]
    finally:
        conn.close()


def counts(config: HostConfig) -> dict[str, object]:
    return {table: rows(config, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


@contextmanager
def terminal(config: HostConfig) -> Iterator[list[dict[str, object]]]:
    """What a host's terminal socket gets; every line is confirmed as routed."""
    heard: list[dict[str, object]] = []
    config.paths.ensure()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(config.paths.socket("cli")))
    server.listen()

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link, link.makefile("rb") as lines:
                for raw in lines:
                    line = json.loads(raw)
                    heard.append(line)
                    answer = {"ack": line["id"], "outcome": "routed"}
                    link.sendall(json.dumps(answer).encode() + b"\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        config.paths.socket("cli").unlink()


def test_second_run_makes_no_rows_and_sends_nothing(config: HostConfig) -> None:
    with terminal(config) as heard:
        first = init_first_agent(config, ANN, AgentWish())
        before = counts(config)
        second = init_first_agent(config, ANN, AgentWish())
        assert counts(config) == before
        asked = init_first_agent(config, ANN, AgentWish(welcome="again"))

    assert (first.created, first.welcome) == (True, "routed")
    assert (second.created, second.welcome) == (False, "")
    assert asked.welcome == "routed"
    assert [line["text"] for line in heard][1:] == ["again"]
    assert heard[0]["to"] == {"channelType": "telegram", "platformId": "telegram:7"}
    assert heard[0]["senderId"] == "telegram:7"
    memory = config.paths.groups / "dm-with-ann" / "CLAUDE.local.md"
    assert memory.read_text().startswith("# Ann\n")


@pytest.mark.parametrize(
    ("role", "grants", "scope"),
    [
        ("owner", [("telegram:7", "owner", None)], "global"),
        ("admin", [("telegram:7", "admin", "group")], "group"),
        ("member", [], "group"),
    ],
)
def test_role_decides_rights_and_everybody_is_a_member(
    config: HostConfig, role: str, grants: list[tuple[object, ...]], scope: str
) -> None:
    made = init_first_agent(config, replace(ANN, role=role), QUIET)

    found = rows(config, "SELECT user_id, role, agent_group_id FROM user_roles")
    assert [(u, r, g and "group") for u, r, g in found] == grants
    assert rows(config, "SELECT user_id FROM agent_group_members") == [("telegram:7",)]
    assert rows(config, "SELECT cli_scope FROM container_configs") == [(scope,)]
    wiring = "SELECT engage_mode, engage_pattern, sender_scope FROM messaging_group_agents"
    assert rows(config, wiring) == [("pattern", ".", "all")]
    assert made.group.folder == "dm-with-ann"


def test_without_a_host_nothing_is_changed(config: HostConfig) -> None:
    with pytest.raises(ConfigError, match=r"cli\.sock"):
        init_first_agent(config, ANN, AgentWish())

    assert not config.home.exists()


def test_broken_step_leaves_no_half_state(
    config: HostConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_first_agent(config, replace(ANN, display_name="Bob", user_id="1", platform_id="1"), QUIET)
    before = counts(config)

    def fail(*_: object) -> bool:
        raise ConfigError("no")

    monkeypatch.setattr(agent_rows, "wire", fail)
    with pytest.raises(ConfigError, match="no"):
        init_first_agent(config, ANN, QUIET)

    assert counts(config) == before


def test_two_people_of_one_name_do_not_share_an_agent(config: HostConfig) -> None:
    init_first_agent(config, ANN, QUIET)
    other = replace(ANN, user_id="8", platform_id="8", role="member")

    with pytest.raises(ConfigError, match="--folder"):
        init_first_agent(config, other, QUIET)
    made = init_first_agent(config, other, replace(QUIET, folder="ann-two"))

    assert made.group.folder == "ann-two"
    assert rows(config, "SELECT count(*) FROM agent_groups") == [(2,)]


def test_dry_run_writes_nothing(config: HostConfig) -> None:
    init_first_agent(config, ANN, AgentWish(dry_run=True))
    assert not config.home.exists()
    init_first_agent(config, ANN, QUIET)
    before = counts(config)

    new_group(config, AgentWish(name="Zed", dry_run=True))
    register(config, Registration("5", "Team", "team", dry_run=True))

    assert counts(config) == before
    assert not (config.paths.groups / "zed").exists()


def test_terminal_gets_one_agent_and_no_second_by_accident(config: HostConfig) -> None:
    made = init_cli_agent(config, "Ann", AgentWish())
    assert made.group.folder == "cli-with-ann"
    assert init_cli_agent(config, "Ann", AgentWish()).created is False
    assert rows(config, "SELECT count(*) FROM user_roles") == [(0,)]

    with pytest.raises(ConfigError, match="both answer"):
        init_cli_agent(config, "Bob", AgentWish())
    init_cli_agent(config, "Bob", AgentWish(), additional=True)

    assert rows(config, "SELECT count(*) FROM messaging_group_agents") == [(2,)]


def test_deleted_terminal_agent_takes_all_that_belongs_to_it(config: HostConfig) -> None:
    made = init_cli_agent(config, "Ann", AgentWish())
    sessions = config.paths.sessions / made.group.id
    (sessions / "home").mkdir(parents=True)

    assert tools.delete_cli_agent(config, "cli-with-ann") is True

    for table in ("agent_groups", "messaging_group_agents", "agent_destinations",
                  "container_configs"):  # fmt: skip
        assert rows(config, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert rows(config, "SELECT platform_id FROM messaging_groups") == [("local",)]
    assert not sessions.exists()
    assert not (config.paths.groups / "cli-with-ann").exists()
    assert tools.delete_cli_agent(config, "cli-with-ann") is False
    with pytest.raises(ConfigError, match="not allowed"):
        tools.delete_cli_agent(config, "../x")


def test_agent_that_works_is_not_deleted(config: HostConfig) -> None:
    made = init_cli_agent(config, "Ann", AgentWish())
    conn = sqlite3.connect(config.paths.central_db)
    conn.execute(
        "INSERT INTO sessions (id, agent_group_id, container_status, status, created_at)"
        " VALUES ('s', ?, 'running', 'active', '2026-01-01T00:00:00.000Z')",
        (made.group.id,),
    )
    conn.commit()
    conn.close()

    with pytest.raises(ConfigError, match="stop it first"):
        tools.delete_cli_agent(config, "cli-with-ann")

    assert rows(config, "SELECT count(*) FROM agent_groups") == [(1,)]


def test_new_agent_never_begins_with_the_memory_of_another(config: HostConfig) -> None:
    old = config.paths.groups / "zed"
    old.mkdir(parents=True)
    (old / "CLAUDE.local.md").write_text("secrets of another")

    made = new_group(config, AgentWish(name="Zed", template="coder"), "Ann")
    with pytest.raises(ConfigError, match="taken"):
        new_group(config, AgentWish(name="Zed", folder="Zed"))

    assert made.folder == "zed-2"
    text = (config.paths.groups / "zed-2" / "CLAUDE.local.md").read_text()
    assert "for Ann" in text
    assert (config.paths.groups / "global" / "CLAUDE.md").is_file()


def test_chat_is_registered_once(config: HostConfig) -> None:
    wanted = Registration("5", "Team", "team")
    with terminal(config) as heard:
        first = register(config, wanted)
        second = register(config, wanted)

    assert (first.wired, first.welcome) == (True, "routed")
    assert (second.wired, second.welcome) == (False, "")
    assert len(heard) == 1
    query = "SELECT engage_mode, engage_pattern, session_mode FROM messaging_group_agents"
    assert rows(config, query) == [("mention", None, "shared")]
    assert rows(config, "SELECT is_group FROM messaging_groups") == [(1,)]


@pytest.mark.parametrize(
    ("wanted", "mode"),
    [
        (Registration("7", "Ann", "a", "telegram"), ("pattern", ".")),
        (Registration("-7", "Team", "a", "telegram"), ("mention", None)),
        (Registration("-7", "Team", "a", "telegram", trigger="^hey"), ("pattern", "^hey")),
        (Registration("-7", "Team", "a", "telegram", requires_trigger=False), ("pattern", ".")),
        (
            Registration("7", "Ann", "a", "telegram", engage_mode=EngageMode.MENTION_STICKY),
            ("mention-sticky", None),
        ),
        (Registration("7", "Ann", "a", "telegram", is_group=True), ("mention", None)),
    ],
)
def test_kind_of_chat_and_trigger_decide_when_the_agent_answers(
    config: HostConfig, wanted: Registration, mode: tuple[object, ...]
) -> None:
    register(config, wanted)

    query = "SELECT engage_mode, engage_pattern FROM messaging_group_agents"
    assert rows(config, query) == [mode]


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (Registration("", "", "a"), "missing_required_args"),
        (Registration("1", "a", "_a"), "invalid_folder"),
        (Registration("1", "a", "a", trigger="("), "invalid_trigger"),
        (Registration("1", "a", "a", engage_mode=EngageMode.PATTERN), "invalid_trigger"),
    ],
)
def test_unusable_registration_is_named(wanted: Registration, word: str) -> None:
    problem = problem_with(wanted)

    assert problem is not None
    assert problem[0] == word


def command(config: HostConfig, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nanoclaw", *words, "--home", str(config.home)], cwd=ROOT,
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_commands_say_by_their_exit_code_what_went_wrong(config: HostConfig) -> None:
    person = ("--channel", "telegram", "--user-id", "7", "--platform-id", "7")
    missing = command(config, "init-first-agent", *person[:2])
    assert missing.returncode == 2
    assert "--user-id, --platform-id, --display-name" in missing.stderr
    full = (*person, "--display-name", "Ann")
    assert command(config, "init-first-agent", *full, "--role", "king").returncode == 2
    assert command(config, "init-first-agent", *full).returncode == 1
    assert not config.home.exists()

    done = command(config, "init-first-agent", *full, "--no-welcome", "--json")
    assert json.loads(done.stdout)["created"] is True
    unusable = command(config, "register", "--name", "x")
    assert unusable.returncode == 4
    assert "ERROR: missing_required_args" in unusable.stdout
    good = command(config, "register", "--platform-id", "5", "--name", "T", "--folder", "t")
    assert good.returncode == 0
    assert "STATUS: success" in good.stdout
    made = command(config, "group", "new", "Zed", "--template", "writer", "--json")
    assert json.loads(made.stdout)["folder"] == "zed"
    assert command(config, "group", "new", "Zed", "--template", "x").returncode == 1
    shown = json.loads(command(config, "group", "templates", "--json").stdout)
    assert shown[0]["name"] == "assistant"


def test_first_agent_of_a_started_host_is_dressed_once(tmp_path: Path) -> None:
    config, conn = make_home(tmp_path)
    conn.close()
    group = tools.terminal_agent(config)
    assert group is not None
    assert tools.is_plain(config, group)

    tools.dress(config, group, "Ann", AgentWish(name="Zed", template="family"))

    assert rows(config, "SELECT name FROM agent_groups") == [("Zed",)]
    assert "# Zed" in (config.paths.groups / group.folder / "CLAUDE.local.md").read_text()
    assert not tools.is_plain(config, group)
    assert tools.has_owner(config)


def test_agent_without_a_key_thinks_once_there_is_one(tmp_path: Path) -> None:
    config, conn = make_home(tmp_path)
    conn.close()
    assert rows(config, "SELECT provider FROM container_configs") == [("scripted",)]

    assert tools.leave_scripted(config) is True
    assert tools.leave_scripted(config) is False

    assert rows(config, "SELECT provider FROM container_configs") == [("claude",)]

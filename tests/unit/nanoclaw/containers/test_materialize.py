import inspect
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from helpers.central import make_home

from contract.address import Address, DestinationType
from contract.clock import utc_now
from contract.config import (
    DoorConfig,
    RunnerConfig,
    dump_config,
    parse_runner_config,
    parse_session_config,
)
from contract.inbound.reader import read_destinations, read_session_routing
from nanoclaw.containers.materialize import (
    InstallFacts,
    StartFacts,
    decide_provider,
    idle_exit_seconds,
    materialize,
    runner_config,
    session_config,
)
from nanoclaw.db import agent_groups, destinations, messaging_groups, sessions
from nanoclaw.db.connection import open_central
from nanoclaw.model import (
    AgentGroup,
    ContainerConfig,
    DestinationRow,
    NewSession,
    SessionMode,
    TargetType,
)
from nanoclaw.sessions.folder import SessionFolder

NOW = utc_now()
INSTALL = InstallFacts("Europe/Berlin", "Andy", "", 1800)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[StartFacts, SessionFolder]]:
    """One session of the first agent, materialised."""
    config, conn = make_home(tmp_path)
    (group,) = agent_groups.list_all(conn)
    chat = messaging_groups.find_by_address(conn, "cli", "local")
    assert chat is not None
    other = AgentGroup("ag-2", "Helper", "helper", NOW)
    agent_groups.create(conn, other)
    for name, kind, target in (
        ("friend", TargetType.AGENT, "ag-2"),
        ("gone", TargetType.AGENT, "ag-9"),
        ("home", TargetType.CHANNEL, chat.id),
    ):
        if destinations.get(conn, group.id, name) is None:
            destinations.create(conn, DestinationRow(group.id, name, kind, target, NOW))
    new = NewSession("sess-1", group.id, chat.id, "t1", SessionMode.SHARED, "k", NOW)
    session = sessions.create(conn, new)
    folder = SessionFolder.of(config.paths, group.id, session.id)
    folder.create()
    facts = StartFacts(session, group, ContainerConfig(group.id, NOW), INSTALL, lease=3)
    materialize(conn, folder, facts)
    yield facts, folder
    conn.close()


Started = tuple[StartFacts, SessionFolder]


def test_session_file_says_what_this_start_is(started: Started) -> None:
    facts, folder = started

    config = parse_session_config((folder.in_dir / "session.json").read_text())

    assert (config.session_id, config.lease) == ("sess-1", 3)
    assert (config.timezone, config.idle_exit_seconds) == ("Europe/Berlin", 1800)
    assert config.agent_group_id == facts.group.id


def test_container_file_is_readable_for_the_runner(started: Started) -> None:
    facts, folder = started

    read = parse_runner_config((folder.in_dir / "container.json").read_text())

    assert read.problems == ()
    assert read.config.group_name == facts.group.name


def test_instructions_import_the_shared_text_and_a_fragment_per_tool(started: Started) -> None:
    _, folder = started

    lines = (folder.in_dir / "CLAUDE.md").read_text().splitlines()

    assert lines[2] == "@/app/CLAUDE.md"
    assert "@./fragments/module-core.md" in lines
    assert (folder.in_dir / "fragments" / "module-core.md").read_text()


def test_selection_of_skills_reaches_the_runner_with_present_names(started: Started) -> None:
    facts, _ = started
    config = replace(facts.config, skills=("welcome", "onecli-gateway"))

    assert runner_config(replace(facts, config=config)).skills == ["welcome", "network-access"]
    assert runner_config(facts).skills == "all"


def test_door_is_told_to_the_runner(started: Started) -> None:
    facts, _ = started
    door = DoorConfig(token="t-1")

    assert session_config(replace(facts, door=door)).door == door
    assert session_config(facts).door is None


def test_agents_user_can_read_everything_in_the_folder(started: Started) -> None:
    _, folder = started

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.in_dir.rglob("*")}

    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert not any(path.name.endswith(".new") for path in modes)


def test_destinations_are_projected_without_those_that_are_gone(started: Started) -> None:
    _, folder = started

    found = {d.name: d for d in read_destinations(folder.inbound_db)}

    assert "gone" not in found
    assert found["friend"].type is DestinationType.AGENT
    assert found["friend"].agent_group_id == "ag-2"
    assert found["home"].address == Address("cli", "local")


def test_answers_go_to_the_sessions_own_chat_and_thread(started: Started) -> None:
    _, folder = started

    assert read_session_routing(folder.inbound_db) == Address("cli", "local", "t1")


@pytest.mark.parametrize(
    ("set_to", "expected"),
    [
        pytest.param(("A", "b", "c", "d"), "a", id="the session's own, in lower case"),
        pytest.param((None, "b", "c", "d"), "b", id="then the configuration's"),
        pytest.param(("", " ", "c", "d"), "c", id="empty counts as unset"),
        pytest.param((None, None, None, "d"), "d", id="then the installation's"),
        pytest.param((None, None, None, ""), "claude", id="at last the default"),
    ],
)
def test_t54_nearest_provider_counts(
    started: Started, set_to: tuple[str | None, str | None, str | None, str], expected: str
) -> None:
    facts, _ = started
    session, config, group, install = set_to
    changed = replace(
        facts,
        session=replace(facts.session, agent_provider=session),
        config=replace(facts.config, provider=config),
        group=replace(facts.group, agent_provider=group),
        install=replace(facts.install, provider=install),
    )

    assert decide_provider(changed) == expected
    assert session_config(changed).provider == runner_config(changed).provider == expected


@pytest.mark.parametrize(("own", "expected"), [(None, 1800), (0, 0), (60, 60)])
def test_group_may_have_its_own_patience(started: Started, own: int | None, expected: int) -> None:
    facts, _ = started

    assert (
        idle_exit_seconds(replace(facts, config=replace(facts.config, idle_exit_seconds=own)))
        == expected
    )


def test_session_without_a_chat_has_no_default_address(started: Started, tmp_path: Path) -> None:
    facts, folder = started
    _, conn = make_home(tmp_path / "second")

    materialize(
        conn, folder, replace(facts, session=replace(facts.session, messaging_group_id=None))
    )

    assert read_session_routing(folder.inbound_db).is_empty
    assert read_destinations(folder.inbound_db) == ()
    conn.close()


def test_every_setting_of_the_runner_comes_from_the_database(started: Started) -> None:
    """R-332: nothing has to be written into a file by hand."""
    facts, _ = started
    settings = ContainerConfig(
        facts.group.id, NOW, fallback_model="f", max_turn_seconds=60, idle_exit_seconds=0,
        max_cost_per_turn_usd=0.5, max_cost_per_day_usd=7.0, native_attachments=False,
        compat={"betas": False}, prices={"m": {"input": 1}}, web_tools="off",
        tool_timeouts={"calc": 2.5}, disabled_tools=("web_fetch",), max_messages_per_prompt=3,
    )  # fmt: skip

    read = parse_runner_config(dump_config(runner_config(replace(facts, config=settings))))

    assert read.problems == ()
    config = read.config
    assert (config.fallback_model, config.max_turn_seconds) == ("f", 60)
    assert (config.max_cost_per_turn_usd, config.max_cost_per_day_usd) == (0.5, 7.0)
    assert (config.idle_exit_seconds, config.native_attachments) == (0, False)
    assert (config.compat, config.prices) == ({"betas": False}, {"m": {"input": 1}})
    assert (config.web_tools, config.tool_timeouts) == ("off", {"calc": 2.5})
    assert (config.disabled_tools, config.max_messages_per_prompt) == (("web_fetch",), 3)


def test_every_key_of_the_runner_is_filled_from_somewhere() -> None:
    everything = {declared.name for declared in fields(RunnerConfig)} - {"extra"}
    filled = set(inspect.getsource(runner_config).replace("(", " ").replace("=", " ").split())

    assert everything <= filled


def test_t52_session_without_a_chat_answers_the_agent_it_knows(
    started: Started, tmp_path: Path
) -> None:
    facts, folder = started
    session = replace(facts.session, messaging_group_id=None)
    with closing(open_central(tmp_path / "home" / "data" / "v2.db")) as conn:
        materialize(conn, folder, replace(facts, session=session))

    assert read_session_routing(folder.inbound_db) == Address("agent", "ag-2")

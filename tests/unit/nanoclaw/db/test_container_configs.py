import os
import sqlite3
from dataclasses import fields, replace
from pathlib import Path

import pytest
from helpers.central_rows import NOW, add_agent_group, seconds

from contract.config import AdditionalMount, McpServer
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.agent_groups import AgentGroupChange
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.container_imports import backfill_container_configs
from nanoclaw.model import CliScope, ContainerConfig, EgressMode

LATER = NOW + seconds(60)
DEFAULTS = ContainerConfig("ag-1", NOW)
OLD_FILE = """{"mcpServers": {"calc": {"command": "calc", "args": ["-q"], "env": {"KEY": "x"}}},
 "packages": {"apt": ["jq"], "npm": ["cowsay"]}, "imageTag": "old:1",
 "additionalMounts": [{"hostPath": "/photos", "containerPath": "p", "readonly": false}],
 "skills": ["digest"], "provider": "codex", "assistantName": "Pip", "maxMessagesPerPrompt": 7}"""


@pytest.fixture(autouse=True)
def _group(conn: sqlite3.Connection) -> None:
    add_agent_group(conn)


def config(conn: sqlite3.Connection) -> ContainerConfig:
    found = container_configs.get(conn, "ag-1")
    assert found is not None
    return found


def write_file(groups: Path, text: str, folder: str = "ag-1") -> None:
    (groups / folder).mkdir(parents=True, exist_ok=True)
    (groups / folder / "container.json").write_text(text)


def test_ensured_row_has_the_defaults(conn: sqlite3.Connection) -> None:
    assert container_configs.get(conn, "ag-1") is None
    assert container_configs.ensure(conn, "ag-1", NOW)
    assert not container_configs.ensure(conn, "ag-1", LATER)
    assert container_configs.list_all(conn) == [DEFAULTS]
    row = conn.execute("SELECT * FROM container_configs").fetchone()
    assert (row["skills"], row["mcp_servers"], row["packages_apt"]) == ('"all"', "{}", "[]")


def test_every_setting_is_written_and_read_back(conn: sqlite3.Connection) -> None:
    container_configs.ensure(conn, "ag-1", NOW)
    change = ContainerConfigChange(
        provider="claude", model="m", effort="high", image_tag="i", assistant_name="Pip",
        max_messages_per_prompt=7, cli_scope=CliScope.GLOBAL, skills=("a", "b"),
        mcp_servers={"calc": McpServer(command="calc", args=("-q",))}, packages_apt=("jq",),
        packages_npm=("cowsay",), packages_pip=("rich",),
        additional_mounts=(AdditionalMount(host_path="/p", readonly=False),), memory_mb=512,
        cpus=1.5, pids_limit=64, disk_mb=100, max_containers=3, max_turn_seconds=60,
        idle_exit_seconds=0, close_after_days=3, egress_mode=EgressMode.NONE,
        egress_allow=("pypi.org",),
        credential="work", endpoint="backup", allowed_models=("claude-*",),
        taint_guard=False, script="answer: hi", agents_quota=2,
        fallback_model="f", max_cost_per_turn_usd=0.5, max_cost_per_day_usd=7.0,
        native_attachments=False, compat={"betas": False}, prices={"m": {"input": 1}},
        web_tools="off", tool_timeouts={"calc": 2.5}, disabled_tools=("web_fetch",),
    )  # fmt: skip

    assert container_configs.update(conn, "ag-1", change, LATER)

    changed = config(conn)
    assert changed.updated_at == LATER
    for field in fields(change):
        assert getattr(changed, field.name) == getattr(change, field.name), field.name


def test_change_covers_every_setting_there_is() -> None:
    settings = {field.name for field in fields(ContainerConfig)} - {"agent_group_id", "updated_at"}

    assert {field.name for field in fields(ContainerConfigChange)} == settings


def test_update_leaves_other_settings_alone(conn: sqlite3.Connection) -> None:
    container_configs.ensure(conn, "ag-1", NOW)
    container_configs.update(conn, "ag-1", ContainerConfigChange(model="m"), LATER)

    container_configs.update(conn, "ag-1", ContainerConfigChange(skills=()), LATER)

    assert config(conn) == replace(DEFAULTS, model="m", skills=(), updated_at=LATER)


def test_empty_update_keeps_the_time(conn: sqlite3.Connection) -> None:
    container_configs.ensure(conn, "ag-1", NOW)

    assert not container_configs.update(conn, "ag-1", ContainerConfigChange(), LATER)
    assert config(conn) == DEFAULTS


def test_unreadable_lists_read_as_empty(conn: sqlite3.Connection) -> None:
    container_configs.ensure(conn, "ag-1", NOW)
    conn.execute(
        "UPDATE container_configs SET skills = '{', mcp_servers = '[]', packages_npm = 'null',"
        ' packages_apt = \'[1,"jq"]\', additional_mounts = \'[{},{"hostPath":"/p"}]\','
        " cli_scope = '?'"
    )

    found = config(conn)

    assert (found.skills, found.mcp_servers, found.packages_npm) == (None, {}, ())
    assert found.packages_apt == ("jq",)
    assert found.additional_mounts == (AdditionalMount(host_path="/p"),)
    assert found.cli_scope is CliScope.GROUP


def test_configuration_goes_with_its_agent_group(conn: sqlite3.Connection) -> None:
    container_configs.ensure(conn, "ag-1", NOW)

    assert agent_groups.delete(conn, "ag-1")
    assert container_configs.list_all(conn) == []


def test_old_file_is_taken_over_once(conn: sqlite3.Connection, tmp_path: Path) -> None:
    write_file(tmp_path, OLD_FILE)

    assert backfill_container_configs(conn, tmp_path, NOW) == 1
    assert config(conn) == ContainerConfig(
        "ag-1", NOW, provider="codex", image_tag="old:1", assistant_name="Pip",
        max_messages_per_prompt=7, skills=("digest",),
        mcp_servers={"calc": McpServer(command="calc", args=("-q",), env={"KEY": "x"})},
        packages_apt=("jq",), packages_npm=("cowsay",),
        additional_mounts=(
            AdditionalMount(host_path="/photos", container_path="p", readonly=False),
        ),
    )  # fmt: skip
    write_file(tmp_path, "{}")
    assert backfill_container_configs(conn, tmp_path, LATER) == 0


def test_provider_of_the_agent_group_wins_over_the_file(
    conn: sqlite3.Connection, tmp_path: Path
) -> None:
    agent_groups.update(conn, "ag-1", AgentGroupChange(agent_provider="claude"))
    write_file(tmp_path, OLD_FILE)

    backfill_container_configs(conn, tmp_path, NOW)

    assert config(conn).provider == "claude"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a":' + "[" * 100, '{"packages": 1, "imageTag": 7, "skills": null}'],
    ids=["empty", "list", "broken", "deep", "wrong types"],
)  # fmt: skip
def test_unusable_file_leads_to_defaults(
    conn: sqlite3.Connection, tmp_path: Path, text: str
) -> None:
    write_file(tmp_path, text)

    assert backfill_container_configs(conn, tmp_path, NOW) == 1
    assert config(conn) == DEFAULTS


def test_missing_folder_leads_to_defaults(conn: sqlite3.Connection, tmp_path: Path) -> None:
    assert backfill_container_configs(conn, tmp_path / "nowhere", NOW) == 1
    assert config(conn) == DEFAULTS


def test_file_is_not_read_through_a_link_or_a_pipe(
    conn: sqlite3.Connection, tmp_path: Path
) -> None:
    add_agent_group(conn, "ag-2")
    secret = tmp_path / "secret.json"
    secret.write_text(OLD_FILE)
    for folder in ("ag-1", "ag-2"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ag-1" / "container.json").symlink_to(secret)
    os.mkfifo(tmp_path / "ag-2" / "container.json")

    assert backfill_container_configs(conn, tmp_path, NOW) == 2
    assert all(item.provider is None for item in container_configs.list_all(conn))


def test_folder_that_points_outside_is_not_read(conn: sqlite3.Connection, tmp_path: Path) -> None:
    write_file(tmp_path, OLD_FILE, "outside")
    conn.execute("UPDATE agent_groups SET folder = '../outside'")

    assert backfill_container_configs(conn, tmp_path / "groups", NOW) == 1
    assert config(conn) == DEFAULTS

"""A tool server on a real host: asked for, allowed at the terminal, and there in a new runner."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.host import Host
from helpers.terminal import Terminal
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.jsontext import dump
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_configs import ContainerConfigChange

REQUEST = {
    "tool": "mcp__nanoclaw__add_mcp_server",
    "arguments": {"name": "calc", "command": "true", "args": ["--all"], "env": {}},
}
AGENT = {
    "tool": "mcp__nanoclaw__create_agent",
    "arguments": {"name": "Helper", "instructions": "Help."},
}
RULES = [
    {"match": "Verify that its", "steps": [{"say": '<message to="terminal">verified</message>'}]},
    {"match": "is your destination", "steps": [{"say": '<message to="terminal">met</message>'}]},
    {"match": "need a calculator", "steps": [{"call": REQUEST}, {"say": "asked: {result}"}]},
    {"match": "need help", "steps": [{"call": AGENT}, {"say": "asked: {result}"}]},
]


@pytest.fixture
def config(tmp_path: Path) -> HostConfig:
    config, conn = make_home(tmp_path)
    (group,) = agent_groups.list_all(conn)
    change = ContainerConfigChange(provider="scripted", script=dump(RULES))
    container_configs.update(conn, group.id, change, utc_now())
    conn.close()
    return config


def wait_for(terminal: Terminal, predicate: Callable[[], bool], what: str) -> None:
    def look() -> bool:
        terminal.receive(0.05)
        return predicate()

    wait_until(look, within=60, what=what)


def read(conn: sqlite3.Connection, statement: str) -> object:
    row = conn.execute(statement).fetchone()
    return None if row is None else row[0]


def approve(terminal: Terminal, conn: sqlite3.Connection) -> None:
    """The owner sits at the terminal and answers the card that has come there."""
    pending = "SELECT approval_id FROM pending_approvals WHERE card_state = 'sent'"
    wait_for(terminal, lambda: read(conn, pending) is not None, "the card is at the terminal")
    terminal.send(f"approve {read(conn, pending)}")


def said(terminal: Terminal, text: str) -> Callable[[], bool]:
    return lambda: any(text in reply.text for reply in terminal.replies)


def test_approved_server_is_configured_in_a_new_runner_that_reads_the_note(
    config: HostConfig,
) -> None:
    with (
        Host(config.home) as host,
        closing(Terminal(host.paths.socket("cli"))) as terminal,
        closing(open_central(host.paths.central_db)) as conn,
    ):
        terminal.send("I need a calculator")
        approve(terminal, conn)

        wait_for(terminal, said(terminal, "verified"), "the agent verifies its new tools")
        assert read(conn, "SELECT lease_token FROM sessions") == 2
        stored = read(conn, "SELECT mcp_servers FROM container_configs")
        assert stored == '{"calc":{"command":"true","args":["--all"]}}'


def test_approved_agent_is_there_and_its_creator_knows_its_name(config: HostConfig) -> None:
    with (
        Host(config.home) as host,
        closing(Terminal(host.paths.socket("cli"))) as terminal,
        closing(open_central(host.paths.central_db)) as conn,
    ):
        terminal.send("I need help")
        approve(terminal, conn)

        wait_for(terminal, said(terminal, "met"), "the agent has met its helper")
        assert read(conn, "SELECT count(*) FROM agent_groups") == 2
        memory = host.paths.groups / "helper" / "CLAUDE.local.md"
        assert memory.read_text() == "Help.\n"

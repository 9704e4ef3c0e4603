import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from helpers.central_rows import NOW
from helpers.people import audited, grant

from nanoclaw.approvals.entitlement import read_approvers
from nanoclaw.config import HostConfig
from nanoclaw.db import agent_groups, roles
from nanoclaw.db.connection import open_memory
from nanoclaw.db.migrations import migrate
from nanoclaw.first_agent import TERMINAL_USER, ensure_first_agent, ensure_owner
from nanoclaw.model import Role

CONFIG = HostConfig(Path("/nowhere"))


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as conn:
        migrate(conn)
        yield conn


def owners(conn: sqlite3.Connection) -> list[str]:
    return [grant.user_id for grant in roles.owners(conn)]


def test_fresh_installation_has_an_agent_and_somebody_to_ask(conn: sqlite3.Connection) -> None:
    assert ensure_first_agent(conn, CONFIG, NOW)

    [group] = agent_groups.list_all(conn)
    assert read_approvers(conn, group.id) == (TERMINAL_USER,)
    assert audited(conn) == [("role.granted", "host")]


def test_second_start_changes_nothing(conn: sqlite3.Connection) -> None:
    ensure_first_agent(conn, CONFIG, NOW)

    assert not ensure_first_agent(conn, CONFIG, NOW)
    assert owners(conn) == [TERMINAL_USER]
    assert len(audited(conn)) == 1


def test_person_at_the_terminal_is_no_owner_beside_another(conn: sqlite3.Connection) -> None:
    grant(conn, "telegram:1")

    assert not ensure_owner(conn, NOW)
    ensure_first_agent(conn, CONFIG, NOW)
    assert owners(conn) == ["telegram:1"]


def test_installation_that_lost_its_last_owner_gets_the_terminal_back(
    conn: sqlite3.Connection,
) -> None:
    ensure_first_agent(conn, CONFIG, NOW)
    grant(conn, "telegram:1", Role.ADMIN)
    roles.revoke(conn, TERMINAL_USER, Role.OWNER, None)

    assert not ensure_first_agent(conn, CONFIG, NOW)
    assert owners(conn) == [TERMINAL_USER]


def test_t30_owner_grant_with_a_scope_is_refused(conn: sqlite3.Connection) -> None:
    ensure_first_agent(conn, CONFIG, NOW)
    [group] = agent_groups.list_all(conn)

    with pytest.raises(ValueError, match="not limited"):
        grant(conn, "telegram:1", Role.OWNER, group.id)


def test_t30_whether_there_is_an_owner_follows_the_grants(conn: sqlite3.Connection) -> None:
    assert not roles.has_any_owner(conn)
    grant(conn, "telegram:1", Role.ADMIN)
    assert not roles.has_any_owner(conn)
    grant(conn, "telegram:1")
    assert roles.has_any_owner(conn)
    roles.revoke(conn, "telegram:1", Role.OWNER, None)
    assert not roles.has_any_owner(conn)

"""Every database that the earlier program ever wrote comes to today with its rows unharmed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from contract.clock import parse_text, to_text
from nanoclaw.db import (
    agent_groups,
    approvals,
    chat_requests,
    container_configs,
    destinations,
    dms,
    dropped,
    members,
    messaging_groups,
    questions,
    roles,
    sender_requests,
    sessions,
    users,
    wirings,
)
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_imports import backfill_container_configs
from nanoclaw.db.migrations import MIGRATIONS, applied, migrate

NAMES = [*(f"level-{number:02}" for number in range(1, 14)), "v2-early", "v2-full"]
Unpack = Callable[[str], Path]
Golden = dict[str, dict[str, object]]
Rows = list[dict[str, object]]


def started_at(golden: Golden, name: str) -> datetime:
    moment = parse_text(golden[name]["started_at"])
    assert moment is not None
    return moment


def expected_rows(golden: Golden, name: str, table: str) -> Rows:
    after = golden[name]["after"]
    assert isinstance(after, dict)
    rows: Rows = after.get(table, [])
    return rows


def write_container_files(golden: Golden, name: str, groups: Path) -> None:
    files = golden[name]["container_files"]
    assert isinstance(files, dict)
    for folder, text in files.items():
        (groups / folder).mkdir(parents=True)
        (groups / folder / "container.json").write_text(text)


def actual_rows(conn: sqlite3.Connection, table: str, columns: list[str]) -> Rows:
    cursor = conn.execute(f"SELECT * FROM {table} ORDER BY rowid")
    return [{column: row[column] for column in columns} for row in cursor]


def without_clock(rows: Rows, second: str) -> Rows:
    """Times of the first start itself, to the second: both programs read their clock then."""
    return [
        {key: second if str(value).startswith(second) else value for key, value in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_earlier_programs_own_first_start(
    name: str, unpack: Unpack, golden: Golden, tmp_path: Path
) -> None:
    now = started_at(golden, name)
    write_container_files(golden, name, tmp_path / "groups")
    with closing(open_central(unpack(name))) as conn:
        migrate(conn, now)
        backfill_container_configs(conn, tmp_path / "groups", now)

        tables = golden[name]["after"]
        assert isinstance(tables, dict)
        second = to_text(now)[: len("2026-05-20T12:00:00")]
        for table in sorted(set(tables) - {"schema_version", "user_roles"}):
            expected = without_clock(expected_rows(golden, name, table), second)
            columns = list(expected[0]) if expected else []
            actual = without_clock(actual_rows(conn, table, columns), second)
            if table == "sessions":
                actual = [{**row, "container_status": "stopped"} for row in actual]
                expected = [{**row, "container_status": "stopped"} for row in expected]
            assert actual == expected, table


@pytest.mark.parametrize("name", NAMES)
def test_ledger_keeps_its_lines_and_gains_the_missing_ones(
    name: str, unpack: Unpack, golden: Golden
) -> None:
    with closing(open_central(unpack(name))) as conn:
        before = applied(conn)
        migrate(conn, started_at(golden, name))
        after = applied(conn)

    assert after[: len(before)] == before
    assert [line.name for line in after] == [migration.name for migration in MIGRATIONS]


@pytest.mark.parametrize("name", NAMES)
def test_migrated_database_is_sound(name: str, unpack: Unpack) -> None:
    with closing(open_central(unpack(name))) as conn:
        migrate(conn)

        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("name", NAMES)
def test_roles_are_kept_without_their_doubles(name: str, unpack: Unpack, golden: Golden) -> None:
    expected = {
        (row["user_id"], row["role"], row["agent_group_id"])
        for row in expected_rows(golden, name, "user_roles")
    }
    with closing(open_central(unpack(name))) as conn:
        migrate(conn)
        kept = [(grant.user_id, grant.role, grant.agent_group_id) for grant in roles.list_all(conn)]

    assert len(kept) == len(set(kept))
    assert set(kept) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_row_can_be_read_as_a_value(name: str, unpack: Unpack, golden: Golden) -> None:
    with closing(open_central(unpack(name))) as conn:
        migrate(conn)
        counts = {
            "agent_groups": len(agent_groups.list_all(conn)),
            "messaging_groups": len(messaging_groups.list_all(conn)),
            "messaging_group_agents": len(wirings.list_all(conn)),
            "users": len(users.list_all(conn)),
            "agent_group_members": len(members.list_all(conn)),
            "user_dms": len(dms.list_all(conn)),
            "sessions": len(sessions.list_all(conn, 1000)),
            "pending_approvals": len(approvals.list_all(conn, 1000)),
            "pending_sender_approvals": len(sender_requests.list_all(conn)),
            "pending_channel_approvals": len(chat_requests.list_all(conn)),
            "unregistered_senders": len(dropped.recent(conn, 1000)),
            "agent_destinations": sum(
                len(destinations.of_agent_group(conn, group.id))
                for group in agent_groups.list_all(conn)
            ),
            "pending_questions": sum(
                len(questions.of_session(conn, session.id))
                for session in sessions.list_all(conn, 1000)
            ),
        }

    assert counts == {table: len(expected_rows(golden, name, table)) for table in counts}


def test_database_whose_content_is_all_in_its_log_is_read_whole(unpack: Unpack) -> None:
    path = unpack("v2-full")
    assert path.stat().st_size == 4096

    with closing(open_central(path)) as conn:
        migrate(conn)
        groups = agent_groups.list_all(conn)
        configs = container_configs.list_all(conn)

    assert len(groups) == 7
    assert {config.agent_group_id for config in configs} == {group.id for group in groups}

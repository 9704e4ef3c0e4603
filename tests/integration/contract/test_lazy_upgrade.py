"""Files of older versions: opened by the host they gain our columns, and lose nothing."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.address import Address
from contract.inbound import schema as inbound_schema
from contract.inbound.reader import (
    read_delivered,
    read_destinations,
    read_pending,
    read_session_routing,
    read_tasks,
)
from contract.inbound.row import DeliveredStatus, InboundStatus, NewInbound
from contract.inbound.select import PendingQuery
from contract.inbound.writer import open_inbound
from contract.outbound import schema as outbound_schema
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
VERSIONS = ["2.0.2", "2.0.64"]
Golden = Callable[[str, str], Path]

OLDER_THAN_ANY_RELEASE = """
CREATE TABLE messages_in (
  id TEXT PRIMARY KEY, seq INTEGER UNIQUE, kind TEXT NOT NULL, timestamp TEXT NOT NULL,
  status TEXT DEFAULT 'pending', process_after TEXT, recurrence TEXT, tries INTEGER DEFAULT 0,
  platform_id TEXT, channel_type TEXT, thread_id TEXT, content TEXT NOT NULL -- JSON
);
CREATE TABLE delivered (message_out_id TEXT PRIMARY KEY, delivered_at TEXT NOT NULL);
INSERT INTO messages_in (id, seq, kind, timestamp, content)
  VALUES ('a', 2, 'chat', '2026-04-01 08:00:00', '{}');
INSERT INTO delivered VALUES ('o1', '2026-04-01 08:00:00');
"""


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    path = tmp_path / "oldest.db"
    conn = sqlite3.connect(path)
    conn.executescript(OLDER_THAN_ANY_RELEASE)
    conn.close()
    return path


def rows_of(path: Path, table: str) -> list[dict[str, object]]:
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    conn.row_factory = sqlite3.Row
    rows = [dict(row) for row in conn.execute(f"SELECT * FROM {table} ORDER BY rowid")]
    conn.close()
    return rows


def column_names(path: Path, table: str) -> set[str]:
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    names = {row[0] for row in conn.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    conn.close()
    return names


def version_of(path: Path) -> int:
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    conn.close()
    return int(version)


def todays_columns(ddl: str) -> set[str]:
    conn = sqlite3.connect(":memory:")
    table = ddl.split()[5]
    conn.execute(ddl)
    names = {row[0] for row in conn.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    conn.close()
    return names


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_inbound_file_gains_every_column_and_keeps_every_value(
    golden: Golden, version: str
) -> None:
    path = golden(version, "inbound.db")
    tables = ("messages_in", "delivered", "destinations", "session_routing")
    before = {table: rows_of(path, table) for table in tables}

    with open_inbound(path):
        pass

    assert version_of(path) == 1
    for ddl, table in zip(inbound_schema.TABLES, tables, strict=True):
        assert column_names(path, table) == todays_columns(ddl)
        for old, new in zip(before[table], rows_of(path, table), strict=True):
            assert {key: new[key] for key in old} == old


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_outbound_file_gains_every_column_and_keeps_every_value(
    golden: Golden, version: str
) -> None:
    path = golden(version, "outbound.db")
    tables = ("messages_out", "processing_ack", "session_state", "container_state")
    before = {table: rows_of(path, table) for table in tables}

    with open_outbound(path) as writer:
        highest = writer.max_seq()

    assert version_of(path) == 1
    assert highest == max(int(str(row["seq"])) for row in before["messages_out"])
    for ddl, table in zip(outbound_schema.TABLES, tables, strict=False):
        assert column_names(path, table) == todays_columns(ddl)
        for old, new in zip(before[table], rows_of(path, table), strict=True):
            assert {key: new[key] for key in old} == old
    assert rows_of(path, "usage_log") == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_second_open_changes_nothing(golden: Golden, version: str) -> None:
    inbound, outbound = golden(version, "inbound.db"), golden(version, "outbound.db")
    with open_inbound(inbound), open_outbound(outbound):
        pass
    before = inbound.read_bytes(), outbound.read_bytes()

    with open_inbound(inbound), open_outbound(outbound):
        pass

    assert (inbound.read_bytes(), outbound.read_bytes()) == before


def test_an_upgraded_file_is_written_and_read_like_a_new_one(golden: Golden) -> None:
    path = golden("2.0.2", "inbound.db")
    with open_inbound(path) as writer:
        seq = writer.insert_message(NewInbound("new", "chat", NOW, "{}", on_wake=True, hop=2))

    batch = read_pending(path, PendingQuery(NOW, limit=10, first_poll=True))

    assert seq == 10
    assert [row.id for row in batch.rows] == ["task-1777014020094-v6y7kx", "new"]
    assert batch.rows[0].series_id == "task-1776934800000-bbb001"
    assert (batch.rows[1].on_wake, batch.rows[1].hop) == (True, 2)


@pytest.mark.parametrize("upgraded", [False, True])
def test_the_runner_reads_an_old_file_alike_before_and_after_the_upgrade(
    golden: Golden, upgraded: bool
) -> None:
    early, late = golden("2.0.2", "inbound.db"), golden("2.0.64", "inbound.db")
    if upgraded:
        with open_inbound(early), open_inbound(late):
            pass

    (task,) = read_pending(early, PendingQuery(NOW, limit=10)).rows
    (chat,) = read_pending(late, PendingQuery(NOW, limit=10)).rows

    assert (task.kind, task.trigger, task.on_wake, task.hop) == ("task", True, False, 0)
    assert task.timestamp == datetime(2026, 4, 24, 7, 0, 20, tzinfo=UTC)
    assert [row.id for row in read_tasks(early)] == [
        "task-1776934800000-bbb002",
        "task-1777014020094-v6y7kx",
    ]
    assert chat.address.thread_id == "slack:C0FIXTURE01:1779302345.000100"
    assert [row.name for row in read_destinations(early)] == ["rui", "scribe"]
    assert read_session_routing(early) == Address("telegram", "telegram:5550300", None)
    marks = read_delivered(early, ["msg-1776934800000-aaa001", "msg-nobody"])
    assert {mark.message_out_id: mark.status for mark in marks} == {
        "msg-1776934800000-aaa001": DeliveredStatus.DELIVERED,
        "msg-nobody": DeliveredStatus.FAILED,
    }


def test_an_upgraded_outbound_file_takes_leases(golden: Golden) -> None:
    path = golden("2.0.2", "outbound.db")
    with open_outbound(path) as writer:
        writer.claim(["x"], 5, NOW)
        seq = writer.write_message(NewOutbound("o", "chat", NOW, "{}", hop=1), 8)
        released = writer.release_stale_claims(6)

    assert seq == 9
    assert released == ["x"]


def test_a_file_older_than_any_release_is_readable_before_the_upgrade(oldest: Path) -> None:
    (row,) = read_pending(oldest, PendingQuery(NOW, limit=10)).rows
    (mark,) = read_delivered(oldest, ["o1"])

    assert (row.trigger, row.series_id, row.status) == (True, "a", InboundStatus.PENDING)
    assert (mark.platform_message_id, mark.status) == (None, DeliveredStatus.DELIVERED)


def test_a_file_older_than_any_release_is_upgraded(oldest: Path) -> None:
    with open_inbound(oldest) as writer:
        writer.insert_message(NewInbound("b", "chat", NOW, "{}"))

    assert [row["series_id"] for row in rows_of(oldest, "messages_in")] == ["a", "b"]
    assert [row["trigger"] for row in rows_of(oldest, "messages_in")] == [1, 1]
    assert rows_of(oldest, "delivered")[0]["status"] == "delivered"


def test_an_early_state_table_gains_its_time(tmp_path: Path) -> None:
    path = tmp_path / "outbound.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE session_state (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    conn.execute("INSERT INTO session_state VALUES ('sdk_session_id', 'x')")
    conn.commit()
    conn.close()

    with open_outbound(path) as writer:
        assert writer.get_state("sdk_session_id") == "x"
        writer.set_state("k", "v", NOW)

    assert rows_of(path, "session_state")[0]["updated_at"] == ""

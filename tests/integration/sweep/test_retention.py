"""What the sweep forgets, and what it keeps (W-61)."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.tasks_room import NOW

from contract.clock import to_text
from nanoclaw import audit
from nanoclaw.audit import AuditEntry
from nanoclaw.audit_archive import verify_archives
from nanoclaw.db import dropped, effects, tasks
from nanoclaw.db.connection import transaction
from nanoclaw.db.dropped import DroppedMessage
from nanoclaw.db.effects import NewEffect
from nanoclaw.db.tasks import RunStatus, TaskRun
from nanoclaw.sweep.retention import KEPT, forget_some, move_audit

OLD = NOW - timedelta(days=400)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    _, made = make_home(tmp_path)
    yield made
    made.close()


def add_history(conn: sqlite3.Connection, number: int, *, ended: bool = True) -> None:
    """One old row of each kind."""
    name = f"n-{number}"
    effects.record(conn, NewEffect(name, "deed", "x", "", "", OLD))
    if ended:
        effects.fail(conn, name, "no", OLD)
    tasks.add_run(conn, TaskRun("s", name, "t", "g", OLD, RunStatus.COMPLETED))
    dropped.record(conn, DroppedMessage("cli", name, "nobody", OLD))


def count(conn: sqlite3.Connection) -> list[int]:
    tables = ("effects", "task_runs", "dropped_messages")
    return [conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


def test_old_history_is_forgotten_a_few_rows_at_a_time(conn: sqlite3.Connection) -> None:
    for number in range(25):
        add_history(conn, number)

    assert forget_some(conn, NOW, 10)
    assert count(conn) == [15, 15, 15]
    while forget_some(conn, NOW, 10):
        pass
    assert count(conn) == [0, 0, 0]


def test_what_is_young_or_not_over_is_kept(conn: sqlite3.Connection) -> None:
    add_history(conn, 1, ended=False)
    tasks.add_run(conn, TaskRun("s", "new", "t", "g", NOW, RunStatus.COMPLETED))

    forget_some(conn, NOW)

    assert count(conn) == [1, 1, 0]


def test_an_ended_series_goes_and_a_live_one_stays(conn: sqlite3.Connection) -> None:
    conn.execute(
        "INSERT INTO sessions (id, agent_group_id, status, created_at)"
        " SELECT 'sess-1', id, 'active', ? FROM agent_groups",
        (to_text(OLD),),
    )
    for name in ("over", "live"):
        tasks.create(conn, tasks.NewSeries("sess-1", name, "g", OLD))
    conn.execute("UPDATE task_series SET state = 'ended' WHERE series_id = 'over'")

    forget_some(conn, NOW)

    rows = conn.execute("SELECT series_id FROM task_series").fetchall()
    assert [row[0] for row in rows] == ["live"]


def test_a_host_without_history_forgets_nothing(conn: sqlite3.Connection) -> None:
    before = conn.total_changes

    assert not forget_some(conn, NOW)

    assert conn.total_changes == before


def test_every_table_is_named_once() -> None:
    tables = [kept.table for kept in KEPT]

    assert sorted(set(tables)) == sorted(tables)


def test_audit_rows_of_last_year_move_into_a_file_and_the_chain_holds(
    conn: sqlite3.Connection, tmp_path: Path
) -> None:
    first = audit.verify(conn).rows
    with transaction(conn):
        audit.record(conn, AuditEntry("test.new", "host", "x", {}), NOW)
    later = NOW + timedelta(days=800)

    assert move_audit(conn, tmp_path / "audit", later)
    assert not move_audit(conn, tmp_path / "audit", later)

    assert audit.verify(conn).rows == 0
    archived = verify_archives(conn, tmp_path / "audit")
    assert archived.first_bad is None
    assert archived.rows == first + 1


def test_broken_audit_chain_stays_where_it_is(conn: sqlite3.Connection, tmp_path: Path) -> None:
    conn.execute("DROP TRIGGER audit_no_change")
    conn.execute("UPDATE audit SET subject = 'somebody else'")

    assert not move_audit(conn, tmp_path / "audit", NOW + timedelta(days=800))

    assert audit.verify(conn).first_bad == 1

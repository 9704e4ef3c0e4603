import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from helpers.central_rows import NOW

from nanoclaw import audit
from nanoclaw.audit import MAX_DETAIL_BYTES, MAX_WORD, AuditEntry, Verified
from nanoclaw.db import audit as table
from nanoclaw.db.connection import open_memory
from nanoclaw.db.migrations import migrate


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(open_memory()) as conn:
        migrate(conn)
        yield conn


def entry(number: int = 0) -> AuditEntry:
    return AuditEntry("approval.decided", "telegram:1", f"appr-{number}", {"number": number})


def fill(conn: sqlite3.Connection, count: int) -> None:
    for number in range(count):
        audit.record(conn, entry(number), NOW + timedelta(seconds=number))


def without_triggers(conn: sqlite3.Connection) -> None:
    """What somebody does who wants to change the record."""
    for name in ("audit_no_change", "audit_no_removal"):
        conn.execute(f"DROP TRIGGER {name}")


def test_rows_are_numbered_and_build_on_each_other(conn: sqlite3.Connection) -> None:
    fill(conn, 3)

    rows = table.after(conn, 0, 10)
    assert [row.seq for row in rows] == [1, 2, 3]
    assert rows[0].previous_hash == audit.FIRST_HASH
    assert [row.previous_hash for row in rows[1:]] == [row.hash for row in rows[:-1]]
    assert audit.verify(conn) == Verified(3)


def test_empty_trail_is_in_order(conn: sqlite3.Connection) -> None:
    assert audit.verify(conn) == Verified(0)


@pytest.mark.parametrize(
    "column", ["at", "kind", "actor", "subject", "agent_group_id", "session_id", "detail"]
)
def test_altered_row_is_named(conn: sqlite3.Connection, column: str) -> None:
    fill(conn, 5)
    without_triggers(conn)
    conn.execute(f"UPDATE audit SET {column} = '2026-01-01T00:00:00.000Z' WHERE seq = 3")

    assert audit.verify(conn) == Verified(2, first_bad=3)


def test_row_altered_together_with_its_hash_is_named_by_the_next(conn: sqlite3.Connection) -> None:
    fill(conn, 5)
    without_triggers(conn)
    conn.execute("UPDATE audit SET actor = 'telegram:2' WHERE seq = 3")
    (row,) = table.after(conn, 2, 1)
    conn.execute("UPDATE audit SET hash = ? WHERE seq = 3", (audit.hash_of(row),))

    assert audit.verify(conn) == Verified(3, first_bad=4)


@pytest.mark.parametrize(("gone", "first_bad"), [(1, 1), (3, 3)])
def test_removed_row_is_named(conn: sqlite3.Connection, gone: int, first_bad: int) -> None:
    fill(conn, 5)
    without_triggers(conn)
    conn.execute("DELETE FROM audit WHERE seq = ?", (gone,))

    assert audit.verify(conn).first_bad == first_bad


def test_reordered_rows_are_named(conn: sqlite3.Connection) -> None:
    fill(conn, 5)
    without_triggers(conn)
    for old, new in ((2, 99), (3, 2), (99, 3)):
        conn.execute("UPDATE audit SET seq = ? WHERE seq = ?", (new, old))

    assert audit.verify(conn) == Verified(1, first_bad=2)


def test_inserted_row_is_named(conn: sqlite3.Connection) -> None:
    fill(conn, 2)
    forged = table.AuditRow(3, NOW, "k", "a", "s", "{}", "0" * 64, "f" * 64)
    table.append(conn, forged)

    assert audit.verify(conn) == Verified(2, first_bad=3)


def test_neighbouring_values_cannot_be_exchanged(conn: sqlite3.Connection) -> None:
    one = table.AuditRow(1, NOW, "ab", "c", "s", "{}", "0" * 64, "")
    other = table.AuditRow(1, NOW, "a", "bc", "s", "{}", "0" * 64, "")

    assert audit.hash_of(one) != audit.hash_of(other)


def test_long_detail_leaves_its_hash(conn: sqlite3.Connection) -> None:
    audit.record(conn, AuditEntry("k", "a", "s", {"text": "x" * MAX_DETAIL_BYTES}), NOW)

    (row,) = table.after(conn, 0, 1)
    assert row.detail.startswith('{"omitted":"too long","sha256":"')
    assert audit.verify(conn) == Verified(1)


def test_long_words_are_cut(conn: sqlite3.Connection) -> None:
    audit.record(conn, AuditEntry("k" * 9999, "a" * 9999, "s" * 9999, {}), NOW)

    (row,) = table.after(conn, 0, 1)
    assert {len(row.kind), len(row.actor), len(row.subject)} == {MAX_WORD}


def test_table_refuses_changes(conn: sqlite3.Connection) -> None:
    fill(conn, 1)

    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        conn.execute("UPDATE audit SET actor = 'x'")
    with pytest.raises(sqlite3.IntegrityError, match="only through an archive"):
        conn.execute("DELETE FROM audit")

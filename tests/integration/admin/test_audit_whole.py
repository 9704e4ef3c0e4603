"""``ncl audit verify`` over archives and table together, and rows that are missing at the end."""

from datetime import timedelta
from pathlib import Path

import pytest
from helpers.admin_desk import NOW, AdminDesk

from contract.clock import utc_now
from contract.jsontext import parse_object
from nanoclaw import audit, audit_head
from nanoclaw.admin.frames import Failure, Success
from nanoclaw.audit import AuditEntry
from nanoclaw.audit_archive import archive
from nanoclaw.db.connection import transaction
from nanoclaw.sweep.retention import keep_head


def record(desk: AdminDesk, count: int) -> None:
    with transaction(desk.conn):
        for number in range(count):
            entry = AuditEntry("egress.allow", "agent:ag-1", f"h{number}.example.com:443", {})
            audit.record(desk.conn, entry, NOW)


def rotate(desk: AdminDesk) -> Path:
    file = archive(desk.conn, desk.config.paths.audit, utc_now() + timedelta(days=1))
    assert file is not None
    return file


def without_triggers(desk: AdminDesk) -> None:
    """What somebody does who wants to change the record."""
    for name in ("audit_no_change", "audit_no_removal"):
        desk.conn.execute(f"DROP TRIGGER {name}")


def complaint(desk: AdminDesk) -> str:
    answer = desk.ask("audit verify")
    assert isinstance(answer, Failure), answer
    return answer.message


def keep(desk: AdminDesk) -> None:
    keep_head(desk.conn, desk.config.paths.audit, utc_now())


def newest(desk: AdminDesk) -> int:
    return int(desk.conn.execute("SELECT max(seq) FROM audit").fetchone()[0])


def test_a_chain_over_two_archives_and_the_table_is_found_good(desk: AdminDesk) -> None:
    record(desk, 3)
    rotate(desk)
    record(desk, 3)
    rotate(desk)
    record(desk, 2)
    keep(desk)

    answer = desk.ask("audit verify")

    assert isinstance(answer, Success), answer
    assert answer.data == {"ok": True, "rows": newest(desk)}


def test_an_altered_line_of_an_archive_is_named(desk: AdminDesk) -> None:
    record(desk, 4)
    file = rotate(desk)
    record(desk, 2)
    lines = file.read_text().splitlines(keepends=True)
    value = parse_object(lines[1], max_bytes=10_000)
    lines[1] = lines[1].replace(str(value["subject"]), "other.example.com:443")
    file.write_text("".join(lines))

    assert f"row {value['seq']} was altered" in complaint(desk)


def test_a_line_that_is_missing_at_the_end_of_an_archive_is_named(desk: AdminDesk) -> None:
    record(desk, 4)
    file = rotate(desk)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))

    assert f"row {len(lines)} was altered or is missing" in complaint(desk)


def test_a_row_that_is_missing_in_the_middle_is_named(desk: AdminDesk) -> None:
    record(desk, 5)
    without_triggers(desk)
    gone = newest(desk) - 2
    desk.conn.execute("DELETE FROM audit WHERE seq = ?", (gone,))

    assert f"row {gone} was altered or is missing" in complaint(desk)


@pytest.mark.parametrize("rotated", [False, True], ids=["table", "after-a-rotation"])
def test_rows_that_are_missing_at_the_end_are_noticed(desk: AdminDesk, rotated: bool) -> None:
    record(desk, 5)
    if rotated:
        rotate(desk)
        record(desk, 2)
    keep(desk)
    without_triggers(desk)
    gone = newest(desk) - 1
    desk.conn.execute("DELETE FROM audit WHERE seq >= ?", (gone,))

    assert f"row {gone} was altered or is missing" in complaint(desk)


def test_an_end_that_was_written_anew_is_noticed(desk: AdminDesk) -> None:
    record(desk, 3)
    keep(desk)
    without_triggers(desk)
    last = newest(desk)
    desk.conn.execute("DELETE FROM audit WHERE seq = ?", (last,))
    with transaction(desk.conn):
        audit.record(desk.conn, AuditEntry("egress.deny", "agent:ag-1", "x:443", {}), NOW)
    record(desk, 4)

    assert audit.verify(desk.conn).first_bad is None, "the chain itself is whole"
    assert f"row {last} was altered" in complaint(desk)


def test_what_was_kept_is_not_overwritten_by_less(
    desk: AdminDesk, caplog: pytest.LogCaptureFixture
) -> None:
    record(desk, 3)
    keep(desk)
    kept = (desk.config.paths.audit / audit_head.FILE_NAME).read_bytes()
    without_triggers(desk)
    desk.conn.execute("DELETE FROM audit WHERE seq = ?", (newest(desk),))

    keep(desk)

    assert (desk.config.paths.audit / audit_head.FILE_NAME).read_bytes() == kept
    assert "the audit has lost rows" in caplog.text


def test_a_head_that_cannot_be_read_says_nothing(desk: AdminDesk) -> None:
    record(desk, 1)
    keep(desk)
    (desk.config.paths.audit / audit_head.FILE_NAME).write_text("{")

    assert isinstance(desk.ask("audit verify"), Success)


def test_everything_in_archives_is_still_a_head(desk: AdminDesk) -> None:
    record(desk, 2)
    keep(desk)
    rotate(desk)

    keep(desk)

    assert isinstance(desk.ask("audit verify"), Success)

"""The snapshot against live and dying writers in other processes."""

import fcntl
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers.waiting import wait_until

from contract.errors import RefusalReason, SessionFileBusy, SnapshotBusy, SnapshotRefused
from contract.inbound.reader import read_max_seq
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound import locks
from contract.outbound.row import NewOutbound
from contract.outbound.snapshot import read_snapshot, repair_private_copy
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
Hold = Callable[..., "subprocess.Popen[str]"]

INSERT = (
    "INSERT INTO messages_out (id, seq, timestamp, kind, content)"
    " VALUES ('half', 99, '2026-11-21', 'chat', '{}')"
)
SPILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    " INSERT INTO messages_out (id, seq, timestamp, kind, content)"
    " SELECT 'half' || i, 2 * i + 101, '2026-11-21', 'chat', hex(randomblob(1000)) FROM n"
)


@pytest.fixture
def written(outbound: Path) -> Path:
    """An ``outbound.db`` with one message."""
    with open_outbound(outbound) as writer:
        writer.write_message(NewOutbound("old", "chat", NOW, "{}"), 0)
    return outbound


def message_ids(out_fd: int) -> list[str]:
    with read_snapshot(out_fd) as snapshot:
        return [row.id for row in snapshot.messages(0, 1000)]


def kill(holder: "subprocess.Popen[str]") -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()


def test_a_writer_in_mid_transaction_hides_nothing_and_shows_nothing_new(
    written: Path, out_fd: int, hold: Hold
) -> None:
    hold(written, "BEGIN IMMEDIATE", INSERT, "ready")

    assert Path(f"{written}-journal").stat().st_size > 0
    assert message_ids(out_fd) == ["old"]


@pytest.mark.parametrize(
    "statements",
    [["BEGIN EXCLUSIVE"], ["BEGIN IMMEDIATE", SPILL]],
    ids=["asked for", "cache full"],
)
def test_a_writer_that_holds_the_file_is_not_waited_for(
    written: Path, out_fd: int, hold: Hold, statements: list[str]
) -> None:
    hold(written, *statements, "ready")

    with pytest.raises(SnapshotBusy):
        read_snapshot(out_fd)


def test_a_lock_on_the_pages_alone_is_respected(written: Path, out_fd: int) -> None:
    with written.open("rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0x40000002 + 200)

        with pytest.raises(SnapshotBusy, match="committing"):
            read_snapshot(out_fd)


def test_a_writer_that_waits_for_its_readers_goes_first(
    written: Path, out_fd: int, hold: Hold
) -> None:
    hold(written, "BEGIN", "SELECT * FROM messages_out", "ready")
    hold(written, "BEGIN IMMEDIATE", INSERT, "ready", "COMMIT")

    def is_refused_for_the_waiting_writer() -> bool:
        try:
            read_snapshot(out_fd).close()
        except SnapshotBusy as busy:
            return "waits for its readers" in str(busy)
        return False

    wait_until(is_refused_for_the_waiting_writer)


def test_a_reader_disturbs_nobody_and_is_not_disturbed(
    written: Path, out_fd: int, hold: Hold
) -> None:
    hold(written, "BEGIN", "SELECT * FROM messages_out", "ready")

    assert message_ids(out_fd) == ["old"]


def test_the_snapshot_gives_its_lock_back(written: Path, out_fd: int) -> None:
    read_snapshot(out_fd).close()

    with open_outbound(written, busy_ms=1) as writer:
        writer.write_message(NewOutbound("new", "chat", NOW, "{}"), 0)


def test_a_writer_killed_before_it_touched_the_file_is_no_obstacle(
    written: Path, out_fd: int, hold: Hold, tmp_path: Path
) -> None:
    kill(hold(written, "BEGIN IMMEDIATE", INSERT, "ready"))

    assert Path(f"{written}-journal").exists()
    assert message_ids(out_fd) == ["old"]
    with repair_private_copy(out_fd, tmp_path) as snapshot:
        assert [row.id for row in snapshot.messages(0, 10)] == ["old"]


def test_a_writer_killed_late_leaves_a_file_that_waits_for_a_runner(
    written: Path, out_fd: int, hold: Hold
) -> None:
    kill(hold(written, "BEGIN IMMEDIATE", SPILL, "ready"))

    with pytest.raises(SnapshotRefused) as caught:
        read_snapshot(out_fd)
    assert caught.value.reason is RefusalReason.HOT_JOURNAL


def test_a_writer_killed_late_is_undone_in_a_private_copy_only(
    written: Path, out_fd: int, hold: Hold, tmp_path: Path
) -> None:
    kill(hold(written, "BEGIN IMMEDIATE", SPILL, "ready"))
    torn = written.read_bytes(), Path(f"{written}-journal").read_bytes()

    with repair_private_copy(out_fd, tmp_path) as snapshot:
        assert [row.id for row in snapshot.messages(0, 1000)] == ["old"]

    assert (written.read_bytes(), Path(f"{written}-journal").read_bytes()) == torn
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_next_runner_undoes_what_a_killed_one_began(
    written: Path, out_fd: int, hold: Hold
) -> None:
    kill(hold(written, "BEGIN IMMEDIATE", SPILL, "ready"))

    with open_outbound(written) as writer:
        assert writer.message_ids() == ("old",)

    assert message_ids(out_fd) == ["old"]
    assert not Path(f"{written}-journal").exists()


def test_a_repair_waits_for_no_writer_either(
    written: Path, out_fd: int, hold: Hold, tmp_path: Path
) -> None:
    hold(written, "BEGIN EXCLUSIVE", "ready")

    with pytest.raises(SnapshotBusy):
        repair_private_copy(out_fd, tmp_path)


def test_a_host_killed_in_mid_transaction_is_passing_trouble_for_the_runner(
    inbound: Path, hold: Hold
) -> None:
    with open_inbound(inbound) as writer:
        writer.insert_message(NewInbound("a", "chat", NOW, "{}"))
    kill(hold(inbound, "BEGIN IMMEDIATE", SPILL.replace("messages_out", "messages_in"), "ready"))

    with pytest.raises(SessionFileBusy, match="SQLITE_READONLY_ROLLBACK"):
        read_max_seq(inbound)
    with open_inbound(inbound) as writer:
        assert writer.max_seq() == 2
    assert read_max_seq(inbound) == 2


def test_ordinary_locks_see_the_same_as_those_of_the_open_file(written: Path, hold: Hold) -> None:
    span = (0x40000002, 510)
    with written.open("rb") as file:
        fd = file.fileno()
        assert not locks.is_reserved_posix(fd)
        assert not locks.is_reserved_ofd(fd)
        assert locks.take_posix(fd, *span)
        locks.drop_posix(fd, *span)

        hold(written, "BEGIN IMMEDIATE", INSERT, "ready")
        assert locks.is_reserved_posix(fd)
        assert locks.is_reserved_ofd(fd)

        assert locks.take_posix(fd, *span)
        locks.drop_posix(fd, *span)
        assert locks.take_ofd(fd, *span)
        locks.drop_ofd(fd, *span)


def test_ordinary_locks_give_way_to_a_writer_that_holds_the_file(written: Path, hold: Hold) -> None:
    hold(written, "BEGIN EXCLUSIVE", "ready")

    with written.open("rb") as file:
        assert not locks.take_posix(file.fileno(), 0x40000002, 510)
        assert not locks.take_ofd(file.fileno(), 0x40000002, 510)


def test_locking_what_cannot_be_locked_is_an_error(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError, match="Bad file descriptor"):
        locks.take_ofd(fd, 0, 1)
    os.close(fd)


def test_closing_another_handle_of_the_file_does_not_drop_the_lock(written: Path) -> None:
    with written.open("rb") as file, locks.shared_lock(file.fileno()):
        written.open("rb").close()

        with pytest.raises(SessionFileBusy), open_outbound(written, busy_ms=1) as writer:
            writer.complete(["m2"], NOW)


def test_a_live_journal_whose_writer_gives_up_is_not_hot(
    written: Path, out_fd: int, hold: Hold
) -> None:
    hold(written, "BEGIN IMMEDIATE", INSERT, "ROLLBACK", "ready")

    assert message_ids(out_fd) == ["old"]


def test_sqlite_agrees_that_the_file_is_hot(written: Path, hold: Hold) -> None:
    """Keeps our idea of a hot journal honest: SQLite's read-only open refuses the same file."""
    kill(hold(written, "BEGIN IMMEDIATE", SPILL, "ready"))
    conn = sqlite3.connect(f"file:{written}?mode=ro", uri=True)

    with pytest.raises(sqlite3.OperationalError) as caught:
        conn.execute("SELECT count(*) FROM messages_out")
    conn.close()

    assert caught.value.sqlite_errorname == "SQLITE_READONLY_ROLLBACK"

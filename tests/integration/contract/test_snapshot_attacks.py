"""What a hostile agent can put where ``outbound.db`` should be. Each attack is a real file."""

import os
import random
import signal
import socket
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pytest
from helpers.waiting import wait_until

from contract.errors import RefusalReason, SnapshotBusy, SnapshotMissing, SnapshotRefused
from contract.outbound.row import NewOutbound
from contract.outbound.snapshot import (
    OutboundSnapshot,
    change_token,
    read_snapshot,
    repair_private_copy,
)
from contract.outbound.writer import open_outbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
ENDLESS_VIEW = """
CREATE VIEW messages_out AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n)
SELECT seq, 'm' || seq AS id, 'chat' AS kind, '' AS timestamp, '{}' AS content FROM n
"""


@contextmanager
def no_blocking() -> Iterator[None]:
    """Turns a read that blocks into a failure instead of a test run that never ends."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise AssertionError("blocked")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refusal(out_fd: int, **limits: int) -> RefusalReason:
    with pytest.raises(SnapshotRefused) as caught, no_blocking():
        ask_everything(read_snapshot(out_fd, **limits))
    return caught.value.reason


def ask_everything(snapshot: OutboundSnapshot) -> OutboundSnapshot:
    with snapshot:
        snapshot.messages(0, 1000)
        snapshot.acks()
        snapshot.container_state()
        assert snapshot.max_seq >= 0
    return snapshot


def honest(path: Path, *, content: str = '{"text":"hi"}', count: int = 3) -> None:
    with open_outbound(path) as writer:
        for number in range(count):
            writer.write_message(NewOutbound(f"m{number}", "chat", NOW, content), 0)
        writer.claim(["in"], 1, NOW)
        writer.set_tool_in_flight("Bash", None, NOW)


def hostile(path: Path, *statements: str) -> None:
    conn = sqlite3.connect(path)
    for statement in statements:
        conn.execute(statement)
    conn.commit()
    conn.close()


# --- what the name may not be ---------------------------------------------------------------------


def test_a_link_is_not_followed(outbound: Path, out_fd: int, tmp_path: Path) -> None:
    honest(tmp_path / "victim.db")
    outbound.symlink_to(tmp_path / "victim.db")

    assert refusal(out_fd) is RefusalReason.NOT_REGULAR


def test_a_dangling_link_creates_nothing(outbound: Path, out_fd: int, tmp_path: Path) -> None:
    outbound.symlink_to(tmp_path / "victim.db")

    assert refusal(out_fd) is RefusalReason.NOT_REGULAR
    assert not (tmp_path / "victim.db").exists()


def test_a_second_name_of_another_file_is_refused(
    outbound: Path, out_fd: int, tmp_path: Path
) -> None:
    honest(tmp_path / "victim.db")
    outbound.hardlink_to(tmp_path / "victim.db")

    assert refusal(out_fd) is RefusalReason.LINKED


def test_a_named_pipe_blocks_nobody(outbound: Path, out_fd: int) -> None:
    os.mkfifo(outbound)

    assert refusal(out_fd) is RefusalReason.NOT_REGULAR
    with no_blocking():
        assert change_token(out_fd) is not None


def test_a_folder_is_refused(outbound: Path, out_fd: int) -> None:
    outbound.mkdir()

    assert refusal(out_fd) is RefusalReason.NOT_REGULAR


def test_a_socket_is_refused(outbound: Path, out_fd: int) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(outbound))

        assert refusal(out_fd) is RefusalReason.NOT_REGULAR


def test_a_folder_handle_that_is_none_is_refused(outbound: Path) -> None:
    honest(outbound)
    with outbound.open("rb") as no_folder:
        assert refusal(no_folder.fileno()) is RefusalReason.UNREADABLE
        assert change_token(no_folder.fileno()) is None


def test_a_sparse_giant_is_refused_before_it_is_read(outbound: Path, out_fd: int) -> None:
    honest(outbound)
    os.truncate(outbound, 2**40)

    assert refusal(out_fd) is RefusalReason.TOO_LARGE


def test_the_size_limit_is_the_callers(outbound: Path, out_fd: int) -> None:
    honest(outbound)

    assert refusal(out_fd, max_bytes=outbound.stat().st_size - 1) is RefusalReason.TOO_LARGE
    ask_everything(read_snapshot(out_fd, max_bytes=outbound.stat().st_size))


def test_the_token_of_a_link_is_that_of_the_link(
    outbound: Path, out_fd: int, tmp_path: Path
) -> None:
    honest(tmp_path / "victim.db")
    outbound.symlink_to(tmp_path / "victim.db")
    token = change_token(out_fd)

    honest(tmp_path / "victim.db", count=9)

    assert token is not None
    assert token.inode == outbound.lstat().st_ino
    assert change_token(out_fd) == token


# --- journals -------------------------------------------------------------------------------------


def journal_naming(victim: Path, *, pages: int = 1) -> bytes:
    """A rollback journal without page images whose end names a super-journal."""
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 1, pages, 512, 4096)
    name = str(victim).encode()
    tail = struct.pack(">2I", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    return header.ljust(512, b"\0") + struct.pack(">I", 262145) + name + tail


def test_sqlite_itself_would_delete_the_file_that_a_journal_names(
    outbound: Path, tmp_path: Path
) -> None:
    """The reason for all this; if it fails, the attack below has lost its teeth."""
    honest(outbound)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    pages = outbound.stat().st_size // 4096
    Path(f"{outbound}-journal").write_bytes(journal_naming(victim, pages=pages))

    hostile(outbound, "SELECT count(*) FROM messages_out")

    assert not victim.exists()


def test_a_journal_that_names_another_file_harms_nothing(
    outbound: Path, out_fd: int, tmp_path: Path
) -> None:
    honest(outbound)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    Path(f"{outbound}-journal").write_bytes(journal_naming(victim))

    assert refusal(out_fd) is RefusalReason.HOT_JOURNAL
    with pytest.raises(SnapshotRefused) as caught:
        repair_private_copy(out_fd, tmp_path)

    assert caught.value.reason is RefusalReason.SUPER_JOURNAL
    assert victim.read_text() == "precious"


def test_a_journal_that_is_a_link_is_refused(outbound: Path, out_fd: int, tmp_path: Path) -> None:
    honest(outbound)
    Path(f"{outbound}-journal").symlink_to("/etc/passwd")

    assert refusal(out_fd) is RefusalReason.NOT_REGULAR
    with pytest.raises(SnapshotRefused) as caught:
        repair_private_copy(out_fd, tmp_path)
    assert caught.value.reason is RefusalReason.NOT_REGULAR


def test_a_journal_that_is_too_large_is_not_copied(
    outbound: Path, out_fd: int, tmp_path: Path
) -> None:
    honest(outbound)
    with Path(f"{outbound}-journal").open("wb") as journal:
        journal.truncate(2**40)

    with pytest.raises(SnapshotRefused) as caught:
        repair_private_copy(out_fd, tmp_path)
    assert caught.value.reason is RefusalReason.TOO_LARGE


@pytest.mark.parametrize("journal", [b"", b"\0" * 512])
def test_a_journal_that_sqlite_ignores_means_nothing(
    outbound: Path, out_fd: int, journal: bytes
) -> None:
    honest(outbound)
    Path(f"{outbound}-journal").write_bytes(journal)

    assert ask_everything(read_snapshot(out_fd)).skipped == 0


@pytest.mark.parametrize(
    "journal",
    [
        b"nonsense" * 100,
        journal_naming(Path("/x"))[:512],
        journal_naming(Path("/x"), pages=2**31)[:512],
    ],
    ids=["text", "cuts the file to a page", "stretches the file to terabytes"],
)
def test_a_journal_of_nonsense_is_repaired_or_refused_but_never_raises(
    outbound: Path, out_fd: int, tmp_path: Path, journal: bytes
) -> None:
    honest(outbound)
    Path(f"{outbound}-journal").write_bytes(journal)

    assert refusal(out_fd) is RefusalReason.HOT_JOURNAL
    with suppress(SnapshotRefused):
        ask_everything(repair_private_copy(out_fd, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_wal_file_and_its_companions_are_not_opened(outbound: Path, out_fd: int) -> None:
    honest(outbound)
    hostile(outbound, "PRAGMA journal_mode=WAL")
    for companion in ("-wal", "-shm"):
        os.mkfifo(f"{outbound}{companion}")

    assert outbound.read_bytes()[18:20] == b"\2\2"
    with no_blocking():
        snapshot = ask_everything(read_snapshot(out_fd))
    assert snapshot.skipped == 0


def test_a_journal_that_comes_and_goes_is_looked_at_again_later(
    outbound: Path, out_fd: int, churn: Callable[..., None]
) -> None:
    honest(outbound)
    journal = f"{outbound}-journal"
    churn(f"open({journal!r}, 'wb').write(b'x' * 600)", f"os.unlink({journal!r})")

    def is_busy() -> bool:
        try:
            read_snapshot(out_fd).close()
        except (SnapshotBusy, SnapshotRefused) as error:
            return isinstance(error, SnapshotBusy)
        return False

    wait_until(is_busy)


def test_a_file_that_shrinks_under_the_reader_is_refused(
    outbound: Path, out_fd: int, churn: Callable[..., None]
) -> None:
    honest(outbound)
    churn(f"os.truncate({str(outbound)!r}, 2**25)", f"os.truncate({str(outbound)!r}, 0)")

    def is_refused() -> bool:
        try:
            read_snapshot(out_fd).close()
        except SnapshotRefused as error:
            return "shrank" in error.detail
        return False

    wait_until(is_refused)


# --- what the schema may not hold -----------------------------------------------------------------

MESSAGES = "CREATE TABLE messages_out (id TEXT, seq INTEGER, kind TEXT, timestamp TEXT, content)"
INSERT = "INSERT INTO messages_out (id, seq, kind, timestamp, content) VALUES "


@pytest.mark.parametrize(
    "statements",
    [
        [ENDLESS_VIEW],
        [MESSAGES, "CREATE VIEW other AS SELECT 1"],
        [MESSAGES, "CREATE TRIGGER t AFTER INSERT ON messages_out BEGIN SELECT 1; END"],
        ["CREATE VIRTUAL TABLE messages_out USING fts5(id, seq, kind, timestamp, content)"],
        [MESSAGES, "CREATE VIRTUAL TABLE other USING rtree(id, a, b)"],
        [
            "CREATE TABLE messages_out (seq INTEGER, id TEXT AS ('m' || seq), kind TEXT,"
            " content TEXT AS (hex(zeroblob(1000000))) STORED)"
        ],
        [
            "CREATE TABLE processing_ack (message_id TEXT,"
            " status TEXT AS (printf('%.*c', 1000000, 'x')))"
        ],
        [f"CREATE TABLE t{number} (a)" for number in range(80)],
    ],
    ids=[
        "endless view",
        "other view",
        "trigger",
        "full-text table",
        "other virtual table",
        "generated and stored",
        "generated",
        "many tables",
    ],
)
def test_a_schema_that_no_runner_makes_is_refused(
    outbound: Path, out_fd: int, statements: list[str]
) -> None:
    hostile(outbound, *statements)

    assert refusal(out_fd) is RefusalReason.BAD_SCHEMA


@pytest.mark.parametrize("root_page", [0, 1, 2, 3])
def test_a_view_that_calls_itself_a_table_is_refused(
    outbound: Path, out_fd: int, root_page: int
) -> None:
    hostile(
        outbound,
        "CREATE TABLE other (a)",
        ENDLESS_VIEW,
        "PRAGMA writable_schema=ON",
        f"UPDATE sqlite_master SET type='table', rootpage={root_page} WHERE name='messages_out'",
    )

    assert refusal(out_fd) in (RefusalReason.BAD_SCHEMA, RefusalReason.CORRUPT)


@pytest.mark.parametrize("words", ["CREATE VIRTUAL TABLE", "create/**/virtual table"])
def test_a_virtual_table_that_claims_to_have_pages_is_refused(
    outbound: Path, out_fd: int, words: str
) -> None:
    hostile(
        outbound,
        MESSAGES,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_master SET sql ="
        f" '{words} messages_out USING fts5(id, seq, kind, timestamp, content)'",
    )

    assert refusal(out_fd) is RefusalReason.BAD_SCHEMA


def test_a_schema_whose_text_is_broken_is_refused(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound,
        MESSAGES,
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_master SET sql = 'CREATE TABLE messages_out ('",
    )

    assert refusal(out_fd) is RefusalReason.CORRUPT


def test_a_table_of_a_thousand_columns_is_refused(outbound: Path, out_fd: int) -> None:
    columns = ", ".join(f"c{number}" for number in range(1000))
    hostile(outbound, f"CREATE TABLE messages_out ({columns})")

    assert refusal(out_fd) in (RefusalReason.CORRUPT, RefusalReason.TOO_LARGE)


def test_a_table_in_other_letters_is_not_our_table(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound, MESSAGES.replace("messages_out", "MESSAGES_OUT"), INSERT + "('m',1,'c','','x')"
    )

    with read_snapshot(out_fd) as snapshot:
        assert snapshot.messages(0, 10) == []


def test_a_table_without_rowid_is_read_like_any_other(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound,
        "CREATE TABLE messages_out (id TEXT PRIMARY KEY, seq INTEGER, kind TEXT, content TEXT)"
        " WITHOUT ROWID",
        "INSERT INTO messages_out VALUES ('m1', 1, 'chat', '{}')",
    )

    with read_snapshot(out_fd) as snapshot:
        assert [row.id for row in snapshot.messages(0, 10)] == ["m1"]


def test_a_table_without_our_columns_has_no_messages(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound, "CREATE TABLE messages_out (seq INTEGER)", "INSERT INTO messages_out VALUES (1)"
    )

    with read_snapshot(out_fd) as snapshot:
        assert snapshot.messages(0, 10) == []
        assert snapshot.skipped == 1


def test_a_table_without_numbers_is_refused(outbound: Path, out_fd: int) -> None:
    hostile(outbound, "CREATE TABLE messages_out (id TEXT)")

    assert refusal(out_fd) is RefusalReason.CORRUPT


def test_a_newer_contract_is_refused_with_both_numbers(outbound: Path, out_fd: int) -> None:
    honest(outbound)
    hostile(outbound, "PRAGMA user_version = 7")

    with pytest.raises(SnapshotRefused, match=r"version 7.*up to 1") as caught:
        read_snapshot(out_fd)
    assert caught.value.reason is RefusalReason.NEWER_VERSION


# --- what the rows may not hold -------------------------------------------------------------------


def test_rows_of_wrong_types_are_left_out_and_counted(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound,
        MESSAGES,
        INSERT + "('m1', 1, 'chat', 'never', '{}')",
        INSERT + "(x'00ff', 2, 'chat', '', '{}')",
        INSERT + "('m3', 3, 'chat', '', 5)",
        INSERT + "('m4', 'four', 'chat', '', '{}')",
        INSERT + "(NULL, 5, 'chat', '', '{}')",
        INSERT + "('m6', 9223372036854775807, 'chat', '', '{}')",
        INSERT + "('m7', 7, 'chat', '', '{}')",
        "CREATE TABLE processing_ack (message_id, status)",
        "INSERT INTO processing_ack VALUES ('a', 'dancing'), ('b', 'failed'), (5, 'failed')",
        "CREATE TABLE container_state (id, current_tool)",
        "INSERT INTO container_state VALUES (1, 5)",
    )

    with read_snapshot(out_fd) as snapshot:
        assert [row.id for row in snapshot.messages(0, 10)] == ["m1", "m7"]
        assert snapshot.skipped == 5
        assert [claim.message_id for claim in snapshot.acks()] == ["b"]
        assert snapshot.container_state() is None
        assert snapshot.max_seq == 0


def test_bad_rows_do_not_hide_good_ones_behind_them(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound,
        MESSAGES,
        *(f"{INSERT} (NULL, {number}, 'chat', '', '{{}}')" for number in range(1, 50)),
        INSERT + "('good', 50, 'chat', '', '{}')",
    )

    with read_snapshot(out_fd) as snapshot:
        assert [row.id for row in snapshot.messages(0, 2)] == ["good"]


def test_a_large_row_comes_without_its_content(outbound: Path, out_fd: int) -> None:
    honest(outbound, content="x" * 1_100_000, count=1)
    honest(outbound)

    with read_snapshot(out_fd) as snapshot:
        rows = snapshot.messages(0, 10)
    assert [row.content for row in rows if not row.content] == [""]
    assert {"m1", "m2"} < {row.id for row in rows}


def test_a_huge_row_refuses_the_file(outbound: Path, out_fd: int) -> None:
    honest(outbound, content="x" * 5_000_000, count=1)

    assert refusal(out_fd) is RefusalReason.TOO_LARGE


def test_work_without_end_is_cut_off(outbound: Path, out_fd: int) -> None:
    hostile(
        outbound,
        MESSAGES,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO messages_out SELECT 'm', 20000 - i, 'chat', '', '' FROM n",
    )

    assert refusal(out_fd, max_steps=50_000) is RefusalReason.TOO_EXPENSIVE


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 99, 100, 512, 4095])
def test_a_file_cut_short_is_refused(outbound: Path, out_fd: int, size: int) -> None:
    honest(outbound)
    os.truncate(outbound, size)

    assert refusal(out_fd) is RefusalReason.CORRUPT


def test_text_in_place_of_a_database_is_refused(outbound: Path, out_fd: int) -> None:
    outbound.write_text("all work and no play " * 500)

    assert refusal(out_fd) is RefusalReason.CORRUPT


def test_random_damage_is_survived_or_refused(outbound: Path, out_fd: int) -> None:
    honest(outbound, count=40)
    sound = outbound.read_bytes()
    dice = random.Random(20261121)
    refused = 0

    for _ in range(400):
        damaged = bytearray(sound)
        for _ in range(dice.randint(1, 40)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        outbound.write_bytes(damaged)
        try:
            ask_everything(read_snapshot(out_fd))
        except SnapshotRefused:
            refused += 1

    assert 0 < refused < 400


def test_a_repair_that_finds_no_room_can_be_tried_again(outbound: Path, out_fd: int) -> None:
    honest(outbound)

    with pytest.raises(Exception, match="no private copy") as caught:
        repair_private_copy(out_fd, outbound.parent / "none")
    assert getattr(caught.value, "retryable", False)


def test_a_repair_without_a_file_finds_nothing(out_fd: int, tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissing):
        repair_private_copy(out_fd, tmp_path)


def test_a_repair_without_a_journal_reads_the_file(
    outbound: Path, out_fd: int, tmp_path: Path, golden: Callable[[str, str], Path]
) -> None:
    golden("2.0.64", "outbound.db").rename(outbound)

    with repair_private_copy(out_fd, tmp_path) as snapshot:
        assert snapshot.max_seq == 11

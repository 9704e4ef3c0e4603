"""What the host reads of a turn: open rows with their taint, and rows by name."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from contract.address import Address
from contract.clock import utc_now
from contract.errors import SessionFileBusy, SessionFileMissing
from contract.inbound.row import AckStatus, NewInbound
from contract.inbound.turn import read_newest_trigger, read_turn
from contract.inbound.writer import create_inbound, open_inbound

NOW = utc_now()
CHAT = Address("telegram", "42", "topic")


@pytest.fixture
def inbound(tmp_path: Path) -> Path:
    path = tmp_path / "inbound.db"
    create_inbound(path)
    return path


@pytest.fixture
def receive(inbound: Path) -> Callable[..., None]:
    def write(row_id: str, address: Address = CHAT, **fields: object) -> None:
        with open_inbound(inbound) as writer:
            writer.insert_message(NewInbound(row_id, "chat", NOW, "{}", address, **fields))  # type: ignore[arg-type]

    return write


def test_open_rows_are_those_that_no_batch_has_covered(
    inbound: Path, receive: Callable[..., None]
) -> None:
    receive("done", taint="web")
    receive("open", taint="mail")
    receive("context", trigger=False, taint="unknown-sender")
    receive("later", taint="web", process_after=NOW + timedelta(days=1))
    receive("due", taint="file", process_after=NOW - timedelta(days=1))
    with open_inbound(inbound) as writer:
        writer.sync_acks({"done": AckStatus.COMPLETED})

    turn = read_turn(inbound, ["done", "gone"], NOW)

    assert {row.id: row.taint for row in turn.open} == {
        "open": "mail", "context": "unknown-sender", "due": "file",
    }  # fmt: skip
    assert [row.id for row in turn.named] == ["done"]
    assert turn.open[0].address == CHAT


def test_old_file_without_taint_still_names_its_rows(inbound: Path) -> None:
    with closing(sqlite3.connect(inbound)) as conn:
        conn.execute("DROP TABLE messages_in")
        conn.execute(
            "CREATE TABLE messages_in (id TEXT PRIMARY KEY, seq INTEGER, kind TEXT, timestamp TEXT,"
            " status TEXT, process_after TEXT, recurrence TEXT, tries INTEGER, platform_id TEXT,"
            " channel_type TEXT, thread_id TEXT, content TEXT)"
        )
        conn.execute(
            "INSERT INTO messages_in (id, seq, kind, status, content)"
            " VALUES ('m-1', 2, 'chat', 'pending', '{}')"
        )
        conn.execute("PRAGMA user_version = 0")
        conn.commit()

    turn = read_turn(inbound, ["m-1"], NOW)

    assert turn.open == ()
    assert [row.id for row in turn.named] == ["m-1"]


def test_locked_or_missing_file_is_said_at_once(inbound: Path) -> None:
    with closing(sqlite3.connect(inbound, isolation_level=None)) as conn:
        conn.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionFileBusy):
            read_turn(inbound, [], NOW)
        conn.execute("ROLLBACK")
    inbound.unlink()

    with pytest.raises(SessionFileMissing):
        read_turn(inbound, [], NOW)


def test_newest_source_is_the_last_message_of_a_person(
    inbound: Path, receive: Callable[..., None]
) -> None:
    assert read_newest_trigger(inbound) is None
    receive("one")
    receive("two", Address("telegram", "43"))
    receive("context", Address("telegram", "44"), trigger=False)
    receive("note", Address("agent", "ag-1"))

    assert read_newest_trigger(inbound) == Address("telegram", "43")

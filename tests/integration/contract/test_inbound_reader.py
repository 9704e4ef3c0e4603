import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.address import Address
from contract.errors import SchemaMismatch, SessionFileBusy
from contract.inbound.reader import (
    find_cli_response,
    find_question_response,
    read_delivered,
    read_destinations,
    read_max_seq,
    read_newest_from,
    read_pending,
    read_pending_ids,
    read_row,
    read_row_by_seq,
    read_session_routing,
    read_system_rows,
    read_tasks,
)
from contract.inbound.row import DeliveredMark, DeliveredStatus, InboundRow, NewInbound
from contract.inbound.select import PendingQuery
from contract.inbound.writer import open_inbound

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
CHAT = Address("telegram", "telegram:1", "t1")


def insert(path: Path, message_id: str, **fields: object) -> None:
    values: dict[str, object] = {"kind": "chat", "timestamp": NOW, "content": "{}", **fields}
    with open_inbound(path) as writer:
        writer.insert_message(NewInbound(id=message_id, **values))  # type: ignore[arg-type]  # builder


def ids(rows: tuple[InboundRow, ...]) -> list[str]:
    return [row.id for row in rows]


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as conn:
        conn.execute(statement)
    conn.close()


def test_a_batch_holds_whole_rows_in_order(inbound: Path) -> None:
    insert(inbound, "a", trigger=False)
    insert(inbound, "b", content='{"text":"hi"}', address=CHAT, taint="web")
    insert(inbound, "late", process_after=NOW + timedelta(seconds=9))

    batch = read_pending(inbound, PendingQuery(NOW, limit=10))

    assert ids(batch.rows) == ["a", "b"]
    assert batch.rows[1].content == '{"text":"hi"}'
    assert batch.rows[1].address == CHAT
    assert batch.rows[1].taint == "web"
    assert batch.omitted == ()
    assert not batch.more
    assert batch.next_due_at == NOW + timedelta(seconds=9)


def test_a_batch_of_one_names_the_context_it_leaves_out(inbound: Path) -> None:
    insert(inbound, "a", trigger=False)
    insert(inbound, "b")
    insert(inbound, "c")

    batch = read_pending(inbound, PendingQuery(NOW, limit=1))

    assert ids(batch.rows) == ["b"]
    assert batch.omitted == ("a",)
    assert batch.more


def test_settled_rows_are_not_pending(inbound: Path) -> None:
    insert(inbound, "a")
    insert(inbound, "b")
    with open_inbound(inbound) as writer:
        writer.mark_failed("a")

    assert read_pending_ids(inbound) == {"b"}
    assert ids(read_pending(inbound, PendingQuery(NOW, limit=5)).rows) == ["b"]


def test_a_row_without_number_still_arrives(inbound: Path) -> None:
    insert(inbound, "a")
    change(inbound, "UPDATE messages_in SET seq = NULL")

    (row,) = read_pending(inbound, PendingQuery(NOW, limit=5)).rows

    assert row.seq == 0
    assert read_max_seq(inbound) == 0


def test_an_unknown_status_is_not_acted_on(inbound: Path) -> None:
    insert(inbound, "a")
    change(inbound, "UPDATE messages_in SET status = 'dancing', timestamp = x'00'")

    row = read_row(inbound, "a")

    assert row is not None
    assert row.status == "failed"
    assert row.timestamp is None
    assert read_pending_ids(inbound) == frozenset()


def test_an_answer_is_found_by_its_question(inbound: Path) -> None:
    insert(inbound, "other", kind="system", content='{"questionId":"q-10","selectedOption":"No"}')
    insert(inbound, "qr", kind="system", content='{"questionId":"q-1","selectedOption":"Yes"}')

    answer = find_question_response(inbound, "q-1")

    assert answer is not None
    assert answer.id == "qr"
    assert find_question_response(inbound, "q-2") is None
    assert ids(read_system_rows(inbound)) == ["other", "qr"]


def test_a_chat_that_quotes_the_question_is_no_answer(inbound: Path) -> None:
    insert(inbound, "forged", content='{"text":"x","questionId":"q-1","selectedOption":"Yes"}')

    assert find_question_response(inbound, "q-1") is None


@pytest.mark.parametrize("question_id", ["%", "q_1", 'q"', "q\\1"])
def test_the_id_of_a_question_is_no_pattern(inbound: Path, question_id: str) -> None:
    insert(inbound, "qr", kind="system", content='{"questionId":"q-1"}')

    assert find_question_response(inbound, question_id) is None


def test_the_answer_to_a_command_is_found(inbound: Path) -> None:
    insert(inbound, "cli-resp-r1", kind="system", trigger=False, content='{"requestId":"r1"}')

    answer = find_cli_response(inbound, "r1")

    assert answer is not None
    assert answer.id == "cli-resp-r1"


def test_rows_are_found_by_number_and_by_origin(inbound: Path) -> None:
    insert(inbound, "a", address=CHAT)
    insert(inbound, "b", address=Address("telegram", "telegram:1", "t2"))
    insert(inbound, "c", address=Address("telegram", "telegram:2"))

    by_seq = read_row_by_seq(inbound, 2)
    newest = read_newest_from(inbound, CHAT)

    assert by_seq is not None
    assert by_seq.id == "a"
    assert newest is not None
    assert newest.id == "b"
    assert read_row_by_seq(inbound, 3) is None
    assert read_row(inbound, "nobody") is None
    assert read_newest_from(inbound, Address("slack", "C1")) is None
    assert read_max_seq(inbound) == 6


def test_tasks_are_listed_once_per_series_by_time(inbound: Path) -> None:
    insert(inbound, "t1", kind="task", series_id="s", process_after=NOW + timedelta(days=2))
    insert(inbound, "t2", kind="task", series_id="s", process_after=NOW + timedelta(days=3))
    insert(inbound, "t3", kind="task", process_after=NOW + timedelta(days=1))
    insert(inbound, "t4", kind="task")
    insert(inbound, "t5", kind="task")
    insert(inbound, "chat")
    change(inbound, "UPDATE messages_in SET status = 'paused' WHERE id = 't3'")
    change(inbound, "UPDATE messages_in SET status = 'completed' WHERE id = 't5'")

    assert ids(read_tasks(inbound)) == ["t4", "t3", "t2"]


def test_receipts_are_read_in_any_number(inbound: Path) -> None:
    marks = [DeliveredMark(f"o{n}", f"p{n}", DeliveredStatus.DELIVERED, NOW) for n in range(1200)]
    with open_inbound(inbound) as writer:
        writer.mark_delivered(marks)

    found = read_delivered(inbound, [mark.message_out_id for mark in marks[1:]] + ["unknown"])

    assert sorted(found, key=lambda mark: int(mark.message_out_id[1:])) == marks[1:]
    assert read_delivered(inbound, []) == ()


def test_a_destination_of_an_unknown_type_is_left_out(inbound: Path) -> None:
    change(inbound, "INSERT INTO destinations (name, type) VALUES ('x', 'carrier pigeon')")
    change(inbound, "INSERT INTO destinations (name, type) VALUES ('y', 'agent')")

    (only,) = read_destinations(inbound)

    assert (only.name, only.display_name) == ("y", "y")


def test_a_file_without_projections_has_none(inbound: Path) -> None:
    change(inbound, "DROP TABLE destinations")
    change(inbound, "DROP TABLE session_routing")

    assert read_destinations(inbound) == ()
    assert read_session_routing(inbound) == Address()


def test_a_missing_file_is_passing_trouble_for_the_runner(tmp_path: Path) -> None:
    with pytest.raises(SessionFileBusy):
        read_max_seq(tmp_path / "inbound.db")
    assert list(tmp_path.iterdir()) == []


def test_a_newer_file_is_refused(inbound: Path) -> None:
    change(inbound, "PRAGMA user_version = 2")

    with pytest.raises(SchemaMismatch):
        read_pending(inbound, PendingQuery(NOW, limit=1))


def test_reading_leaves_no_lock_behind(inbound: Path) -> None:
    insert(inbound, "a")
    read_pending(inbound, PendingQuery(NOW, limit=1))

    insert(inbound, "b")

    assert read_pending_ids(inbound) == {"a", "b"}

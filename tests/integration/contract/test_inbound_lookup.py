from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.address import NOWHERE, Address
from contract.errors import SessionFileBusy
from contract.inbound import lookup
from contract.inbound.row import AckStatus, NewInbound
from contract.inbound.writer import create_inbound, open_inbound
from contract.jsontext import dump

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
CHAT = Address("telegram", "77")
IN_THREAD = Address("telegram", "77", "t-1")


@pytest.fixture
def inbound(tmp_path: Path) -> Path:
    path = tmp_path / "inbound.db"
    create_inbound(path)
    return path


def insert(
    path: Path,
    message_id: str,
    *,
    kind: str = "chat",
    address: Address = CHAT,
    trigger: bool = True,
    series_id: str | None = None,
    content: object = None,
) -> None:
    new = NewInbound(
        id=message_id, kind=kind, timestamp=NOON, content=dump(content or {"text": "x"}),
        address=address, trigger=trigger, series_id=series_id,
    )  # fmt: skip
    with open_inbound(path) as writer:
        writer.insert_message(new)


def test_rows_are_read_by_id_in_the_order_of_their_numbers(inbound: Path) -> None:
    for message_id in ("a", "b", "c"):
        insert(inbound, message_id)

    rows = lookup.read_rows(inbound, ["c", "gone", "a"])

    assert [row.id for row in rows] == ["a", "c"]
    assert lookup.read_rows(inbound, []) == ()


def test_newest_rows_of_a_chat_come_first_whatever_their_thread(inbound: Path) -> None:
    insert(inbound, "a")
    insert(inbound, "b", address=IN_THREAD)
    insert(inbound, "c", address=Address("slack", "77"))

    assert [row.id for row in lookup.read_recent_from(inbound, CHAT)] == ["b", "a"]
    assert [row.id for row in lookup.read_recent_from(inbound, CHAT, limit=1)] == ["b"]
    assert lookup.read_recent_from(inbound, NOWHERE) == ()


def test_later_message_counts_only_from_that_chat_and_when_it_wants_an_answer(
    inbound: Path,
) -> None:
    insert(inbound, "before")
    insert(inbound, "elsewhere", address=Address("slack", "77"))
    insert(inbound, "context", trigger=False)
    insert(inbound, "task", kind="task")
    assert lookup.read_chat_after(inbound, CHAT, 2) is None

    insert(inbound, "after", address=IN_THREAD, kind="chat-sdk")

    found = lookup.read_chat_after(inbound, CHAT, 2)
    assert found is not None
    assert found.id == "after"


def test_answer_is_found_by_its_id_or_its_content_while_it_is_pending(inbound: Path) -> None:
    content = {"type": "cli_response", "requestId": "cli-2"}
    insert(inbound, "cli-resp-cli-1", kind="system")
    insert(inbound, "named otherwise", kind="system", content=content)
    insert(inbound, "forged", content={"requestId": "cli-3"})

    by_id = lookup.find_response(inbound, "cli-1")
    by_content = lookup.find_response(inbound, "cli-2")

    assert by_id is not None
    assert by_content is not None
    assert (by_id.id, by_content.id) == ("cli-resp-cli-1", "named otherwise")
    assert lookup.find_response(inbound, "cli-3") is None
    with open_inbound(inbound) as writer:
        writer.sync_acks({"cli-resp-cli-1": AckStatus.COMPLETED})
    assert lookup.find_response(inbound, "cli-1") is None


def test_task_is_found_by_its_series_and_by_any_occurrence(inbound: Path) -> None:
    insert(inbound, "task-1", kind="task")
    insert(inbound, "task-2", kind="task", series_id="task-1")
    insert(inbound, "no-task", series_id="task-1")

    by_series = lookup.find_task(inbound, "task-1")
    by_row = lookup.find_task(inbound, "task-2")

    assert by_series is not None
    assert by_row is not None
    assert (by_series.id, by_row.id) == ("task-2", "task-2")
    assert lookup.find_task(inbound, "no-task") is None


def test_file_that_is_not_there_is_busy(tmp_path: Path) -> None:
    with pytest.raises(SessionFileBusy):
        lookup.read_rows(tmp_path / "inbound.db", ["a"])

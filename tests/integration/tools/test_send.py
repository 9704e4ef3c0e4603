import asyncio
import os
from pathlib import Path

import pytest
from helpers.desk_session import OPS, DeskSession
from helpers.runner_process import CHAT

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.writer import open_outbound
from runner.desk import outbox

IN_THREAD = Address("telegram", "77", "t-1")
DEEP: dict[str, object] = {"title": "x"}
for _ in range(70):
    DEEP = {"children": [DEEP]}


def test_send_message_stamps_the_current_batchs_in_reply_to(session: DeskSession) -> None:
    row = session.receive("hello", CHAT)
    session.begin(row)

    result = session.call("send_message", text="hi")

    assert not result.is_error
    assert result.text == f"Message sent to the current conversation (id: {session.last.seq})."
    assert session.last.address == CHAT
    assert session.last.in_reply_to == row.id
    assert session.content() == {"text": "hi"}


def test_send_message_without_a_batch_answers_nothing(session: DeskSession) -> None:
    session.call("send_message", text="hi", to="ops")

    assert session.last.in_reply_to is None
    assert session.last.address == OPS.address


def test_message_goes_to_the_chat_being_answered_and_not_to_the_sessions_own(
    session: DeskSession,
) -> None:
    session.begin(session.receive("hello", IN_THREAD))

    session.call("send_message", text="hi")

    assert session.last.address == IN_THREAD


def test_batch_from_nowhere_known_falls_back_to_the_sessions_chat(session: DeskSession) -> None:
    session.begin(session.receive("note", Address("agent", "ag-1")))

    session.call("send_message", text="hi")

    assert session.last.address == CHAT


def test_named_chat_is_answered_in_its_newest_thread_that_the_agent_knows(
    session: DeskSession,
) -> None:
    known = session.receive("first", IN_THREAD)
    session.begin(known)
    session.begin(session.receive("elsewhere", CHAT))
    session.receive("not yet seen", Address("telegram", "77", "t-2"))

    session.call("send_message", text="hi", to="Family ")

    assert session.last.address == IN_THREAD
    assert session.last.in_reply_to == known.id


def test_message_to_an_agent_goes_to_its_group(session: DeskSession) -> None:
    session.call("send_message", text="hi", to="helper")

    assert session.last.address == Address("agent", "ag-2")


def test_message_carries_taint_and_chain_of_the_batch(session: DeskSession) -> None:
    session.insert(
        NewInbound(id="m-t", kind="chat", timestamp=utc_now(), content='{"text":"x"}',
                   address=Address("agent", "ag-2"), taint="web", chain_id="c-1", hop=2)
    )  # fmt: skip
    row = session.session.inbound_row("m-t")
    assert row is not None
    session.begin(row)

    session.call("send_message", text="hi", to="helper")
    session.call("send_message", text="hi", to="family")

    to_helper, to_family = session.rows[-2:]
    assert (to_helper.taint, to_helper.chain_id, to_helper.hop) == ("web", "c-1", 2)
    assert (to_family.taint, to_family.chain_id, to_family.hop) == ("web", None, 0)


def test_message_from_another_process_carries_what_the_turn_has_seen(session: DeskSession) -> None:
    row = session.receive("look", CHAT)
    session.begin(row)

    for words in (frozenset({"web", "file"}), frozenset[str]()):
        asyncio.run(session.desk.publish_taint(words))
        session.call("send_message", text="hi")

    assert [row.taint for row in session.rows] == ["file,web", None]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'text' is required"),
        ({"text": ""}, "'text' is required"),
        ({"text": "  \n"}, "'text' is required"),
        ({"text": 5}, "'text' must be a text"),
        ({"text": "hi", "to": "nobody"}, "unknown destination 'nobody'; known are: family, help"),
        ({"text": "hi", "to": ["ops"]}, "'to' must be a text"),
        ({"text": "x" * 300_000}, "at most 262144"),
    ],
)
def test_message_that_cannot_be_sent_leaves_no_row(
    session: DeskSession, arguments: dict[str, object], words: str
) -> None:
    result = session.call("send_message", **arguments)

    assert result.is_error
    assert result.text.startswith("Error: ")
    assert words in result.text
    assert not session.rows


def test_without_chat_and_with_several_destinations_a_name_must_be_given(
    session: DeskSession,
) -> None:
    with open_inbound(session.paths.inbound_db) as inbound:
        inbound.set_session_routing(None)

    result = session.call("send_message", text="hi")

    assert result.text == ("Error: 'to' must be given; known destinations are: family, helper, ops")


def test_only_destination_needs_no_name(session: DeskSession) -> None:
    session.permit(OPS)
    with open_inbound(session.paths.inbound_db) as inbound:
        inbound.set_session_routing(None)

    result = session.call("send_message", text="hi")

    assert result.text.startswith("Message sent to ops")


def test_only_what_says_something_counts_as_a_delivery(session: DeskSession) -> None:
    session.call("send_message", text="one")
    session.call("send_message", text="")
    session.call("send_card", card={"title": "two"})
    session.call("create_agent", name="Bo")

    assert session.desk.deliveries == 2


def test_repeated_call_id_says_its_answer_again_and_writes_nothing(session: DeskSession) -> None:
    first = session.call("send_message", "toolu_x", text="hi")

    again = session.call("send_message", "toolu_x", text="hi")

    assert again == first
    assert len(session.rows) == 1


def test_file_lies_beside_its_message(session: DeskSession) -> None:
    (session.paths.workspace / "report.pdf").write_bytes(b"%PDF")

    result = session.call("send_file", path="report.pdf", text="see", to="family")

    assert result.text == f"File report.pdf sent to family (id: {session.last.seq})."
    assert session.content() == {"text": "see", "files": ["report.pdf"]}
    folder = session.paths.out_files / session.last.id
    assert [entry.name for entry in folder.iterdir()] == ["report.pdf"]
    assert (folder / "report.pdf").read_bytes() == b"%PDF"


def test_link_to_a_file_is_followed_and_shown_under_a_given_name(session: DeskSession) -> None:
    target = session.root / "target"
    target.write_text("x")
    (session.paths.workspace / "link").symlink_to(target)

    session.call("send_file", path="link", filename="../dir/notes.txt")

    stored = session.paths.out_files / session.last.id / "notes.txt"
    assert stored.read_text() == "x"
    assert not stored.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'path' is required"),
        ({"path": "missing.txt"}, "No such file"),
        ({"path": "."}, "not a regular file"),
        ({"path": "/dev/zero"}, "not a regular file"),
        ({"path": "pipe"}, "not a regular file"),
        ({"path": "a.txt", "filename": ".."}, "not a plain file name"),
        ({"path": "a.txt", "filename": "a\\b"}, "not a plain file name"),
        ({"path": "a.txt", "filename": "a\nb"}, "control characters"),
        ({"path": "a.txt", "filename": "x" * 300}, "too long"),
        ({"path": "a.txt", "filename": "folder/"}, "not a plain file name"),
        ({"path": "a\0b"}, "NUL"),
        ({"path": "x" * 5000}, "at most 4096"),
        ({"path": "a.txt", "to": "nobody"}, "unknown destination"),
        ({"path": "huge"}, "over the limit of 100 MiB"),
        ({"path": "a.txt", "text": {}}, "'text' must be a text"),
    ],
)
def test_file_that_cannot_be_sent_leaves_neither_row_nor_folder(
    session: DeskSession, arguments: dict[str, object], words: str
) -> None:
    (session.paths.workspace / "a.txt").write_text("x")
    os.mkfifo(session.paths.workspace / "pipe")
    with (session.paths.workspace / "huge").open("wb") as huge:
        huge.truncate(outbox.MAX_FILE_BYTES + 1)

    result = session.call("send_file", **arguments)

    assert result.is_error
    assert words in result.text
    assert not session.rows
    assert not list(session.paths.out_files.glob("*"))


def test_folder_goes_when_the_row_cannot_be_written(session: DeskSession) -> None:
    (session.paths.workspace / "a.txt").write_text("x")
    session.paths.outbound_db.write_bytes(b"no database at all, only some bytes" * 200)

    with pytest.raises(Exception, match="outbound"):
        session.call("send_file", path="a.txt")

    assert not list(session.paths.out_files.glob("*"))


def test_start_removes_files_without_a_message_and_no_others(session: DeskSession) -> None:
    (session.paths.workspace / "a.txt").write_text("x")
    session.call("send_file", path="a.txt")
    orphan = session.paths.out_files / "msg-1-aaaaaa"
    orphan.mkdir()
    (orphan / "big.bin").write_text("x")

    asyncio.run(session.desk.start())

    assert [entry.name for entry in session.paths.out_files.iterdir()] == [session.last.id]


def test_card_is_sent_as_it_is(session: DeskSession) -> None:
    card = {"title": "Status", "children": ["a", {"b": 1}], "actions": [{"label": "x"}], "n": 1}

    result = session.call("send_card", card=card, fallbackText="Status: a")

    assert result.text.startswith("Card sent to the current conversation")
    assert session.content() == {"type": "card", "card": card, "fallbackText": "Status: a"}
    assert session.last.kind == "chat-sdk"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'card' is required"),
        ({"card": "x"}, "'card' must be an object"),
        ({"card": {"title": "x" * 70_000}}, "over 65536 bytes"),
        ({"card": DEEP}, "nested deeper than 64"),
        ({"card": {"title": "x"}, "fallbackText": 1}, "'fallbackText' must be a text"),
    ],
)
def test_card_that_cannot_be_sent_leaves_no_row(
    session: DeskSession, arguments: dict[str, object], words: str
) -> None:
    result = session.call("send_card", **arguments)

    assert words in result.text
    assert not session.rows


def test_file_missing_at_the_other_side_is_an_empty_queue(tmp_path: Path) -> None:
    session = DeskSession(tmp_path)
    session.paths.outbound_db.unlink()

    result = session.call("send_message", text="hi")

    assert not result.is_error
    with open_outbound(session.paths.outbound_db) as out:
        assert len(out.message_ids()) == 1

"""Files of messages: from the channel's spool into the agent's folder, safely and only once."""

import base64
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers.routing_stage import CHANNEL, RouterStage, message

from contract.clock import utc_now
from contract.content import Attachment as StoredAttachment
from contract.content import ChatIn, parse_inbound
from contract.jsontext import dump
from nanoclaw.db import inbound_events
from nanoclaw.events import Attachment, Outcome
from nanoclaw.model import UnknownSenderPolicy
from nanoclaw.routing.apply import wanted_files
from nanoclaw.routing.taken import TakenFiles


@pytest.fixture
def town(stage: RouterStage) -> RouterStage:
    stage.agent()
    stage.wire(stage.chat())
    return stage


def stored(stage: RouterStage, agent_id: str = "ag-1") -> tuple[StoredAttachment, ...]:
    """The attachments of the newest row."""
    content = parse_inbound("chat", stage.rows_of(agent_id)[-1].content)
    assert isinstance(content, ChatIn)
    return content.attachments


def read(stage: RouterStage, attachment: StoredAttachment, agent_id: str = "ag-1") -> bytes:
    assert attachment.local_path is not None
    return (stage.folder(stage.session(agent_id)).in_dir / attachment.local_path).read_bytes()


def leftovers(stage: RouterStage) -> list[str]:
    folder = stage.paths.channel(CHANNEL)
    return [p.name for p in (*folder.glob("spool/in/*"), *folder.glob("taken/*"))]


def send_files(stage: RouterStage, *files: Attachment, **changes: Any) -> None:
    stage.send(message(1, attachments=files, **changes))
    stage.settle()


def test_t12_file_is_stored_with_its_bytes_and_the_spool_is_empty(town: RouterStage) -> None:
    send_files(town, town.spool(b"pixels"))

    (attachment,) = stored(town)
    assert attachment.local_path == "files/m-1/photo.jpg"
    assert read(town, attachment) == b"pixels"
    assert (attachment.type, attachment.size, attachment.error) == ("image", 6, None)
    assert leftovers(town) == []
    assert town.rows_of()[0].taint == "unknown-sender,file"


def test_every_agent_gets_the_file(town: RouterStage) -> None:
    town.agent("ag-2", "Bea")
    chat = town.chat("double:both")
    town.wire(chat)
    town.wire(chat, "ag-2")

    send_files(town, town.spool(b"pixels"), platform_id="double:both")

    assert [read(town, stored(town, a)[0], a) for a in ("ag-1", "ag-2")] == [b"pixels"] * 2
    assert leftovers(town) == []


def test_t12_traversal_name_is_stored_under_a_safe_one(town: RouterStage) -> None:
    send_files(town, town.spool(b"x", "../../../evil"), town.spool(b"y", "..\\evil"))

    first, second = stored(town)
    assert (first.name or "").startswith("attachment-")
    assert first.name != second.name
    assert [read(town, first), read(town, second)] == [b"x", b"y"]


def test_two_files_of_one_name_keep_apart(town: RouterStage) -> None:
    send_files(town, town.spool(b"1", "a.txt"), town.spool(b"2", "A.txt"))

    assert [file.name for file in stored(town)] == ["a.txt", "A-2.txt"]
    assert [read(town, file) for file in stored(town)] == [b"1", b"2"]


def test_w12_unsafe_message_id_still_gets_its_files(town: RouterStage) -> None:
    send_files(town, town.spool(b"x"), message_id="spaces/../../etc/m")

    (attachment,) = stored(town)
    assert (attachment.local_path or "").startswith("files/msg-")
    assert read(town, attachment) == b"x"


@pytest.mark.parametrize("what", ["link", "fifo", "folder", "hard link elsewhere"])
def test_t12_something_planted_at_the_files_name_is_not_written_through(
    town: RouterStage, tmp_path: Path, what: str
) -> None:
    town.send(message(0))
    folder = town.folder(town.session()).in_dir / "files" / "m-1"
    folder.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    target = folder / "photo.jpg"
    if what == "link":
        target.symlink_to(outside)
    elif what == "fifo":
        os.mkfifo(target)
    elif what == "folder":
        target.mkdir()
    else:
        target.hardlink_to(outside)

    send_files(town, town.spool(b"pixels"))

    (attachment,) = stored(town)
    assert outside.read_bytes() == b"precious"
    assert attachment.local_path is None
    assert "name" in (attachment.error or "")


@pytest.mark.parametrize("level", ["files", "files/m-1"])
def test_t12_linked_folder_is_not_followed(town: RouterStage, tmp_path: Path, level: str) -> None:
    town.send(message(0))
    outside = tmp_path / "outside"
    outside.mkdir()
    place = town.folder(town.session()).in_dir / level
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside)

    send_files(town, town.spool(b"pixels"))

    assert list(outside.iterdir()) == []
    assert stored(town)[0].error == "the folder for files is not a folder"


def test_linked_spool_file_is_not_followed(town: RouterStage, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    file = town.spool(b"secret")
    place = town.paths.channel(CHANNEL) / "spool" / "in" / str(file.spool)
    place.unlink()
    place.symlink_to(secret)

    send_files(town, file)

    assert stored(town)[0].error is not None
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sha256": "0" * 64}, "the file's content is not what was announced"),
        ({"size": 5}, "the file is not the one that was announced"),
        ({"sha256": None}, "the channel did not say what the file is"),
        ({"spool": "../../../../etc/passwd"}, "the file is not there any more"),
        ({"spool": "missing"}, "the file is not there any more"),
        ({"size": 26 * 1024 * 1024}, "the file is larger than 25 MiB"),
        ({"spool": None, "problem": "download timed out"}, "download timed out"),
    ],
    ids=["hash", "size", "no hash", "path", "missing", "too large", "not fetched"],
)
def test_c58_bad_file_becomes_words_and_the_text_arrives(
    town: RouterStage, changes: dict[str, Any], error: str
) -> None:
    send_files(town, town.spool(b"pixels", **changes), town.spool(b"good", "good.jpg"))

    bad, good = stored(town)
    assert bad.error == error
    assert bad.local_path is None
    assert read(town, good) == b"good"
    assert '"text":"hello"' in town.rows_of()[0].content


def test_only_so_many_files_of_a_message_are_taken(town: RouterStage) -> None:
    send_files(town, *(town.spool(b"x", f"{number}.jpg") for number in range(22)))

    errors = [file.error for file in stored(town)]
    assert errors[:20] == [None] * 20
    assert errors[20:] == ["only 20 files of a message are taken"] * 2
    assert leftovers(town) == []


def test_bytes_inside_the_message_become_a_file(town: RouterStage) -> None:
    data = base64.b64encode(b"pixels").decode()
    inline = {"attachments": [{"type": "photo", "data": data}, {"type": "file", "data": "%%%"}]}

    town.send(message(1, extra_json=dump(inline)))
    town.settle()

    first, second = stored(town)
    assert (first.name or "").endswith(".jpg")
    assert read(town, first) == b"pixels"
    assert second.error == "the file's content is damaged"
    assert data not in town.rows_of()[0].content
    assert town.rows_of()[0].taint == "file,unknown-sender"
    assert leftovers(town) == []


def test_replay_after_a_crash_places_the_same_files_again(town: RouterStage) -> None:
    file = town.spool(b"pixels")
    send_files(town, file)
    before = town.rows_of()[0].content
    town.conn.execute("UPDATE inbound_events SET state = 'committed'")
    taken = town.paths.channel(CHANNEL) / "taken" / str(file.spool)
    taken.write_bytes(b"pixels")

    town.loop.replay()
    town.settle()

    assert [row.content for row in town.rows_of()] == [before]
    assert read(town, stored(town)[0]) == b"pixels"
    assert leftovers(town) == []


def test_file_that_is_being_placed_holds_up_its_own_session_only_and_keeps_the_order(
    town: RouterStage,
) -> None:
    town.agent("ag-2", "Bea")
    town.wire(town.chat("double:two"), "ag-2")

    town.send(
        message(1, "with file", attachments=(town.spool(b"x" * 4_000_000),)),
        message(2, "after it"),
        message(3, "elsewhere", platform_id="double:two"),
    )
    town.settle()

    assert [row.content.split('"')[3] for row in town.rows_of()] == ["with file", "after it"]
    assert len(town.rows_of("ag-2")) == 1


def test_files_of_a_message_for_nobody_are_removed(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.STRICT))

    (answer,) = stage.send(message(1, attachments=(stage.spool(b"x"),)))

    assert answer.outcome is Outcome.IGNORED
    assert leftovers(stage) == []


def test_files_of_a_held_message_outlive_the_spool(stage: RouterStage) -> None:
    stage.agent()
    stage.owner()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL))
    stage.send(message(1, attachments=(stage.spool(b"pixels"),)))
    for path in stage.paths.channel(CHANNEL).glob("spool/in/*"):
        path.unlink()
    row = stage.conn.execute("SELECT id FROM pending_sender_approvals").fetchone()

    stage.member()
    inbound_events.release(stage.conn, row[0])
    stage.ring()
    stage.spin(lambda: stage.sweep.woken)

    assert read(stage, stored(stage)[0]) == b"pixels"


def test_what_no_event_can_want_any_more_is_swept(town: RouterStage) -> None:
    files = TakenFiles(town.paths)
    stored = files.store(CHANNEL, b"x", Attachment("file"))

    assert files.sweep(utc_now() + timedelta(hours=23), ()) == 0
    assert files.sweep(utc_now() + timedelta(hours=25), [str(stored.spool)]) == 0
    assert files.sweep(utc_now() + timedelta(hours=25), ()) == 1


def test_files_of_unfinished_events_are_wanted(stage: RouterStage) -> None:
    stage.agent()
    stage.owner()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL))
    stage.wire(stage.chat("double:open"))
    held, routed = stage.spool(b"x"), stage.spool(b"y")
    stage.send(
        message(1, attachments=(held,)),
        message(2, attachments=(routed,), platform_id="double:open"),
    )
    stage.settle()

    assert wanted_files(stage.conn) == {held.spool}
    stage.conn.execute("UPDATE inbound_events SET state = 'committed' WHERE event_key = 'key-2'")
    assert wanted_files(stage.conn) == {held.spool, routed.spool}


def test_agent_whose_sender_is_allowed_later_gets_the_file_as_well(town: RouterStage) -> None:
    town.agent("ag-2", "Bea")
    town.owner()
    town.member()
    chat = town.chat("double:both", policy=UnknownSenderPolicy.REQUEST_APPROVAL)
    town.wire(chat)
    town.wire(chat, "ag-2")
    send_files(town, town.spool(b"pixels"), platform_id="double:both")
    assert read(town, stored(town)[0]) == b"pixels"
    (waits_for,) = town.conn.execute("SELECT id FROM pending_sender_approvals").fetchone()

    town.member(agent_id="ag-2")
    inbound_events.release(town.conn, waits_for)
    town.ring()
    town.spin(lambda: town.rows_of("ag-2"), "the second agent has it")
    town.settle()

    assert read(town, stored(town, "ag-2")[0], "ag-2") == b"pixels"
    assert leftovers(town) == []

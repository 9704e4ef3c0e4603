"""The file of a conversation: what a reload finds, whatever happened to it before."""

import asyncio
import json
import os
import resource
import shutil
from pathlib import Path

import pytest
from helpers.claude_memory_build import (
    FACTS,
    assistant,
    check_request,
    exchange,
    prefix,
    recorded,
    results,
    say,
    system,
    user,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.providers.claude.conversation import Compaction, Conversation
from runner.providers.claude.identity import conversation_path, is_conversation_id
from runner.providers.claude.records import (
    LockedError,
    Message,
    StorageError,
    TurnStatus,
    UnusableError,
    UserKind,
)
from runner.providers.claude.settle import settle_open_calls


class Effects:
    """What is known of calls."""

    def __init__(self, **known: str) -> None:
        self._known = known

    async def recall(self, call_id: str) -> str | None:
        return self._known.get(call_id)


def reopened(conversation: Conversation, folder: Path) -> Conversation:
    conversation.close()
    again = Conversation.open(folder, conversation.id, FACTS)
    assert again.id == conversation.id
    return again


def lines(folder: Path, conversation: Conversation) -> list[dict[str, object]]:
    text = conversation_path(folder, conversation.id).read_text()
    return [json.loads(line) for line in text.splitlines()]


def as_text(messages: list[Message]) -> str:
    return json.dumps(messages, ensure_ascii=False)


def test_new_conversation_has_its_header_on_disk_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "conversation"

    conversation = Conversation.create(folder, FACTS)

    (header,) = lines(folder, conversation)
    assert is_conversation_id(conversation.id)
    assert header | {"ts": ""} == {
        "t": "header",
        "ts": "",
        "n": 1,
        "format": 1,
        "id": conversation.id,
        "runner_version": "test",
        "provider": "claude",
    }
    assert conversation_path(folder, conversation.id).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_ids_sort_by_time(tmp_path: Path) -> None:
    ids = []
    for _ in range(3):
        conversation = Conversation.create(tmp_path, FACTS)
        ids.append(conversation.id[: len("nc1-") + 10])
        conversation.close()

    assert ids == sorted(ids)


def test_reload_gives_the_same_bytes_and_the_same_state(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 3)
    conversation.set_todo([{"text": "milk", "status": "pending"}])
    before = (conversation.messages, conversation.epoch, conversation.turns, conversation.todo)

    again = reopened(conversation, tmp_path)

    assert as_text(again.messages) == as_text(before[0])
    assert (again.messages, again.epoch, again.turns, again.todo) == before
    check_request([*again.messages, user("next")])


def test_answer_of_the_model_is_echoed_byte_for_byte(tmp_path: Path) -> None:
    message: Message = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "", "signature": "EqQB/+=="},
            {"type": "text", "text": "zwölf ✓ \u2028 \x00 \\u0041", "citations": None},
            {"z": 1, "type": "unknown_new_block", "a": {"y": [1.5, 1e-7, True, None], "b": {}}},
        ],
    }
    conversation = recorded(tmp_path, 1)
    conversation.append_user(user("x"), ["m-9"])

    conversation.append_assistant(message, stop_reason="end_turn", response_id="r", model="m")

    again = reopened(conversation, tmp_path)
    assert json.dumps(again.messages[-1]) == json.dumps(message)


def test_request_prefix_stays_the_same_over_twenty_turns(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 0)
    earlier = ""
    for number in range(20):
        exchange(conversation, number)
        if number % 5 == 4:
            conversation = reopened(conversation, tmp_path)

        now = as_text(conversation.messages)[:-1]

        assert now.startswith(earlier)
        earlier = now


def test_lone_surrogates_do_not_reach_the_file(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 0)

    conversation.append_user(user("broken \ud83d text"), ["m-1"])

    assert "�" in as_text(conversation.messages)
    assert as_text(reopened(conversation, tmp_path).messages).encode()


def test_caller_may_change_its_message_afterwards(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 0)
    message = user("as it was")

    conversation.append_user(message, ["m-1"])
    message["content"] = "changed"

    assert "as it was" in as_text(conversation.messages)


def test_every_record_boundary_replays_to_a_valid_request(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 2)
    conversation.close()
    data = conversation_path(tmp_path, conversation.id).read_bytes()
    whole = conversation.messages
    boundaries = [index + 1 for index, byte in enumerate(data) if byte == ord("\n")]

    for boundary in boundaries:
        check_cut(tmp_path, conversation.id, data[:boundary], whole)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_cut_replays_to_a_valid_request(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    conversation = recorded(folder, 2)
    conversation.close()
    stored = conversation_path(folder, conversation.id).read_bytes()
    first = stored.index(b"\n") + 1

    length = data.draw(st.integers(first, len(stored)))

    check_cut(folder, conversation.id, stored[:length], conversation.messages)
    shutil.rmtree(folder)


def check_cut(folder: Path, name: str, stored: bytes, whole: list[Message]) -> None:
    """Opens a file that ends there, repairs it and goes on."""
    path = conversation_path(folder, name)
    path.write_bytes(stored)
    path.with_suffix(".idx").unlink(missing_ok=True)
    conversation = Conversation.open(folder, name, FACTS)
    assert conversation.id == name
    kept = len(conversation.messages)
    assert conversation.messages == whole[:kept]
    asyncio.run(settle_open_calls(conversation, Effects()))
    conversation.append_user(user("next"), ["m-next"])
    check_request(conversation.messages)
    before = as_text(conversation.messages)
    again = reopened(conversation, folder)
    assert as_text(again.messages) == before
    again.close()
    assert path.read_bytes().startswith(stored[: stored.rindex(b"\n") + 1])


def test_incomplete_last_line_is_cut_off(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    before = conversation.messages
    conversation.close()
    path = conversation_path(tmp_path, conversation.id)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"t":"user","ts":"2026-11-25T08:00')

    again = Conversation.open(tmp_path, conversation.id, FACTS)

    assert again.messages == before
    assert path.read_bytes() == whole


def test_last_line_of_rubbish_is_cut_off(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    conversation.close()
    path = conversation_path(tmp_path, conversation.id)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 300 + b"\n")

    again = Conversation.open(tmp_path, conversation.id, FACTS)

    assert again.id == conversation.id
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage", [b"rubbish", b"[]", b'{"t":"user","n":"x"}', b"\xff\xfe", b"[" * 100_000]
)
def test_broken_line_in_the_middle_sets_the_file_aside(tmp_path: Path, damage: bytes) -> None:
    conversation = recorded(tmp_path, 1)
    conversation.close()
    path = conversation_path(tmp_path, conversation.id)
    parts = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*parts[:3], damage, *parts[3:]]))

    fresh = Conversation.open(tmp_path, conversation.id, FACTS)

    assert fresh.id != conversation.id
    assert fresh.messages == []
    assert "no longer" in fresh.opening_notes[0]
    assert path.with_name(f"{path.name}.corrupt").exists()
    assert not path.exists()


@pytest.mark.parametrize("handle", ["nc1-" + "0" * 26, "nc1-../../etc/passwd", "nc1-short"])
def test_missing_conversation_leads_to_a_new_one_that_says_so(tmp_path: Path, handle: str) -> None:
    fresh = Conversation.open(tmp_path, handle, FACTS)

    assert is_conversation_id(fresh.id)
    assert fresh.opening_notes
    with pytest.raises(UnusableError):
        Conversation.read(tmp_path, handle, FACTS)


@pytest.mark.parametrize("handle", [None, "0b9bb3d0-1111-4222-8333-444455556666"])
def test_first_start_and_foreign_handle_begin_silently(tmp_path: Path, handle: str | None) -> None:
    assert Conversation.open(tmp_path, handle, FACTS).opening_notes == ()


def test_named_pipe_in_place_of_the_file_does_not_block(tmp_path: Path) -> None:
    handle = "nc1-" + "0" * 26
    os.mkfifo(conversation_path(tmp_path, handle))

    assert Conversation.open(tmp_path, handle, FACTS).id != handle


def test_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    conversation.close()
    path = conversation_path(tmp_path, conversation.id)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert Conversation.open(tmp_path, conversation.id, FACTS).id != conversation.id


def test_second_opener_is_refused_after_its_patience(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)

    with pytest.raises(LockedError, match="held by another process"):
        Conversation.open(tmp_path, conversation.id, FACTS)

    conversation.close()
    Conversation.open(tmp_path, conversation.id, FACTS).close()


def test_full_disk_ends_the_conversation_and_leaves_whole_records(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    path = conversation_path(tmp_path, conversation.id)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 500, hard))
    try:
        with pytest.raises(StorageError):
            conversation.append_user(user("x" * 5000), ["m-9"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == before
    with pytest.raises(StorageError):
        conversation.append_user(user("small"), ["m-9"])


def test_calls_that_a_kill_left_open_get_what_is_known(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    conversation.append_user(user("do two things"), ["m-1"])
    say(conversation, "", stop="tool_use", calls=["t1", "t2"])
    again = reopened(conversation, tmp_path)

    count = asyncio.run(settle_open_calls(again, Effects(t2="message 7 sent")))

    assert count == 2
    content = as_text(again.messages[-1:])
    assert "message 7 sent" in content
    assert "interrupted" in content
    assert again.open_calls == ()
    assert asyncio.run(settle_open_calls(again, Effects())) == 0
    check_request(again.messages)


def test_paused_answer_at_the_end_is_taken_back_on_reload(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    conversation.append_user(user("search"), ["m-1"])
    say(conversation, "searching", stop="pause_turn")

    again = reopened(conversation, tmp_path)

    assert again.messages[-1] == user("search")


def test_unfinished_turn_knows_its_ids_and_its_answer(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    conversation.append_user(user("a"), ["m-1", "m-2"])
    say(conversation, "working", stop="tool_use", calls=["t"])
    conversation.append_user(results("t", text="also b"), ["m-3"], UserKind.TOOL_RESULTS)
    unanswered = reopened(conversation, tmp_path).unfinished
    assert unanswered is not None
    assert unanswered.inbound_ids == ("m-1", "m-2", "m-3")
    assert unanswered.final is None


def test_final_answer_of_an_unfinished_turn_can_be_said_again(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 0)
    conversation.append_user(user("a"), ["m-1"])
    record = conversation.append_assistant(
        assistant("the answer"), stop_reason="end_turn", response_id="r", model="m"
    )
    origin = conversation.origin_of(record)

    turn = reopened(conversation, tmp_path).unfinished

    assert turn is not None
    assert turn.final is not None
    assert turn.final.text == "the answer"
    assert turn.final.origin == origin


def test_ended_turn_is_remembered_with_its_answer(tmp_path: Path) -> None:
    again = reopened(recorded(tmp_path, 2), tmp_path)

    last = again.turns[-1]
    assert again.unfinished is None
    assert last.status is TurnStatus.OK
    assert last.inbound_ids == ("m-1",)
    assert last.final is not None
    assert "answer 1" in last.final.text


def test_failed_turn_has_no_answer_to_repeat(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 0)
    conversation.append_user(user("a"), ["m-1"])
    conversation.turn_end(["m-1"], TurnStatus.ERROR)

    (turn,) = reopened(conversation, tmp_path).turns

    assert turn.status is TurnStatus.ERROR
    assert turn.final is None


def test_refused_turn_leaves_the_list_and_stays_in_the_file(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    before = conversation.messages
    conversation.append_user(user("something bad"), ["m-1"])
    say(conversation, "no", stop="refusal")

    refs = conversation.retract_turn("refusal")
    again = reopened(conversation, tmp_path)

    assert len(refs) == 2
    assert again.messages == before
    assert any("something bad" in json.dumps(line) for line in lines(tmp_path, again))
    assert again.turns[-1].inbound_ids == ()


def test_notes_told_are_remembered_with_the_head(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)

    conversation.append_user(system("new destinations"), (), UserKind.NOTE, {"addendum": "abc"})
    again = reopened(conversation, tmp_path)

    assert again.epoch is not None
    assert again.epoch.told == {"addendum": "abc"}
    assert again.epoch.prefix == prefix()


def test_later_messages_stay_behind_a_compaction(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 3)
    up_to = conversation.entries[-1].n
    conversation.append_user(user("while it ran"), ["m-9"])
    block: Message = {
        "role": "assistant",
        "content": [{"type": "compaction", "content": "all of it", "signature": "abc"}],
    }

    conversation.replace_by_compaction(Compaction(up_to, block, 1000, 50, "a.md"))
    conversation.start_epoch(prefix(harness="new"), reason="compaction")

    again = reopened(conversation, tmp_path)
    assert again.messages == [block, user("while it ran")]
    assert again.messages == conversation.messages
    assert again.unfinished is not None
    assert again.unfinished.inbound_ids == ("m-9",)
    assert again.epoch == conversation.epoch


@pytest.mark.parametrize("index", ["as written", "missing", "wrong", "not json", "of another file"])
def test_index_is_only_a_hint(tmp_path: Path, index: str) -> None:
    conversation = compacted(tmp_path)
    before = (conversation.messages, conversation.epoch, conversation.turns, conversation.todo)
    conversation.close()
    path = conversation_path(tmp_path, conversation.id).with_suffix(".idx")
    match index:
        case "missing":
            path.unlink()
        case "wrong":
            value = json.loads(path.read_text())
            path.write_text(json.dumps(value | {"from": value["from"] + 7}))
        case "not json":
            path.write_bytes(b"\xff{")
        case "of another file":
            path.write_text('{"from": 99999999, "epoch_at": 1, "epoch_length": 2}')

    again = Conversation.open(tmp_path, conversation.id, FACTS)

    assert (again.messages, again.epoch, again.turns, again.todo) == before


def compacted(folder: Path) -> Conversation:
    """Two compactions, and turns after the second."""
    conversation = recorded(folder, 3)
    conversation.set_todo([{"text": "milk", "status": "pending"}])
    for number in (10, 20):
        exchange(conversation, number)
        summary = user(f"<summary>{number}</summary>")
        up_to = conversation.entries[-1].n
        conversation.replace_by_compaction(Compaction(up_to, summary, 1000, 50))
        conversation.start_epoch(prefix(harness=f"h{number}"), reason="compaction")
        conversation.append_user(user("<system>note</system>"), (), UserKind.NOTE)
    exchange(conversation, 30)
    return conversation


def test_records_before_the_last_compaction_are_not_read(tmp_path: Path) -> None:
    conversation = compacted(tmp_path)
    before = conversation.messages
    conversation.close()
    path = conversation_path(tmp_path, conversation.id)
    data = path.read_bytes()
    middle = data.index(b'"question 1 ')
    path.write_bytes(data[:middle] + b"\n" + data[middle + 1 :])

    again = Conversation.open(tmp_path, conversation.id, FACTS)

    assert again.id == conversation.id
    assert again.messages == before


def test_broken_end_after_a_compaction_is_cut_off_too(tmp_path: Path) -> None:
    conversation = compacted(tmp_path)
    before = conversation.messages
    conversation.close()
    with conversation_path(tmp_path, conversation.id).open("ab") as file:
        file.write(b'{"t":"us')

    assert Conversation.open(tmp_path, conversation.id, FACTS).messages == before


def test_compaction_that_a_kill_cut_off_is_known(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    up_to = conversation.entries[-1].n
    conversation.replace_by_compaction(Compaction(up_to, user("<summary>x</summary>"), 10, 5))

    again = reopened(conversation, tmp_path)
    known = [again.needs_finishing]
    again.start_epoch(prefix(), reason="compaction")
    known.append(again.needs_finishing)
    again.append_user(user("note"), (), UserKind.NOTE)
    known.append(again.needs_finishing)
    known.append(reopened(again, tmp_path).needs_finishing)

    assert known == [True, True, False, False]


def test_everything_ever_said_is_found_behind_compactions(tmp_path: Path) -> None:
    conversation = compacted(tmp_path)

    texts = as_text(list(conversation.all_messages()))

    assert "question 0" in texts
    assert "question 30" in texts


def test_old_conversations_go_but_the_newest_and_strangers_stay(tmp_path: Path) -> None:
    made = []
    for _ in range(8):
        conversation = recorded(tmp_path, 1)
        conversation.close()
        made.append(conversation.id)
    made.sort()
    (tmp_path / f"{made[0]}.sub-1.jsonl").write_text("x")
    (tmp_path / "notes.jsonl").write_text("x")

    Conversation.open(tmp_path, made[0], FACTS)

    left = {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    assert left == {"notes", made[0], *made[-4:]}
    assert (tmp_path / f"{made[0]}.sub-1.jsonl").exists()


def test_big_old_conversations_go_first_come_first_kept(tmp_path: Path) -> None:
    old = recorded(tmp_path, 1)
    old.close()
    os.truncate(conversation_path(tmp_path, old.id), 250 * 1024 * 1024)

    current = Conversation.open(tmp_path, None, FACTS)

    assert not conversation_path(tmp_path, old.id).exists()
    assert conversation_path(tmp_path, current.id).exists()


def test_newer_record_types_are_passed_over(tmp_path: Path) -> None:
    conversation = recorded(tmp_path, 1)
    before = conversation.messages
    conversation.close()
    with conversation_path(tmp_path, conversation.id).open("ab") as file:
        file.write(b'{"t":"future","ts":"2026-11-25T08:00:00.000Z","n":9999}\n')

    again = Conversation.open(tmp_path, conversation.id, FACTS)

    assert again.messages == before
    assert again.append_user(user("x"), ["m"]) == 10_000

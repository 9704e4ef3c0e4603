from datetime import UTC, datetime

import pytest
from helpers.claude_memory_build import assistant, results, user

from runner.providers.claude.records import (
    Json,
    Record,
    RecordType,
    TurnStatus,
    UnusableError,
    decode,
    encode,
    joined_text,
    stamp,
)
from runner.providers.claude.replay import TURNS_KEPT, History

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)


def history(*records: tuple[RecordType, Json]) -> History:
    grown = History()
    for n, (kind, values) in enumerate(records, 1):
        line = encode(stamp(kind, n, NOW, values))
        grown.apply(decode(line), n * 1000, len(line))
    return grown


def asked(inbound: str = "m-1", text: str = "question") -> tuple[RecordType, Json]:
    values: Json = {"message": user(text), "inbound_ids": [inbound], "kind": "input"}
    return RecordType.USER, values


def answered(stop: str | None = "end_turn", *calls: str) -> tuple[RecordType, Json]:
    return RecordType.ASSISTANT, {"message": assistant("answer", calls), "stop_reason": stop}


def ended(status: object = "ok", *ids: str) -> tuple[RecordType, Json]:
    return RecordType.TURN_END, {"inbound_ids": list(ids), "status": status}


def compacted(**values: object) -> tuple[RecordType, Json]:
    return RecordType.COMPACTION, {"message": user("<summary>s</summary>"), **values}


@pytest.mark.parametrize(
    ("stop", "final"),
    [("end_turn", True), ("stop_sequence", True), ("max_tokens", False), (None, False)],
)
def test_only_a_complete_answer_ends_an_open_turn(stop: str | None, final: bool) -> None:
    turn = history(asked(), answered(stop)).open_turn

    assert turn is not None
    assert (turn.answer is not None) is final


def test_answer_with_calls_is_not_final() -> None:
    turn = history(asked(), answered("end_turn", "t1")).open_turn

    assert turn is not None
    assert turn.answer is None


def test_cut_off_answer_is_the_answer_of_a_turn_that_ended_well() -> None:
    (turn,) = history(asked(), answered("max_tokens"), ended()).turns

    assert turn.answer is not None
    assert turn.answer.text == "answer"


def test_steering_after_an_answer_makes_it_commentary() -> None:
    turn = history(asked(), answered(), asked("m-2", "and this?")).open_turn

    assert turn is not None
    assert turn.inbound_ids == ("m-1", "m-2")
    assert turn.answer is None


@pytest.mark.parametrize("status", ["error", "stopped", "refused", "of the future", None])
def test_turn_that_did_not_end_well_has_no_answer(status: object) -> None:
    (turn,) = history(asked(), answered(), ended(status)).turns

    assert turn.status is not TurnStatus.OK
    assert turn.answer is None


def test_number_of_turns_kept_is_bounded() -> None:
    records = [record for n in range(20) for record in (asked(f"m-{n}"), answered(), ended())]

    turns = history(*records).turns

    assert len(turns) == TURNS_KEPT
    assert turns[-1].inbound_ids == ("m-19",)


def test_retracted_answer_is_no_answer() -> None:
    turn = history(asked(), answered(), (RecordType.RETRACT, {"refs": [2], "why": "x"})).open_turn

    assert turn is not None
    assert turn.answer is None
    assert turn.inbound_ids == ("m-1",)


def test_compaction_carries_the_last_answer_on() -> None:
    before = history(asked(), answered(), ended("ok", "m-1"))

    after = history(
        asked(), answered(), ended(), compacted(replaces_up_to=2, turn=before.turn_snapshot(2))
    )

    (turn,) = after.turns
    assert turn.answer == before.turns[0].answer
    assert after.last_turn_end == 3
    assert [entry.n for entry in after.entries] == [4]


def test_compaction_in_an_open_turn_keeps_its_words() -> None:
    given: Json = {"message": results("t"), "kind": "tool_results"}
    records = [asked(), answered("tool_use", "t"), (RecordType.USER, given)]
    snapshot = history(*records).turn_snapshot(3)

    after = history(*records, compacted(replaces_up_to=3, turn=snapshot))

    assert after.interrupted_input == "question"
    assert after.open_turn is not None
    assert after.open_turn.inbound_ids == ("m-1",)
    assert history(*records, compacted(replaces_up_to=3, turn=snapshot), ended()).turns[0].status


@pytest.mark.parametrize("turn", [None, 7, {}, {"status": "odd", "answer": {"n": "x"}}])
def test_strange_snapshot_is_no_turn_with_an_answer(turn: object) -> None:
    after = history(asked(), answered(), compacted(replaces_up_to=2, turn=turn))

    assert all(state.answer is None for state in after.turns)


@pytest.mark.parametrize(
    "record",
    [
        compacted(replaces_up_to="all"),
        (RecordType.COMPACTION, {"replaces_up_to": 1, "message": "text"}),
        (RecordType.USER, {"message": {"content": "no role"}}),
        (RecordType.ASSISTANT, {}),
    ],
)
def test_record_without_sense_makes_the_file_unusable(record: tuple[RecordType, Json]) -> None:
    with pytest.raises(UnusableError):
        history(asked(), record)


def test_number_that_does_not_grow_makes_the_file_unusable() -> None:
    grown = history(asked(), answered())

    with pytest.raises(UnusableError):
        grown.apply(stamp(RecordType.USER, 2, NOW, {"message": user("x")}), 0, 1)


def test_paused_answers_at_the_end_are_found() -> None:
    grown = history(asked(), answered("pause_turn"), answered("pause_turn"))

    assert [entry.n for entry in grown.paused_tail()] == [2, 3]
    assert history(asked(), answered("pause_turn"), asked("m-2")).paused_tail() == []


def test_times_are_the_same_in_memory_and_in_the_file() -> None:
    moment = datetime(2026, 11, 25, 8, 0, 0, 123_456, tzinfo=UTC)
    grown = History()

    grown.apply(stamp(RecordType.USER, 1, moment, {"message": user("x")}), 0, 1)

    assert Record(1, grown.last_at) == Record(1, moment.replace(microsecond=123_000))


def test_text_of_a_message_in_either_form() -> None:
    assert joined_text({"role": "user", "content": "plain"}) == "plain"
    assert joined_text(assistant("one", ["t1"], thinking="no")) == "one"
    assert joined_text({"role": "user", "content": 7}) == ""

from dataclasses import replace

import pytest
from helpers.claude_memory_build import prefix

from runner.instructions.model import Instructions
from runner.providers.claude.epoch import (
    NOTE_CHARACTERS,
    Epoch,
    Keep,
    KeepWithNote,
    NewEpoch,
    Prefix,
    decide_epoch,
    epoch_fields,
    epoch_of,
    system_blocks,
)
from runner.providers.claude.records import Json


def stored(head: Prefix, **changes: object) -> Epoch:
    return replace(Epoch(1, head, head.hash, "first"), **changes)  # type: ignore[arg-type]


def with_part(head: Prefix, label: str, text: str) -> Prefix:
    blocks: tuple[Json, ...] = tuple(
        {"type": "text", "text": text} if name == label else block
        for name, block in zip(head.labels, head.system, strict=True)
    )
    return replace(head, system=blocks)


def test_conversation_without_head_gets_one() -> None:
    assert decide_epoch(None, prefix(), has_history=False) == NewEpoch("first", drop_block=False)


def test_nothing_changed_keeps_the_head() -> None:
    assert decide_epoch(stored(prefix()), prefix(), has_history=True) == Keep()


@pytest.mark.parametrize(
    ("fresh", "reason"),
    [
        (prefix(model="claude-opus-5-5"), "model"),
        (replace(prefix(), effort="high"), "effort"),
        (replace(prefix(), thinking=None), "thinking"),
        (prefix(tool="bash"), "tools"),
        (prefix(harness="You work otherwise."), "instructions"),
        (
            replace(prefix(), system=prefix().system[:2], labels=("harness", "skills")),
            "instructions",
        ),
    ],
)
def test_change_of_the_head_is_a_new_epoch(fresh: Prefix, reason: str) -> None:
    decision = decide_epoch(stored(prefix()), fresh, has_history=True)

    assert decision == NewEpoch(reason, drop_block=True)


def test_without_answers_there_is_no_thinking_to_drop() -> None:
    decision = decide_epoch(stored(prefix()), prefix(tool="bash"), has_history=False)

    assert decision == NewEpoch("tools", drop_block=False)


@pytest.mark.parametrize("label", ["memory", "addendum"])
def test_changed_memory_or_destinations_are_told_once(label: str) -> None:
    fresh = with_part(prefix(), label, "Something new.")

    decision = decide_epoch(stored(prefix()), fresh, has_history=True)

    assert isinstance(decision, KeepWithNote)
    assert "Something new." in decision.text
    told = stored(prefix(), told=decision.told)
    assert decide_epoch(told, fresh, has_history=True) == Keep()


def test_part_that_went_back_is_told_again() -> None:
    changed = with_part(prefix(), "addendum", "new")
    decision = decide_epoch(stored(prefix()), changed, has_history=True)
    assert isinstance(decision, KeepWithNote)

    back = decide_epoch(stored(prefix(), told=decision.told), prefix(), has_history=True)

    assert isinstance(back, KeepWithNote)
    assert "Destinations: `family`." in back.text


def test_removed_memory_is_told_as_void_and_long_memory_is_cut() -> None:
    head = prefix()
    gone = replace(head, system=(head.system[0], head.system[2]), labels=("harness", "addendum"))
    long = with_part(head, "memory", "x" * (NOTE_CHARACTERS + 1))

    void = decide_epoch(stored(head), gone, has_history=True)
    cut = decide_epoch(stored(head), long, has_history=True)

    assert isinstance(void, KeepWithNote)
    assert "void" in void.text
    assert isinstance(cut, KeepWithNote)
    assert len(cut.text) < NOTE_CHARACTERS + 200


def test_new_day_is_no_reason_for_anything() -> None:
    parts = Instructions("You work.", "", "", "", "")
    days = []
    for date in ("Today is Monday.", "Today is Tuesday."):
        blocks, labels = system_blocks(parts, date)
        days.append(replace(prefix(), system=blocks, labels=labels))

    assert decide_epoch(stored(days[0]), days[1], has_history=True) == Keep()


def test_empty_parts_make_no_blocks() -> None:
    blocks, labels = system_blocks(Instructions("a", " ", "", "d", "e"))

    assert labels == ("harness", "skills", "addendum")
    assert [block["text"] for block in blocks] == ["a", "d", "e"]


def test_hash_does_not_depend_on_the_order_of_keys() -> None:
    one = replace(prefix(), tools=({"name": "a", "input_schema": {"b": 1, "c": 2}},))
    other = replace(prefix(), tools=({"input_schema": {"c": 2, "b": 1}, "name": "a"},))

    assert one.hash == other.hash
    assert one.hash != prefix().hash


def test_head_comes_back_from_its_record() -> None:
    epoch = stored(prefix(tool="bash"), drop_block=True, number=3)

    assert epoch_of(epoch_fields(epoch)) == epoch


def test_strange_record_gives_a_head_that_differs() -> None:
    epoch = epoch_of({"system": 7, "labels": [1], "tools": None, "thinking": "x"})

    assert isinstance(decide_epoch(epoch, prefix(), has_history=True), NewEpoch)

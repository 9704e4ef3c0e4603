import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.address import Address
from nanoclaw.delivery.typing_indicator import (
    FRESH_SECONDS,
    PAUSE_SECONDS,
    Signal,
    Typing,
    TypingFacts,
    decide_typing,
    is_fresh,
    note_delivered,
)

CHAT = Address("telegram", "42")
OTHER = Address("telegram", "43")


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(None, False), (0.0, True), (5.9, True), (6.0, False), (-1.9, True), (-2.1, False)],
)
def test_heartbeat_counts_for_six_seconds(age: float | None, fresh: bool) -> None:
    assert is_fresh(age) is fresh


def test_sign_is_shown_at_the_start_of_a_turn_and_repeated() -> None:
    typing, first = decide_typing(Typing(), TypingFacts(100.0, 1.0, CHAT))
    typing, soon = decide_typing(typing, TypingFacts(103.0, 1.0, OTHER))
    typing, later = decide_typing(typing, TypingFacts(104.0, 1.0, OTHER))

    assert [first, soon, later] == [Signal.SHOW, Signal.NONE, Signal.SHOW]
    assert typing.address == CHAT, "the source is read when the turn begins"


def test_refresh_follows_the_platform() -> None:
    typing, _ = decide_typing(Typing(), TypingFacts(100.0, 1.0, CHAT, refresh_seconds=9.0))

    _, early = decide_typing(typing, TypingFacts(108.0, 1.0, CHAT, refresh_seconds=9.0))
    _, due = decide_typing(typing, TypingFacts(109.0, 1.0, CHAT, refresh_seconds=9.0))

    assert (early, due) == (Signal.NONE, Signal.SHOW)


def test_end_of_the_turn_takes_the_sign_back_once() -> None:
    typing, _ = decide_typing(Typing(), TypingFacts(100.0, 1.0, CHAT))

    typing, ended = decide_typing(typing, TypingFacts(110.0, FRESH_SECONDS, CHAT))
    typing, after = decide_typing(typing, TypingFacts(111.0, None, CHAT))

    assert (ended, after) == (Signal.STOP, Signal.NONE)
    assert typing == Typing()


def test_next_turn_follows_the_newest_source() -> None:
    typing, _ = decide_typing(Typing(), TypingFacts(100.0, 1.0, CHAT))
    typing, _ = decide_typing(typing, TypingFacts(110.0, 60.0, None))

    typing, signal = decide_typing(typing, TypingFacts(120.0, 0.0, OTHER))

    assert (typing.address, signal) == (OTHER, Signal.SHOW)


def test_delivered_message_pauses_the_sign() -> None:
    typing, _ = decide_typing(Typing(), TypingFacts(100.0, 1.0, CHAT))
    typing = note_delivered(typing, 101.0, completes=False)

    typing, paused = decide_typing(typing, TypingFacts(101.0 + PAUSE_SECONDS - 1, 1.0, CHAT))
    typing, again = decide_typing(typing, TypingFacts(101.0 + PAUSE_SECONDS, 1.0, CHAT))

    assert (paused, again) == (Signal.NONE, Signal.SHOW)


def test_last_answer_needs_no_taking_back() -> None:
    typing, _ = decide_typing(Typing(), TypingFacts(100.0, 1.0, CHAT))
    typing = note_delivered(typing, 101.0, completes=True)

    _, signal = decide_typing(typing, TypingFacts(107.0, 60.0, CHAT))

    assert signal is Signal.NONE


@pytest.mark.parametrize(
    "facts",
    [
        TypingFacts(100.0, 1.0, None),
        TypingFacts(100.0, 1.0, CHAT, held_back=True),
        TypingFacts(100.0, None, CHAT),
        TypingFacts(100.0, -3600.0, CHAT),
    ],
)
def test_nothing_is_shown_without_source_or_while_messages_wait(facts: TypingFacts) -> None:
    assert decide_typing(Typing(), facts)[1] is Signal.NONE


@given(st.lists(st.tuples(st.floats(0.1, 30), st.one_of(st.none(), st.floats(-10, 60)))))
@settings(deadline=None, max_examples=100)
def test_sign_never_comes_faster_than_it_is_refreshed(
    steps: list[tuple[float, float | None]],
) -> None:
    typing, now, shown = Typing(), 0.0, []
    for pause, age in steps:
        now += pause
        before = typing
        typing, signal = decide_typing(typing, TypingFacts(now, age, CHAT))
        if signal is Signal.SHOW:
            if before.in_turn and before.shown_at is not None:
                assert now - before.shown_at >= 4.0
            shown.append(now)
        if signal is Signal.STOP:
            assert shown

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.jsontext import dump
from runner.desk.questions import (
    KEPT_FOR,
    MAX_QUESTIONS,
    OpenQuestion,
    find_question,
    parse_questions,
    with_question,
    without_question,
)

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


def question(number: int = 1, **changes: object) -> OpenQuestion:
    values: dict[str, object] = {
        "id": f"msg-{number}",
        "call_id": f"toolu_{number}",
        "title": "Deploy",
        "question": "Go live?",
        "deadline": NOON,
        **changes,
    }
    return OpenQuestion(**values)  # type: ignore[arg-type]


def test_question_is_found_again_until_it_is_closed() -> None:
    text = with_question(with_question(None, question(1), NOON), question(2), NOON)

    assert parse_questions(text) == (question(1), question(2))
    assert find_question(text, "msg-2") == question(2)
    assert find_question(text, "msg-3") is None
    assert parse_questions(without_question(text, "msg-1")) == (question(2),)


def test_last_one_that_is_closed_leaves_nothing() -> None:
    text = with_question(None, question(), NOON)

    assert without_question(text, "msg-1") is None


def test_same_question_is_kept_once() -> None:
    text = with_question(with_question(None, question(), NOON), question(title="New"), NOON)

    assert parse_questions(text) == (question(title="New"),)


def test_list_is_bounded_in_number_and_age() -> None:
    text: str | None = None
    for number in range(MAX_QUESTIONS + 10):
        text = with_question(text, question(number), NOON)
    assert len(parse_questions(text)) == MAX_QUESTIONS

    later = NOON + KEPT_FOR
    assert parse_questions(with_question(text, question(99, deadline=later), later)) == (
        question(99, deadline=later),
    )


@pytest.mark.parametrize(
    ("elsewhere", "now", "awaited"),
    [
        (True, NOON - timedelta(seconds=1), True),
        (True, NOON, False),
        (False, NOON - timedelta(seconds=1), False),
    ],
)
def test_tool_server_waits_until_its_deadline(
    elsewhere: bool, now: datetime, awaited: bool
) -> None:
    assert question(elsewhere=elsewhere).is_awaited_elsewhere(now) is awaited


@pytest.mark.parametrize("text", [None, "", "no json", "{}", "5", '[1,{"id":5},{"id":"x"}]'])
def test_what_is_no_list_of_questions_is_an_empty_one(text: str | None) -> None:
    assert parse_questions(text) == ()


@given(st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists, max_leaves=5))
def test_any_value_is_read(value: object) -> None:
    parse_questions(dump(value))

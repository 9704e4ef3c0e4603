from dataclasses import replace

import pytest
from helpers.delivery_rows import waiting

from nanoclaw.db.deliveries import Failure
from nanoclaw.delivery.failure_texts import (
    MAX_LISTED,
    NOTICE,
    People,
    agent_note,
    chat_notice,
    decide_people,
    owner_notice,
)
from nanoclaw.model import Delivery, DeliverySource, DeliveryState


def failed(failure: Failure, number: int = 1, reason: str = "chat gone") -> Delivery:
    uncertain = failure is Failure.UNCERTAIN
    state = DeliveryState.UNCERTAIN if uncertain else DeliveryState.FAILED
    return replace(waiting(number, "SECRET WORDS"), state=state, failure=failure, last_error=reason)


@pytest.mark.parametrize(
    ("failure", "people"),
    [
        (Failure.REFUSED, People.NOBODY),
        (Failure.DENIED, People.NOBODY),
        (Failure.PERMANENT, People.CHAT),
        (Failure.EXPIRED, People.OWNER),
        (Failure.UNCERTAIN, People.OWNER),
        (Failure.LATE, People.OWNER),
    ],
)
def test_who_hears_of_a_failure(failure: Failure, people: People) -> None:
    assert decide_people(failed(failure)) is people


def test_there_are_no_notices_about_notices_but_the_owner_hears_of_the_first() -> None:
    of_host = replace(failed(Failure.PERMANENT), source=DeliverySource.HOST)

    assert decide_people(of_host) is People.NOBODY
    notice = replace(of_host, delivery_id=f"{NOTICE}/sess-1/out-1")
    assert decide_people(notice) is People.OWNER


def test_a_joined_message_is_told_of_once() -> None:
    assert decide_people(replace(failed(Failure.EXPIRED), joined_into="d-9")) is People.NOBODY


@pytest.mark.parametrize("failure", [item for item in Failure if item is not Failure.DENIED])
def test_agent_reads_which_message_and_why(failure: Failure) -> None:
    told = agent_note([failed(failure, number=7, reason="blocked by the user")])

    assert told is not None
    assert "#7" in told.text
    assert "blocked by the user" in told.text


def test_many_failures_are_one_note_of_bounded_length() -> None:
    told = agent_note([failed(Failure.EXPIRED, number) for number in range(1, 300)])

    assert told is not None
    assert told.text.count("\n- #") == MAX_LISTED
    assert "and 289 more" in told.text


def test_note_is_the_same_for_the_same_state_and_another_for_the_next() -> None:
    first, second = failed(Failure.EXPIRED), failed(Failure.LATE)

    assert agent_note([first]) == agent_note([first])
    one, other = agent_note([first]), agent_note([second])
    assert one is not None and other is not None
    assert one.note_id != other.note_id


def test_files_that_stayed_behind_are_named_also_when_the_text_arrived() -> None:
    sent = replace(
        waiting(3, "x"), state=DeliveryState.SENT, files_problem="secret.txt is not a regular file"
    )

    told = agent_note([sent])

    assert told is not None
    assert "secret.txt is not a regular file" in told.text


def test_people_never_read_the_text_of_the_message() -> None:
    for failure in Failure:
        delivery = failed(failure)
        assert "SECRET" not in chat_notice(delivery)
        assert "SECRET" not in owner_notice(delivery, "Andy", "Family")

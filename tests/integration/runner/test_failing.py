"""Turns and streams that fail (R-90 to R-92, R-315, R-317)."""

import pytest
from helpers.loop_thread import (
    DoubleProvider,
    Gate,
    SessionGoneError,
    Turn,
    fail,
    running_loop,
    say,
    state_of,
)
from helpers.runner_process import RunnerSession

from contract.address import Address, Destination, DestinationType
from contract.inbound.row import AckStatus
from runner.answer import TEXTS
from runner.complaints import LASTING_AFTER
from runner.errors import ProviderError, Trouble
from runner.providers.base import Failure

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")


@pytest.fixture(autouse=True)
def destination(session: RunnerSession) -> None:
    session.permit(ME)


NOT_SAID = (Trouble.UNEXPECTED, Trouble.BUDGET_TOLD)
"""The one has a test of its own; of the other the host has told the chat already."""


def failing(trouble: Trouble, shown: str = "") -> Turn:
    return say(None, Failure(trouble, "internals", retryable=False, shown=shown))


@pytest.mark.parametrize("trouble", [t for t in Trouble if t not in NOT_SAID])
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "as an event"])
def test_every_trouble_is_one_sentence_to_who_asked_and_the_loop_goes_on(
    session: RunnerSession, trouble: Trouble, raised: bool
) -> None:
    turn = fail(ProviderError(trouble, "internals")) if raised else failing(trouble)
    asked = session.send("one")

    with running_loop(session, DoubleProvider(turn)):
        session.wait_for_status(asked, AckStatus.COMPLETED)
        session.wait_for_status(session.send("two"), AckStatus.COMPLETED)

    assert session.texts() == [f"Error: {TEXTS[trouble]}", "ok"]
    assert session.messages()[0].in_reply_to == asked


def test_what_the_host_has_told_already_is_not_said_again(session: RunnerSession) -> None:
    asked = session.send("one")

    with running_loop(session, DoubleProvider(failing(Trouble.BUDGET_TOLD))):
        session.wait_for_status(asked, AckStatus.COMPLETED)
        session.wait_for_status(session.send("two"), AckStatus.COMPLETED)

    assert session.texts() == ["ok"]


def test_what_may_be_shown_follows_the_sentence(session: RunnerSession) -> None:
    session.send("one")

    with running_loop(session, DoubleProvider(failing(Trouble.QUOTA, "It ends at noon."))):
        [text] = session.wait_for_texts(1)

    assert text == f"Error: {TEXTS[Trouble.QUOTA]} It ends at noon."


def test_trouble_that_may_pass_is_not_told_at_once(session: RunnerSession) -> None:
    again = Failure(Trouble.OVERLOADED, "529", retryable=True)
    asked = session.send("one")

    with running_loop(session, DoubleProvider(say('<message to="me">a</message>', again, again))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.texts() == ["a"]


def test_conversation_that_is_too_large_is_archived_and_started_anew(
    session: RunnerSession,
) -> None:
    gate = Gate()
    provider = DoubleProvider(
        gate.hold(None, Failure(Trouble.TOO_LARGE, "x", retryable=False)),
    )
    session.send("one")

    with running_loop(session, provider):
        gate.wait()
        second = session.send("two")
        session.wait_for_status(second, AckStatus.PROCESSING)
        gate.open.set()
        session.wait_for_status(second, AckStatus.COMPLETED)

    assert session.texts() == [f"Error: {TEXTS[Trouble.TOO_LARGE]}", "ok"]
    assert provider.archived == ["c-1"]
    assert [query.continuation for query in provider.inputs] == [None, None]
    assert state_of(session, "continuation:scripted") == "c-2"


def test_unusable_conversation_is_given_up_and_the_message_answered_once(
    session: RunnerSession,
) -> None:
    provider = DoubleProvider(
        say('<message to="me">a</message>'),
        fail(SessionGoneError("no such file")),
        say('<message to="me">b</message>'),
    )
    session.send("one")

    with running_loop(session, provider):
        session.wait_for_texts(1)
        provider.queries[0].end()
        session.wait_for_status(session.send("two"), AckStatus.COMPLETED)

    assert session.texts() == ["a", "b"]
    assert provider.archived == ["c-1"]
    assert [query.continuation for query in provider.inputs] == [None, "c-1", None]


def test_handle_that_came_in_the_failing_query_counts(session: RunnerSession) -> None:
    """The stored value was none when the query began; its ``init`` has set it since."""
    provider = DoubleProvider(fail(SessionGoneError("gone")), fail(SessionGoneError("gone")))
    asked = session.send("one")

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert len(provider.inputs) == 2
    [text] = session.texts()
    assert text.startswith("Error: Something went wrong.")
    assert state_of(session, "continuation:scripted") is None


def test_stream_that_ends_without_a_result_is_told(session: RunnerSession) -> None:
    gate = Gate()
    provider = DoubleProvider(gate.hold("x"))
    asked = session.send("one")

    with running_loop(session, provider):
        gate.wait()
        provider.queries[0].abort()
        gate.open.set()
        session.wait_for_status(asked, AckStatus.COMPLETED)

    [text] = session.texts()
    assert text.startswith("Error: Something went wrong.")


def test_lasting_trouble_is_told_once_per_chat_after_three_turns(session: RunnerSession) -> None:
    provider = DoubleProvider(*(failing(Trouble.AUTH) for _ in range(LASTING_AFTER + 3)))
    elsewhere = Address("slack", "C1")

    with running_loop(session, provider):
        for _ in range(LASTING_AFTER + 1):
            session.wait_for_status(session.send("hello"), AckStatus.COMPLETED)
        for _ in range(2):
            message = session.send("hello", address=elsewhere)
            session.wait_for_status(message, AckStatus.COMPLETED)

    told = [row.address for row in session.messages()]
    assert len(told) == LASTING_AFTER + 1
    assert told.count(elsewhere) == 1


def test_push_that_comes_too_late_frees_its_rows_for_the_next_query(
    session: RunnerSession,
) -> None:
    gate = Gate()
    provider = DoubleProvider(gate.hold('<message to="me">a</message>'))
    session.send("one")

    with running_loop(session, provider):
        gate.wait()
        provider.queries[0].refuse_pushes()
        second = session.send("two")
        gate.open.set()
        session.wait_for_status(second, AckStatus.COMPLETED)

    assert session.texts() == ["a", "ok"]
    assert len(provider.queries) == 2

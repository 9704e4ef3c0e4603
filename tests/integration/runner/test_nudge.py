"""What becomes of text that addresses nobody (R-86 to R-89, R-138 to R-141)."""

import pytest
from helpers.loop_thread import (
    DoubleDesk,
    DoubleProvider,
    Gate,
    insert,
    origin_of,
    running_loop,
    say,
    wait_for_prompts,
)
from helpers.runner_process import CHAT, RunnerSession

from contract.address import Address, Destination, DestinationType
from contract.inbound.row import AckStatus
from runner.providers.base import Said

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")
OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")


@pytest.fixture
def two(session: RunnerSession) -> RunnerSession:
    session.permit(ME, OPS)
    return session


def test_bare_text_produces_no_row_and_the_agent_is_told_once(two: RunnerSession) -> None:
    provider = DoubleProvider(say("bare"), say('<message to="me">wrapped</message>'))
    message = two.send("hello")

    with running_loop(two, provider):
        two.wait_for_status(message, AckStatus.COMPLETED)

    first, nudge = provider.prompts
    assert first.ids == (message,)
    assert (nudge.text, nudge.words, nudge.ids) == ("", "", ())
    assert '<message to="name">' in nudge.notes[0]
    assert "`me`, `ops`" in nudge.notes[0]
    assert two.texts() == ["wrapped"]
    assert two.messages()[0].in_reply_to == message


def test_rows_stay_claimed_until_the_agent_has_answered_the_nudge(two: RunnerSession) -> None:
    gate = Gate()
    provider = DoubleProvider(say("bare"), gate.hold('<message to="me">x</message>'))
    message = two.send("hello")

    with running_loop(two, provider):
        gate.wait()
        assert two.status_of(message) is AckStatus.PROCESSING
        gate.open.set()
        two.wait_for_status(message, AckStatus.COMPLETED)


def test_second_unwrapped_answer_goes_to_the_only_chat_it_can_be_meant_for(
    two: RunnerSession,
) -> None:
    provider = DoubleProvider(say("bare"), say("<internal>no</internal>still bare"))
    message = two.send("hello")

    with running_loop(two, provider):
        two.wait_for_status(message, AckStatus.COMPLETED)

    assert two.texts() == ["still bare"]
    assert (two.messages()[0].address, two.messages()[0].in_reply_to) == (CHAT, message)


def test_second_unwrapped_answer_of_a_doubtful_receiver_is_not_sent(two: RunnerSession) -> None:
    provider = DoubleProvider(say("secret"), say("secret"))
    message = two.send("hello", address=Address("matrix", "stranger"))

    with running_loop(two, provider):
        two.wait_for_status(message, AckStatus.COMPLETED)

    [row] = two.messages()
    assert "could not be delivered" in two.texts()[0]
    assert "secret" not in two.texts()[0]
    assert row.address == Address("matrix", "stranger")


def test_no_nudge_when_a_tool_has_delivered_something(two: RunnerSession) -> None:
    desk = DoubleDesk()
    gate = Gate()
    provider = DoubleProvider(gate.hold("done, as I said"))
    message = two.send("hello")

    with running_loop(two, provider, desk=desk):
        gate.wait()
        desk.deliveries += 1
        gate.open.set()
        two.wait_for_status(message, AckStatus.COMPLETED)

    assert len(provider.prompts) == 1
    assert two.texts() == []


def test_no_nudge_when_an_earlier_block_of_the_turn_was_sent(two: RunnerSession) -> None:
    said = Said('working <message to="me">soon</message>', origin_of("a"))
    provider = DoubleProvider(say("closing remark", said))
    message = two.send("hello")

    with running_loop(two, provider):
        two.wait_for_status(message, AckStatus.COMPLETED)

    assert len(provider.prompts) == 1
    assert two.texts() == ["soon"]


@pytest.mark.parametrize(
    ("kind", "content", "address"),
    [
        ("task", {"prompt": "look"}, CHAT),
        ("webhook", {"payload": 1}, CHAT),
        (
            "chat",
            {"text": "restarted", "sender": "system", "senderId": "system"},
            Address("agent", "ag-1"),
        ),
    ],
)
def test_turn_that_no_person_has_asked_for_may_stay_silent(
    two: RunnerSession, kind: str, content: object, address: Address
) -> None:
    provider = DoubleProvider(say("nothing to report"))
    row = insert(two, "t-1", kind, content, address=address)

    with running_loop(two, provider):
        two.wait_for_status(row, AckStatus.COMPLETED)

    assert len(provider.prompts) == 1
    assert two.texts() == []


def test_only_internal_text_needs_no_nudge(two: RunnerSession) -> None:
    provider = DoubleProvider(say("<internal>nothing to do</internal>"))
    message = two.send("hello")

    with running_loop(two, provider):
        two.wait_for_status(message, AckStatus.COMPLETED)

    assert len(provider.prompts) == 1


def test_follow_up_allows_another_nudge(two: RunnerSession) -> None:
    gate = Gate()
    provider = DoubleProvider(say("bare"), gate.hold("bare"), say("bare"))
    two.send("one")

    with running_loop(two, provider):
        gate.wait()
        second = two.send("two")
        two.wait_for_status(second, AckStatus.PROCESSING)
        gate.open.set()
        two.wait_for_status(second, AckStatus.COMPLETED)

    nudges = [prompt for prompt in provider.prompts if not prompt.text]
    assert len(nudges) == 2


def test_unknown_name_beside_a_known_one_is_told_with_the_next_prompt(two: RunnerSession) -> None:
    answer = '<message to="me">a</message><message to="who">b</message>'
    provider = DoubleProvider(say(answer))
    two.send("one")

    with running_loop(two, provider):
        two.wait_for_texts(1)
        two.send("two")
        two.wait_for_texts(2)

    first, second = provider.prompts
    assert first.notes == ()
    [note] = second.notes
    assert '"who"' in note
    assert two.texts() == ["a", "ok"]


def test_only_unknown_names_lead_to_a_nudge_that_names_them(two: RunnerSession) -> None:
    provider = DoubleProvider(say('<message to="who">b</message>'))
    message = two.send("one")

    with running_loop(two, provider):
        two.wait_for_status(message, AckStatus.COMPLETED)

    assert '"who"' in provider.prompts[1].notes[0]
    assert two.texts() == ["ok"]


def test_changed_destinations_are_told_with_the_next_prompt(two: RunnerSession) -> None:
    provider = DoubleProvider()
    two.send("one")

    with running_loop(two, provider):
        two.wait_for_texts(1)
        two.permit(ME)
        two.send("two")
        two.wait_for_texts(2)
        two.send("three")
        wait_for_prompts(provider, 3)

    assert [prompt.notes == () for prompt in provider.prompts] == [True, False, True]
    assert "`me`." in provider.prompts[1].notes[0]

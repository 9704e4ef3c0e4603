"""Slash commands in the loop (R-70 to R-76, R-95, R-307, R-310 to R-312)."""

import pytest
from helpers.loop_thread import DoubleProvider, Gate, running_loop, say, state_of
from helpers.runner_process import CHAT, RunnerSession, text_of
from helpers.waiting import wait_until

from contract.address import Address, Destination, DestinationType
from contract.inbound.row import AckStatus
from runner.errors import ProviderError, Trouble
from runner.providers.base import CommandOutcome

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")
OTHER = Address("slack", "C1", "t-1")
KEY = "continuation:scripted"


@pytest.fixture
def provider() -> DoubleProvider:
    made = DoubleProvider()
    made.commands = frozenset({"/compact", "/context", "/cost", "/files"})
    return made


@pytest.fixture(autouse=True)
def destination(session: RunnerSession) -> None:
    session.permit(ME)


@pytest.mark.parametrize("word", ["/context", "/cost", "/files"])
def test_question_is_answered_at_once_during_a_turn(
    session: RunnerSession, provider: DoubleProvider, word: str
) -> None:
    gate = Gate()
    provider.turns.append(gate.hold('<message to="me">later</message>'))
    provider.outcomes[word] = CommandOutcome("a table")
    session.send("work")

    with running_loop(session, provider):
        gate.wait()
        asked = session.send(f"{word} all", address=OTHER)
        assert session.wait_for_texts(1) == ["a table"]
        gate.open.set()
        session.wait_for_texts(2)

    [row] = [row for row in session.messages() if text_of(row) == "a table"]
    assert (row.address, row.in_reply_to) == (OTHER, asked)
    assert provider.ran == [(word, "all", "c-1")]
    assert len(provider.prompts) == 1


def test_compaction_waits_for_the_end_of_the_turn(
    session: RunnerSession, provider: DoubleProvider
) -> None:
    gate = Gate()
    provider.turns.append(gate.hold('<message to="me">first</message>'))
    provider.outcomes["/compact"] = CommandOutcome("smaller", continuation="c-new")
    session.send("work")

    with running_loop(session, provider):
        gate.wait()
        session.send("/compact keep names")
        after = session.send("after")
        wait_until(lambda: provider.queries[0]._ended, what="the stream to be asked to end")
        assert provider.ran == []
        gate.open.set()
        session.wait_for_status(after, AckStatus.COMPLETED)

    assert session.texts() == ["first", "smaller", "ok"]
    assert provider.ran == [("/compact", "keep names", "c-1")]
    assert [query.continuation for query in provider.inputs] == [None, "c-new"]
    assert state_of(session, KEY) == "c-new"


def test_messages_wait_while_the_conversation_is_compacted(
    session: RunnerSession, provider: DoubleProvider
) -> None:
    provider.command_gate = Gate()
    session.send("/compact")

    with running_loop(session, provider):
        provider.command_gate.wait()
        message = session.send("hello")
        stop = session.send("/cost")
        session.wait_for_status(stop, AckStatus.PROCESSING)
        assert session.status_of(message) is None
        provider.command_gate.open.set()
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert session.texts() == ["/compact done", "/cost done", "ok"]


def test_stop_breaks_a_compaction_off(session: RunnerSession, provider: DoubleProvider) -> None:
    provider.command_gate = Gate()
    session.send("/compact")

    with running_loop(session, provider):
        provider.command_gate.wait()
        session.send("/stop")
        session.wait_for_texts(2)

    assert session.texts() == ["Stopped.", "Stopped."]


@pytest.mark.parametrize(
    ("error", "start"),
    [
        (ProviderError(Trouble.NETWORK, "secret"), "Error: The model could not be reached."),
        (ValueError("secret"), "Error: That did not work."),
    ],
)
def test_command_that_fails_is_answered_and_the_loop_goes_on(
    session: RunnerSession, provider: DoubleProvider, error: Exception, start: str
) -> None:
    provider.outcomes["/cost"] = error
    session.send("/cost")

    with running_loop(session, provider):
        [text] = session.wait_for_texts(1)
        session.send("hello")
        session.wait_for_texts(2)

    assert text.startswith(start)
    assert "secret" not in text


def test_clear_writes_confirmation_archives_forgets_and_skips_the_provider(
    session: RunnerSession, provider: DoubleProvider
) -> None:
    session.send("hello")

    with running_loop(session, provider):
        session.wait_for_texts(1)
        clear = session.send("/clear", address=OTHER)
        session.wait_for_texts(2)
        assert state_of(session, KEY) is None
        session.send("again")
        session.wait_for_texts(3)

    confirmation = session.messages()[1]
    assert (confirmation.address, confirmation.in_reply_to) == (OTHER, clear)
    assert provider.archived == ["c-1"]
    assert [query.continuation for query in provider.inputs] == [None, None]


@pytest.mark.parametrize("text", ["/clearx", "/clear-all", "/CLEARANCE"])
def test_prefix_forms_of_clear_clear_nothing(
    session: RunnerSession, provider: DoubleProvider, text: str
) -> None:
    message = session.send(text)

    with running_loop(session, provider):
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert provider.archived == []
    assert text in provider.prompts[0].text


def test_command_of_another_program_gets_one_line(
    session: RunnerSession, provider: DoubleProvider
) -> None:
    message = session.send("/login now")

    with running_loop(session, provider):
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert session.texts() == ["/login does nothing here."]
    assert (session.messages()[0].address, provider.prompts) == (CHAT, [])


def test_other_agent_never_commands(session: RunnerSession, provider: DoubleProvider) -> None:
    message = session.send("/clear", address=Address("agent", "ag-2"))

    with running_loop(session, provider):
        session.wait_for_status(message, AckStatus.COMPLETED)

    assert "/clear" in provider.prompts[0].text
    assert provider.archived == []


def test_skill_is_a_message_with_its_instructions_as_a_note(
    session: RunnerSession, provider: DoubleProvider
) -> None:
    asked: list[tuple[str, str]] = []

    def skill_body(name: str, arguments: str) -> str | None:
        asked.append((name, arguments))
        return "Read <all> files." if name == "review" else None

    session.send("/review the code")
    other = session.send("/usr/bin is full")

    with running_loop(session, provider, skill_body=skill_body):
        session.wait_for_status(other, AckStatus.COMPLETED)

    [prompt] = provider.prompts
    assert asked == [("review", "the code"), ("usr/bin", "is full")]
    assert "/review the code</message>" in prompt.text
    [note] = prompt.notes
    assert "Read <all> files." in note


@pytest.mark.parametrize("point", ["runner.claimed", "runner.commanded"])
def test_answer_of_a_command_is_neither_lost_nor_doubled_by_a_restart(
    session: RunnerSession, provider: DoubleProvider, point: str
) -> None:
    """The thread cannot be killed, so it is stopped with the claim on disk, or with the answer."""
    provider.command_gate = Gate()
    asked = session.send("/cost")
    with running_loop(session, provider):
        provider.command_gate.wait()
        session.wait_for_status(asked, AckStatus.PROCESSING)
        if point == "runner.commanded":
            provider.command_gate.open.set()
            session.wait_for_status(asked, AckStatus.COMPLETED)
    session.renew_lease()
    provider.command_gate = None

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)
        other = session.send("other")
        session.wait_for_status(other, AckStatus.COMPLETED)

    assert session.texts() == ["/cost done", "ok"]


def test_stop_ends_the_turn_and_keeps_the_conversation(
    session: RunnerSession, provider: DoubleProvider
) -> None:
    gate = Gate()
    provider.turns.extend([gate.hold(None), say('<message to="me">on</message>')])
    session.send("work")

    with running_loop(session, provider):
        gate.wait()
        stop = session.send("/stop")
        session.wait_for_status(stop, AckStatus.COMPLETED)
        assert provider.queries[0].interrupted
        gate.open.set()
        session.send("go on")
        session.wait_for_texts(2)

    assert session.texts() == ["Stopped.", "on"]
    assert len(provider.queries) == 1

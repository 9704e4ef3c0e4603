"""Acceptance scenarios of the loop from end to end that no other file shows under their names."""

import sqlite3
from pathlib import Path

import pytest
from helpers.loop_thread import DoubleProvider, insert, running_loop, say, wait_for_prompts
from helpers.runner_process import CHAT, RunnerSession, text_of
from helpers.waiting import wait_until

from contract.address import Address, Destination, DestinationType
from contract.inbound.row import AckStatus
from runner.providers.base import ProviderOptions
from runner.providers.claude.provider import ClaudeProvider, create
from runner.settings import read_settings
from runner.toolbox.none import NoInstructions, Nothing, NoTools

ME = Destination("me", "Me", DestinationType.CHANNEL, "cli", "local")
OPS = Destination("ops", "Ops", DestinationType.CHANNEL, "slack", "C1")


@pytest.fixture(autouse=True)
def destinations(session: RunnerSession) -> None:
    session.permit(ME, OPS)


def test_inbound_row_becomes_an_outbound_row_and_is_completed(session: RunnerSession) -> None:
    asked = session.send("hello")

    with running_loop(session, DoubleProvider(say('<message to="me">hi</message>'))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    [row] = session.messages()
    assert (text_of(row), row.kind, row.address, row.in_reply_to) == ("hi", "chat", CHAT, asked)


def test_batch_of_two_is_one_prompt(session: RunnerSession) -> None:
    first, second = session.send("one"), session.send("two")
    provider = DoubleProvider()

    with running_loop(session, provider):
        session.wait_for_status(second, AckStatus.COMPLETED)

    [prompt] = provider.prompts
    assert prompt.ids == (first, second)
    assert prompt.text.index(">one<") < prompt.text.index(">two<")


def test_several_blocks_are_several_rows(session: RunnerSession) -> None:
    asked = session.send("go")
    blocks = say('<message to="me">a</message><message to="me">b</message>')

    with running_loop(session, DoubleProvider(blocks)):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.texts() == ["a", "b"]


def test_unknown_destination_is_dropped_and_the_valid_one_is_sent(session: RunnerSession) -> None:
    asked = session.send("go")
    blocks = say('<message to="nobody">a</message><message to="me">b</message>')

    with running_loop(session, DoubleProvider(blocks)):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.texts() == ["b"]


def test_newest_thread_wins_when_there_are_two(session: RunnerSession) -> None:
    session.send("old", address=Address("slack", "C1", "t-1"), trigger=False)
    session.send("new", address=Address("slack", "C1", "t-2"), trigger=False)
    asked = session.send("go")

    with running_loop(session, DoubleProvider(say('<message to="ops">x</message>'))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.messages()[0].address.thread_id == "t-2"


def test_internal_text_between_blocks_is_not_sent(session: RunnerSession) -> None:
    asked = session.send("go")
    text = (
        '<message to="me">a</message><internal>secret <message to="me">draft</message></internal>'
        '<message to="me">b</message>'
    )

    with running_loop(session, DoubleProvider(say(text))):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    assert session.texts() == ["a", "b"]


def test_batch_of_a_task_and_a_chat_shows_the_origin_of_each(session: RunnerSession) -> None:
    insert(session, "t-1", "task", {"prompt": "look"}, address=Address("slack", "C1"))
    asked = session.send("hello")
    provider = DoubleProvider()

    with running_loop(session, provider):
        session.wait_for_status(asked, AckStatus.COMPLETED)

    [prompt] = wait_for_prompts(provider, 1)
    assert '<task from="ops" ' in prompt.text
    assert ' from="me" sender="Ann" ' in prompt.text


def test_row_without_an_explicit_trigger_wakes(session: RunnerSession) -> None:
    """The column's own default, as an older host leaves it (R-41)."""
    with sqlite3.connect(session.paths.inbound_db) as conn:
        conn.execute(
            "INSERT INTO messages_in (id, seq, kind, timestamp, status, content)"
            " VALUES ('m-old', 2, 'chat', '2026-03-09 12:00:00', 'pending', '{\"text\":\"hi\"}')"
        )
    conn.close()
    provider = DoubleProvider()

    with running_loop(session, provider):
        [prompt] = wait_for_prompts(provider, 1)
        wait_until(lambda: session.status_of("m-old") is AckStatus.COMPLETED)

    assert prompt.ids == ("m-old",)


def test_claude_is_created_by_its_factory(session: RunnerSession, tmp_path: Path) -> None:
    settings = read_settings(session.paths)
    options = ProviderOptions(
        session.paths,
        settings.session,
        settings.config,
        NoTools(),
        NoInstructions(),
        Nothing(),
        Nothing(),
        environment={"ANTHROPIC_API_KEY": "placeholder", "HOME": str(tmp_path)},
    )

    assert isinstance(create(options), ClaudeProvider)

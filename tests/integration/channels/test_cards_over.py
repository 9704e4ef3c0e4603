from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.channel_double import DoubleChannel, Platform, failing, open_double
from helpers.channel_terminal import RawClient
from helpers.channel_worker import Stage, deliver, open_stage
from helpers.waiting import wait_until

from nanoclaw.channels.part import Part
from nanoclaw.events import (
    ActionOutcome,
    ActionResult,
    Delivered,
    FailureClass,
    Ok,
    Refused,
    ResolveCard,
)

QUESTION = (
    '{"type":"ask_question","questionId":"q1","title":"Deploy?","question":"Really?",'
    '"options":["Yes","No"]}'
)
OVER = "Deploy?: Yes — Olga, 2026-11-25 10:00 UTC"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "home") as opened:
        yield opened


def show_question(stage: Stage) -> str:
    """Its id as the platform knows it."""
    answer = stage.delivery.ask(
        replace(deliver("", "card/q1/1"), kind="chat-sdk", content=QUESTION)
    )
    assert isinstance(answer, Delivered)
    return answer.ids[-1]


def over(message_id: str) -> ResolveCard:
    return ResolveCard("card/q1/1", "local", message_id, OVER)


def connect(stage: Stage) -> RawClient:
    return stage.connect("window")


def test_terminal_prints_one_line_for_a_card_that_ended_elsewhere(stage: Stage) -> None:
    client = connect(stage)
    message_id = show_question(stage)

    answers = [stage.delivery.ask(over(message_id)) for _ in range(2)]

    assert answers == [Ok(), Ok()]
    client.wait_for_text(OVER)
    assert client.texts.count(OVER) == 1


def test_number_typed_after_the_end_is_an_ordinary_message(stage: Stage) -> None:
    client = connect(stage)
    stage.delivery.ask(over(show_question(stage)))

    client.say("1", "m1")

    wait_until(lambda: stage.router.texts == ["1"])
    assert stage.router.actions == []


def test_line_is_kept_for_a_terminal_that_is_not_there(stage: Stage) -> None:
    stage.delivery.ask(over(show_question(stage)))

    client = connect(stage)

    client.wait_for_text(OVER)


def test_card_that_was_answered_here_is_not_announced_again(stage: Stage) -> None:
    stage.router.action_result = ActionResult(ActionOutcome.ACCEPTED, "Deploy?", "Yes", "cli")
    client = connect(stage)
    message_id = show_question(stage)
    client.say("1", "m1")
    wait_until(lambda: stage.router.actions)
    client.wait_for_text("Deploy?: Yes")

    assert stage.delivery.ask(over(message_id)) == Ok()

    assert OVER not in client.texts


class ChangingChannel(DoubleChannel):
    """Can change a card that it has sent."""

    def resolve_card(self, platform_id: str, message_id: str, text: str) -> None:
        self._call()
        self.platform.sent.append((f"{platform_id}/{message_id}", Part(key="", text=text)))


def test_channel_that_can_change_a_card_is_asked_to(tmp_path: Path) -> None:
    with open_double(tmp_path / "home", adapter_class=ChangingChannel) as stage:
        assert stage.delivery.ask(over("m-7")) == Ok()

        assert [(place, part.text) for place, part in stage.platform.sent] == [("local/m-7", OVER)]


def test_failure_to_change_a_card_is_said(tmp_path: Path) -> None:
    platform = Platform(failures=[failing(FailureClass.PERMANENT, "too old to edit")])
    with open_double(tmp_path / "home", platform, adapter_class=ChangingChannel) as stage:
        assert stage.delivery.ask(over("m-7")) == Refused("permanent: too old to edit")


def test_channel_that_cannot_change_a_card_says_so(tmp_path: Path) -> None:
    with open_double(tmp_path / "home") as stage:
        assert stage.delivery.ask(over("m-7")) == Refused("this channel cannot do that")

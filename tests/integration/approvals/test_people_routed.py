"""New chats, names, codes and typed answers as the router hears them: real loop, real sockets."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.routing_stage import ALICE, CHANNEL, CHAT, OWNER, RouterStage, message

from contract.clock import utc_now
from contract.jsontext import parse_object
from nanoclaw.approvals.pairing import Intent, create_code
from nanoclaw.db import (
    agent_groups,
    chat_requests,
    inbound_events,
    members,
    messaging_groups,
    roles,
    sender_requests,
    wirings,
)
from nanoclaw.db.connection import transaction
from nanoclaw.events import Action, ActionOutcome, ActionResult, InboundEvent, Outcome
from nanoclaw.model import AgentGroup, EngageMode, MessagingGroup, UnknownSenderPolicy

OWNER_CHAT = "double:dm-owner"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[RouterStage]:
    """One owner with a direct chat that an agent answers in, and no other chat."""
    stage = RouterStage(tmp_path)
    stage.owner()
    stage.wire(stage.chat(OWNER_CHAT), first_agent(stage).id)
    yield stage
    stage.close()


def first_agent(stage: RouterStage) -> AgentGroup:
    return agent_groups.list_all(stage.conn)[0]


def mention(number: int, text: str = "hello", *, is_group: bool = True) -> InboundEvent:
    return message(number, text, is_mention=True, is_group=is_group)


def from_owner(number: int, text: str, platform_id: str = OWNER_CHAT) -> InboundEvent:
    return message(
        number, text, sender_id="owner", sender_name="Olga", platform_id=platform_id,
        is_group=False, is_mention=True,
    )  # fmt: skip


def new_chat(stage: RouterStage) -> MessagingGroup:
    chat = messaging_groups.find_by_address(stage.conn, CHANNEL, CHAT)
    assert chat is not None
    return chat


def press(stage: RouterStage, card: str, value: str, user: str = "owner") -> ActionResult:
    result = stage.ask(Action(f"press-{value}", card, value, user, OWNER_CHAT, "card-1"))
    assert isinstance(result, ActionResult)
    return result


def texts(stage: RouterStage, agent_id: str) -> list[str]:
    return [
        str(parse_object(row.content, max_bytes=10**6)["text"]) for row in stage.rows_of(agent_id)
    ]


def test_t33_connected_group_gets_the_message_that_was_waiting(town: RouterStage) -> None:
    (first,) = town.send(mention(1, "what is this?"))
    (second,) = town.send(mention(2, "hello again"))
    chat = new_chat(town)
    agent = first_agent(town)

    result = press(town, chat.id, f"connect:{agent.id}")
    town.settle()

    assert (first.outcome, second.outcome) == (Outcome.HELD, Outcome.HELD)
    assert result.outcome is ActionOutcome.ACCEPTED
    (wiring,) = wirings.of_chat(town.conn, chat.id)
    assert wiring.engage_mode is EngageMode.MENTION_STICKY
    assert members.has_row(town.conn, ALICE, agent.id)
    assert texts(town, agent.id) == ["what is this?", "hello again"]


def test_t33_rejected_chat_is_silent_for_good(town: RouterStage) -> None:
    town.send(mention(1))
    chat = new_chat(town)

    result = press(town, chat.id, "reject")
    (later,) = town.send(mention(2))

    assert result.outcome is ActionOutcome.ACCEPTED
    assert later.outcome is Outcome.IGNORED
    assert chat_requests.list_all(town.conn) == []
    assert inbound_events.count_waiting(town.conn, chat.id) == 0
    assert town.sessions(first_agent(town).id) == []


def test_t33_new_agent_gets_its_name_in_the_owners_chat_and_answers_in_the_new_one(
    town: RouterStage,
) -> None:
    town.send(mention(1, "anybody?"))
    press(town, new_chat(town).id, "new_agent")

    (named,) = town.send(from_owner(2, "Research"))
    town.settle()

    assert named.outcome is Outcome.ROUTED
    assert named.reason == "name"
    group = next(g for g in agent_groups.list_all(town.conn) if g.name == "Research")
    assert texts(town, group.id) == ["anybody?"]
    assert texts(town, first_agent(town).id) == []
    assert any("is ready" in text for text in town.said_texts())


def test_message_of_the_owner_is_for_the_agent_while_nothing_is_owed(town: RouterStage) -> None:
    town.send(from_owner(1, "1"), from_owner(2, "approve me"), from_owner(3, "1234"))
    town.settle()

    assert texts(town, first_agent(town).id) == ["1", "approve me", "1234"]


def test_code_from_an_unknown_chat_pairs_it_and_goes_nowhere_else(town: RouterStage) -> None:
    with transaction(town.conn):
        intent = Intent(CHANNEL, f"chat:{first_agent(town).id}", OWNER)
        code = create_code(town.conn, intent, utc_now()).code

    (paired,) = town.send(message(1, code, is_group=False))
    town.send(message(2, "hello", is_group=False))
    town.settle()

    assert (paired.outcome, paired.reason) == (Outcome.ROUTED, "pairing")
    assert texts(town, first_agent(town).id) == ["hello"]
    stored = town.conn.execute("SELECT event_json, targets_json FROM inbound_events").fetchall()
    assert not [row for row in stored if code in f"{row[0]}{row[1]}"]
    assert sender_requests.list_all(town.conn) == []
    assert chat_requests.list_all(town.conn) == []


def test_code_for_an_owner_makes_one_who_then_decides(town: RouterStage) -> None:
    with transaction(town.conn):
        code = create_code(town.conn, Intent(CHANNEL, "owner", OWNER), utc_now()).code
    town.send(replace(message(1, code, is_group=False), platform_id="double:dm-alice"))
    town.send(mention(2))

    result = press(town, new_chat(town).id, "reject", user="alice")

    assert roles.is_owner(town.conn, ALICE)
    assert result.outcome is ActionOutcome.ACCEPTED


def test_t32_refused_stranger_is_not_asked_about_again_at_once(town: RouterStage) -> None:
    town.wire(town.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL), first_agent(town).id)
    town.send(message(1))
    (request,) = sender_requests.list_all(town.conn)

    press(town, request.id, "reject")
    (again,) = town.send(message(2))

    assert again.outcome is Outcome.IGNORED
    assert sender_requests.list_all(town.conn) == []
    assert town.sessions(first_agent(town).id) == []


def test_card_is_answered_by_its_id_typed_in_the_owners_chat(town: RouterStage) -> None:
    town.wire(town.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL), first_agent(town).id)
    town.send(message(1, "let me in"))
    (request,) = sender_requests.list_all(town.conn)

    (answer,) = town.send(from_owner(2, f"approve {request.id}"))
    town.settle()

    assert (answer.outcome, answer.reason) == (Outcome.ROUTED, "answer")
    assert texts(town, first_agent(town).id) == ["let me in"]
    assert "New sender: Allowed" in town.said_texts()

"""Events that wait for a person: kept whole, decided anew, bounded, and ended."""

from datetime import timedelta

import pytest
from helpers.routing_stage import ALICE, CHANNEL, CHAT, OWNER, RouterStage, message

from contract.clock import utc_now
from contract.jsontext import dump
from nanoclaw.db import inbound_events, members, messaging_groups
from nanoclaw.db.inbound_events import NewInboundEvent
from nanoclaw.db.members import Member
from nanoclaw.events import Action, ActionOutcome, ActionResult, Outcome
from nanoclaw.model import UnknownSenderPolicy
from nanoclaw.routing.apply import Committer
from nanoclaw.routing.verdicts import MAX_HELD


@pytest.fixture
def town(stage: RouterStage) -> RouterStage:
    """One agent in one chat where strangers are asked about."""
    stage.agent()
    stage.owner()
    stage.wire(stage.chat(policy=UnknownSenderPolicy.REQUEST_APPROVAL))
    return stage


def request_of(stage: RouterStage) -> str:
    row = stage.conn.execute("SELECT id FROM pending_sender_approvals").fetchone()
    return str(row[0])


def allow(stage: RouterStage, waits_for: str, agent_id: str = "ag-1") -> None:
    """As an approval does it, in whatever process."""
    stage.user(ALICE)
    members.add(stage.conn, Member(ALICE, agent_id, utc_now()))
    inbound_events.release(stage.conn, waits_for)
    stage.conn.execute("DELETE FROM pending_sender_approvals")
    stage.ring()


def texts(stage: RouterStage, agent_id: str = "ag-1") -> list[str]:
    return [row.content.split('"')[3] for row in stage.rows_of(agent_id)]


def test_stranger_waits_whole_and_leaves_nothing_in_a_session(town: RouterStage) -> None:
    (answer,) = town.send(message(1, "let me in"))

    assert answer.outcome is Outcome.HELD
    assert town.sessions() == []
    assert inbound_events.count_waiting(town.conn, request_of(town)) == 1


def test_released_events_arrive_in_their_order_before_anything_newer(town: RouterStage) -> None:
    town.send(message(1, "one"), message(2, "two"))
    waits_for = request_of(town)

    allow(town, waits_for)
    town.send(message(3, "three"))
    town.settle()

    assert texts(town) == ["one", "two", "three"]


def test_bell_of_another_process_lets_released_events_go_on(town: RouterStage) -> None:
    town.send(message(1, "one"))

    allow(town, request_of(town))
    town.spin(lambda: town.sweep.woken, "the agent is woken")

    assert texts(town) == ["one"]


def test_events_released_while_nobody_routed_go_on_at_the_next_start(town: RouterStage) -> None:
    town.send(message(1, "one"))
    inbound_events.release(town.conn, request_of(town))
    town.member()

    town.loop.start()

    assert texts(town) == ["one"]


def test_pressed_button_admits_the_sender_and_the_message_goes_on(town: RouterStage) -> None:
    town.send(message(1, "one"))
    waits_for = request_of(town)

    result = town.ask(Action("press-1", waits_for, "approve", "owner", CHAT, "card-1"))
    again = town.ask(Action("press-2", waits_for, "approve", "owner", CHAT, "card-1"))
    town.settle()

    assert isinstance(result, ActionResult)
    assert result.outcome is ActionOutcome.ACCEPTED
    assert isinstance(again, ActionResult)
    assert again.outcome is not ActionOutcome.ACCEPTED
    assert texts(town) == ["one"]


def test_stranger_cannot_admit_himself(town: RouterStage) -> None:
    town.send(message(1))

    result = town.ask(Action("press-1", request_of(town), "approve", "alice", CHAT, "card-1"))

    assert isinstance(result, ActionResult)
    assert result.outcome is ActionOutcome.NOT_ALLOWED
    assert town.sessions() == []


def test_refused_events_are_forgotten(town: RouterStage) -> None:
    town.send(message(1, "secret words"))
    waits_for = request_of(town)

    inbound_events.drop_held(town.conn, waits_for)
    town.ring()
    (again,) = town.send(message(1))

    assert again.outcome is Outcome.DUPLICATE
    stored = town.conn.execute("SELECT event_json, outcome FROM inbound_events").fetchone()
    assert tuple(stored) == (None, "ignored")
    assert town.sessions() == []


def test_second_agent_that_does_not_know_the_sender_either_is_asked_about_next(
    town: RouterStage,
) -> None:
    town.agent("ag-2", "Bea")
    chat = messaging_groups.find_by_address(town.conn, CHANNEL, CHAT)
    assert chat is not None
    town.wire(chat, "ag-2")
    town.send(message(1, "one"))
    first = request_of(town)

    allow(town, first)
    town.spin(lambda: texts(town) == ["one"])
    second = request_of(town)

    assert second != first
    assert texts(town, "ag-2") == []
    allow(town, second, "ag-2")
    town.spin(lambda: texts(town, "ag-2") == ["one"])
    assert texts(town) == ["one"]


def test_mention_in_a_new_chat_goes_on_once_the_chat_is_wired(stage: RouterStage) -> None:
    stage.agent()
    stage.owner()
    stage.send(message(1, "hello", is_mention=True))
    chat = messaging_groups.find_by_address(stage.conn, CHANNEL, CHAT)
    assert chat is not None

    stage.wire(chat)
    stage.member()
    inbound_events.release(stage.conn, chat.id)
    stage.ring()
    stage.spin(lambda: stage.sweep.woken)

    assert texts(stage) == ["hello"]


def test_wiring_that_is_gone_by_then_ends_the_wait(town: RouterStage) -> None:
    town.send(message(1, is_mention=True))
    waits_for = request_of(town)
    town.conn.execute("DELETE FROM messaging_group_agents WHERE agent_group_id = 'ag-1'")

    inbound_events.release(town.conn, waits_for)
    town.loop.look()

    stored = inbound_events.outcome_of(town.conn, CHANNEL, "key-1")
    assert stored is not None
    assert stored.outcome == "ignored"


def test_only_so_many_events_wait_for_one_request_and_the_oldest_stay(town: RouterStage) -> None:
    answers = town.send(*(message(number) for number in range(MAX_HELD + 5)))

    held = [answer.outcome is Outcome.HELD for answer in answers]
    assert held == [True] * MAX_HELD + [False] * 5
    assert answers[-1].reason == "too_many_held"


def test_nothing_is_held_for_longer_than_a_week(town: RouterStage) -> None:
    town.send(message(1))
    committer = Committer(town.conn, town.paths)

    assert committer.expire_held(utc_now() + timedelta(days=6)) == 0
    assert committer.expire_held(utc_now() + timedelta(days=7, seconds=1)) == 1


def test_event_that_waited_under_the_earlier_program_goes_on(stage: RouterStage) -> None:
    stage.agent()
    stage.owner(OWNER)
    stage.wire(stage.chat(policy=UnknownSenderPolicy.STRICT))
    stage.member()
    content = {"text": "old words", "senderId": "double:alice", "sender": "Alice"}
    inner = {
        "id": "42",
        "kind": "chat-sdk",
        "content": dump(content),
        "timestamp": "2026-01-01T00:00:00.000Z",
        "isMention": True,
    }
    original = dump(
        {"channelType": "double", "platformId": CHAT, "threadId": None, "message": inner}
    )
    inbound_events.insert(
        stage.conn,
        NewInboundEvent(
            CHANNEL, "held/nsa-1", utc_now(), "held", event_json=original, waits_for="nsa-1"
        ),
    )

    inbound_events.release(stage.conn, "nsa-1")
    stage.loop.look()

    (row,) = stage.rows_of()
    assert row.id == "42:ag-1"
    assert row.kind == "chat-sdk"
    assert '"text":"old words","sender":"Alice","senderId":"double:alice"' in row.content


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"nanoclaw":{"frame":"x"}}'])
def test_unreadable_event_is_rejected_and_the_next_one_goes_on(
    town: RouterStage, text: str
) -> None:
    inbound_events.insert(
        town.conn,
        NewInboundEvent(CHANNEL, "bad", utc_now(), "held", event_json=text, waits_for="x"),
    )
    town.send(message(1, "good"))
    town.member()
    inbound_events.release(town.conn, "x")
    inbound_events.release(town.conn, request_of(town))

    town.loop.look()

    stored = inbound_events.outcome_of(town.conn, CHANNEL, "bad")
    assert stored is not None
    assert stored.outcome == "rejected"
    assert texts(town) == ["good"]

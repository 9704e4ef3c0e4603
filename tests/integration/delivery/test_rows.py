"""What an agent writes besides plain messages: requests, other agents, edits, reactions, cards."""

import json
from dataclasses import replace

import pytest
from helpers.delivery_room import DeliveryRoom

from contract.actions import CancelTask
from contract.address import Address
from contract.clock import utc_now
from contract.content import ChatOut, EditOut, Option, QuestionCard, ReactionOut
from contract.inbound.row import NewInbound
from contract.outbound.row import NewOutbound
from nanoclaw.db import deliveries, effects, questions
from nanoclaw.effects.request import parse_request
from nanoclaw.events import Delivered, DeliveryFailed, FailureClass
from nanoclaw.model import DeliveryState
from nanoclaw.policy.binding import payload_hash

HEART = "heart"


def system_row(room: DeliveryRoom, row_id: str = "out-1", content: str = "") -> NewOutbound:
    text = content or room.row(row_id, CancelTask(task_id="t-1")).content
    return NewOutbound(row_id, "system", utc_now(), text)


def named(frame_content: str) -> str:
    return str(json.loads(frame_content)["messageId"])


def test_request_to_the_host_becomes_an_effect_and_a_receipt(delivery: DeliveryRoom) -> None:
    delivery.receive(NewInbound("in-1", "chat", utc_now(), "{}", taint="web"))
    delivery.start_worker()
    delivery.start_loop()

    delivery.write([system_row(delivery)])
    delivery.spin(lambda: delivery.states() == ["sent"])

    effect = effects.get(delivery.conn, "sess-1/out-1")
    assert effect is not None
    assert effect.kind == "action:cancel_task"
    assert effect.requested_by == f"agent:{delivery.group.id}"
    assert effect.payload_hash == payload_hash(effect.payload)
    request = parse_request(effect.payload)
    assert (request.id, request.taint) == ("out-1", "web")
    assert delivery.worker.frames == []


def test_message_to_another_agent_becomes_an_effect(delivery: DeliveryRoom) -> None:
    delivery.start_loop()
    row = delivery.row("out-1", ChatOut(text="hello"), chat="ag-2", channel="agent")

    delivery.write([replace(row, chain_id="chain", hop=2)])
    delivery.spin(lambda: delivery.states() == ["sent"])

    effect = effects.get(delivery.conn, "sess-1/out-1")
    assert effect is not None
    assert effect.kind == "agent_message"
    request = parse_request(effect.payload)
    assert (request.address, request.chain_id, request.hop) == (
        Address("agent", "ag-2"),
        "chain",
        2,
    )


def test_t66_row_that_comes_again_is_no_second_request(delivery: DeliveryRoom) -> None:
    """As after a crash between the commit of the receipts and the mark of the session."""
    delivery.start_loop()
    delivery.write([system_row(delivery)])
    delivery.spin(lambda: delivery.states() == ["sent"])
    delivery.stop_loop()
    delivery.conn.execute("UPDATE sessions SET out_seq = 0")

    delivery.start_loop()
    delivery.say("next")
    delivery.spin(lambda: len(delivery.states()) == 2)

    (count,) = delivery.conn.execute("SELECT count(*) FROM effects").fetchone()
    assert count == 1


@pytest.mark.parametrize("content", ['{"action":5}', '{"action":"a b"}', "[]", '"x"', "{"])
def test_request_without_a_proper_action_is_told_to_its_agent(
    delivery: DeliveryRoom, content: str
) -> None:
    delivery.start_loop()

    delivery.write([system_row(delivery, content=content)])
    delivery.spin(lambda: delivery.states() == ["failed"])
    delivery.spin(delivery.notes)

    assert "was not sent" in delivery.notes()[0]


@pytest.mark.parametrize(
    ("row", "given", "expected"),
    [
        pytest.param(("m-7:{group}", None), "m-7:{group}", "m-7", id="row id with suffix"),
        pytest.param(("msg-hash:{group}", "4711"), "msg-hash:{group}", "4711", id="hashed row id"),
        pytest.param(("m-7:{group}", "m-7"), "m-7", "m-7", id="the platform's own id"),
        pytest.param(None, "gone:{group}", "gone", id="row that is not there any more"),
        pytest.param(None, "p-99", "p-99", id="id that only the platform knows"),
    ],
)
def test_w29_reaction_reaches_the_message_by_the_platforms_id(
    delivery: DeliveryRoom, row: tuple[str, str | None] | None, given: str, expected: str
) -> None:
    group = delivery.group.id
    if row is not None:
        new = NewInbound(row[0].format(group=group), "chat", utc_now(), "{}")
        delivery.receive(replace(new, platform_message_id=row[1]))
    delivery.start_worker()
    delivery.start_loop()

    reaction = ReactionOut(message_id=given.format(group=group), emoji=HEART)
    delivery.write([delivery.row("out-1", reaction)])
    delivery.spin(lambda: delivery.states() == ["sent"])

    assert named(delivery.worker.frames[0].content) == expected


def test_w29_edit_of_an_own_message_waits_for_its_id(delivery: DeliveryRoom) -> None:
    delivery.worker.answers = [Delivered(("4711", "4712"))]
    delivery.start_worker()
    delivery.start_loop()

    delivery.write(
        [
            delivery.row("out-1", ChatOut(text="long text in two parts")),
            delivery.row("out-2", EditOut(message_id="out-1", text="better")),
        ]
    )
    delivery.spin(lambda: delivery.states() == ["sent", "sent"], within=20)

    assert named(delivery.worker.frames[1].content) == "4711"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (DeliveryFailed(FailureClass.PERMANENT, "gone"), "was not delivered"),
        (Delivered(()), "gave the message that it is about no id"),
    ],
)
def test_edit_of_a_message_that_nobody_can_name_ends_in_words(
    delivery: DeliveryRoom, answer: Delivered | DeliveryFailed, reason: str
) -> None:
    delivery.worker.answers = [answer]
    delivery.start_worker()
    delivery.start_loop()
    delivery.say("first")
    delivery.spin(lambda: delivery.stored("out-first").state is not DeliveryState.QUEUED)
    delivery.spin(lambda: delivery.stored("out-first").state is not DeliveryState.SENDING)

    delivery.write([delivery.row("out-2", EditOut(message_id="out-first", text="better"))])
    delivery.spin(lambda: delivery.stored("out-2").state is DeliveryState.FAILED, within=20)
    delivery.spin(lambda: any(reason in note for note in delivery.notes()))


def question(question_id: str = "q-1", title: str = "Lunch?") -> QuestionCard:
    options = tuple(Option(label=name, selected_label=name, value=name) for name in ("yes", "no"))
    return QuestionCard(question_id=question_id, title=title, question="Lunch?", options=options)


def test_question_is_on_record_before_its_card_is_sent(delivery: DeliveryRoom) -> None:
    delivery.write([delivery.row("out-1", question())])
    delivery.start_loop()
    delivery.spin(lambda: delivery.states() == ["queued"])

    stored = questions.get(delivery.conn, "q-1")

    assert stored is not None
    assert (stored.session_id, stored.address) == ("sess-1", Address("cli", "local"))


@pytest.mark.parametrize("card", [question(title=" "), question("appr-1"), question("")])
def test_question_that_cannot_be_asked_is_refused(
    delivery: DeliveryRoom, card: QuestionCard
) -> None:
    delivery.start_worker()
    delivery.start_loop()

    delivery.write([delivery.row("out-1", card)])
    delivery.spin(lambda: delivery.states() == ["failed"])
    delivery.spin(delivery.notes)

    assert delivery.worker.frames == []


def test_t38_refused_row_does_not_stop_the_ones_behind_it(delivery: DeliveryRoom) -> None:
    delivery.start_worker()
    delivery.start_loop()

    delivery.write(
        [
            delivery.row("out-1", ChatOut(text="x"), chat="unknown"),
            delivery.row("out-2", "not JSON"),
            delivery.row("out-3", ChatOut(text="")),
            delivery.row("out-4", ChatOut(text="good")),
        ]
    )
    delivery.spin(lambda: delivery.states() == ["failed", "failed", "failed", "sent"])

    assert delivery.worker.texts == ["good"]
    assert deliveries.get(delivery.conn, "sess-1/out-3") is not None

"""What channels report besides messages: names, moves, late failures, pressed buttons."""

from datetime import timedelta

from helpers.routing_stage import CHANNEL, CHAT, RouterStage, message

from contract.clock import utc_now
from nanoclaw.bell import DELIVERY, bell_file
from nanoclaw.db import deliveries, messaging_groups
from nanoclaw.events import (
    Action,
    ActionOutcome,
    ActionResult,
    DeliveryUpdate,
    Metadata,
    Ok,
    Outcome,
    Refused,
)
from nanoclaw.model import DeliverySource, MessagingGroup, NewDelivery


def chat_at(stage: RouterStage, platform_id: str = CHAT) -> MessagingGroup | None:
    return messaging_groups.find_by_address(stage.conn, CHANNEL, platform_id)


def test_names_of_known_chats_are_stored_and_unknown_chats_stay_unknown(
    stage: RouterStage,
) -> None:
    stage.chat()

    answers = [
        stage.ask(Metadata(CHAT, "Family", is_group=True)),
        stage.ask(Metadata("double:other", "Nobody's")),
    ]

    chat = chat_at(stage)
    assert answers == [Ok(), Ok()]
    assert chat is not None
    assert (chat.name, chat.is_group) == ("Family", True)
    assert chat_at(stage, "double:other") is None


def test_chat_that_moves_keeps_agent_and_session(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    stage.send(message(1))
    # The first message from the new place came before the news of the move.
    stage.owner()
    stage.send(message(2, platform_id="double:new", is_mention=True))
    stage.conn.execute("DELETE FROM pending_channel_approvals")

    stage.ask(Metadata("double:new", moved_from=CHAT))
    (answer,) = stage.send(message(3, platform_id="double:new"))
    stage.settle()

    assert answer.outcome is Outcome.ROUTED
    assert chat_at(stage) is None
    assert len(stage.rows(stage.session())) == 2


def test_chat_is_not_moved_over_one_that_is_in_use(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat())
    stage.wire(stage.chat("double:new"))

    stage.ask(Metadata("double:new", moved_from=CHAT))

    assert chat_at(stage) is not None


def test_late_failure_is_stored_and_delivery_is_told(stage: RouterStage) -> None:
    now = utc_now()
    deliveries.queue(
        stage.conn,
        NewDelivery(
            "d-1", "d-1", CHANNEL, CHAT, "chat", '{"text":"x"}', now, now,
            now + timedelta(hours=1), source=DeliverySource.HOST,
        ),
    )  # fmt: skip
    deliveries.mark_sent(stage.conn, "d-1", ["p-1"], now)
    bell_file(stage.paths, DELIVERY).unlink(missing_ok=True)

    answers = [
        stage.ask(DeliveryUpdate("p-1", "read")),
        stage.ask(DeliveryUpdate("p-1", "failed", "bounced")),
    ]

    delivery = deliveries.get(stage.conn, "d-1")
    assert answers == [Ok(), Ok()]
    assert delivery is not None
    assert (delivery.state, delivery.last_error) == ("failed", "bounced")
    assert bell_file(stage.paths, DELIVERY).exists()


def test_button_of_an_unknown_card_says_so(stage: RouterStage) -> None:
    result = stage.ask(Action("k", "no-such-card", "0", "alice", CHAT, "m"))

    assert isinstance(result, ActionResult)
    assert result.outcome is ActionOutcome.UNKNOWN


def test_report_that_breaks_the_router_is_refused_and_the_next_one_is_heard(
    stage: RouterStage,
) -> None:
    stage.chat()
    # Stands for whatever nobody has foreseen.
    stage.conn.execute(
        "CREATE TRIGGER broken BEFORE UPDATE ON messaging_groups WHEN new.name = 'bad'"
        " BEGIN SELECT raise(ABORT, 'no'); END"
    )

    assert isinstance(stage.ask(Metadata(CHAT, "bad")), Refused)
    assert stage.ask(Metadata(CHAT, "good")) == Ok()

"""Slash commands: who may use them, and what the host answers by itself."""

from datetime import timedelta

import pytest
from helpers.routing_stage import CHANNEL, CHAT, RouterStage, message

from contract.clock import utc_now
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from nanoclaw.db import container_configs, deliveries, inbound_events, sessions
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.events import Outcome
from nanoclaw.model import DeliverySource, EngageMode, IgnoredMessagePolicy


@pytest.fixture
def town(stage: RouterStage) -> RouterStage:
    stage.agent()
    stage.wire(stage.chat())
    stage.owner()
    return stage


@pytest.mark.parametrize(
    ("text", "sender", "outcome", "rows", "said"),
    [
        ("/clear", "alice", Outcome.ROUTED, 0, "`/clear` changes the conversation of Andy"),
        ("/STOP now", "alice", Outcome.ROUTED, 0, "`/stop`"),
        ("/clear", "owner", Outcome.ROUTED, 1, None),
        ("/clearx", "alice", Outcome.ROUTED, 1, None),
        ("/weather", "alice", Outcome.ROUTED, 1, None),
        ("  /login ", "owner", Outcome.IGNORED, 0, None),
        ("/help", "alice", Outcome.ROUTED, 0, "`/status`"),
        ("/start", "alice", Outcome.ROUTED, 0, "Hello. Andy is listening here"),
        ("/status", "alice", Outcome.ROUTED, 0, "**Andy**: no conversation here yet"),
        ("tell me of /clear", "alice", Outcome.ROUTED, 1, None),
    ],
)
def test_t64_command_gate(
    town: RouterStage, text: str, sender: str, outcome: Outcome, rows: int, said: str | None
) -> None:
    (answer,) = town.send(message(1, text, sender_id=sender))
    town.settle()

    assert answer.outcome is outcome
    assert len(town.rows_of()) == rows
    texts = town.said_texts()
    assert len(texts) == (0 if said is None else 1)
    assert said is None or said in texts[0]


def test_t64_denial_goes_to_the_chat_and_answers_the_message(town: RouterStage) -> None:
    town.send(message(1, "/clear", reply_hint="topic"))

    (delivery,) = town.said()
    assert delivery.source is DeliverySource.HOST
    assert (delivery.instance, delivery.platform_id) == (CHANNEL, CHAT)
    assert (delivery.reply_to_message_id, delivery.reply_hint) == ("m-1", "topic")
    assert delivery.completes
    assert town.sessions() == []


def test_w22_command_that_is_not_meant_for_us_is_not_answered(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(
        stage.chat(),
        engage_mode=EngageMode.MENTION,
        ignored_message_policy=IgnoredMessagePolicy.ACCUMULATE,
    )

    stage.send(message(1, "/clear"), message(2, "/help"))
    stage.settle()

    assert stage.said() == []
    assert [row.trigger for row in stage.rows_of()] == [False, False]


def test_w22_denial_keeps_nobody_else_from_the_message(stage: RouterStage) -> None:
    stage.agent()
    stage.agent("ag-2", "Bea")
    chat = stage.chat()
    stage.wire(chat, priority=9)
    stage.wire(chat, "ag-2")
    stage.user("double:alice")
    stage.conn.execute(
        "INSERT INTO user_roles (user_id, role, agent_group_id, granted_at)"
        " VALUES ('double:alice', 'admin', 'ag-2', '2026-01-01T00:00:00.000Z')"
    )

    stage.send(message(1, "/clear"))
    stage.settle()

    assert stage.rows_of("ag-1") == []
    assert len(stage.rows_of("ag-2")) == 1
    assert "of Andy and needs" in stage.said_texts()[0]


def test_several_agents_give_one_answer(stage: RouterStage) -> None:
    stage.agent()
    stage.agent("ag-2", "Bea")
    chat = stage.chat()
    stage.wire(chat)
    stage.wire(chat, "ag-2")

    stage.send(message(1, "/start"), message(2, "/status"))
    stage.settle()

    start, status = stage.said_texts()
    assert start.startswith("Hello. Andy and Bea are listening here")
    assert "**Andy**" in status
    assert "**Bea**" in status


def test_status_names_no_path_of_the_machine(town: RouterStage) -> None:
    town.send(message(1))
    town.settle()
    error = "its files cannot be prepared: [Errno 13] /home/operator/secret"
    sessions.record_container_failure(town.conn, town.session().id, error, utc_now())

    town.send(message(2, "/status"))
    town.settle()

    (text,) = town.said_texts()
    assert "cannot be started at the moment" in text
    assert "operator" not in text


def test_status_tells_of_work_model_and_tasks(town: RouterStage) -> None:
    container_configs.ensure(town.conn, "ag-1", utc_now())
    change = ContainerConfigChange(provider="claude", model="opus")
    container_configs.update(town.conn, "ag-1", change, utc_now())
    town.send(message(1), message(2))
    town.settle()
    later = utc_now() + timedelta(hours=1)
    with open_inbound(town.folder(town.session()).inbound_db) as writer:
        writer.insert_message(
            NewInbound("task-1", "task", utc_now(), '{"prompt":"x"}', process_after=later)
        )

    town.send(message(3, "/status"))
    town.settle()

    (text,) = town.said_texts()
    assert "asleep, with something to do" in text
    assert "2 messages not answered yet." in text
    assert "1 scheduled task." in text
    assert "Thinks with claude (opus)." in text


def test_status_of_a_locked_session_leaves_its_figures_out(town: RouterStage) -> None:
    town.send(message(1))
    town.settle()

    with open_inbound(town.folder(town.session()).inbound_db):
        town.send(message(2, "/status"))

    (text,) = town.said_texts()
    assert "**Andy**" in text
    assert "not answered" not in text


def test_status_asked_for_before_a_crash_is_answered_at_the_next_start(town: RouterStage) -> None:
    town.send(message(1, "/status"))
    town.settle()
    town.conn.execute("UPDATE inbound_events SET state = 'committed'")
    town.conn.execute("DELETE FROM deliveries")

    town.loop.replay()
    town.conn.execute("UPDATE inbound_events SET state = 'committed'")
    town.loop.replay()

    assert len(town.said_texts()) == 1
    assert inbound_events.unrouted(town.conn, 1) == []


def test_command_of_a_refused_sender_is_refused_and_not_answered(stage: RouterStage) -> None:
    stage.agent()
    stage.wire(stage.chat(policy="strict"))

    (answer,) = stage.send(message(1, "/help"))

    assert answer.reason == "unknown_sender_strict"
    assert deliveries.open_lanes(stage.conn) == []

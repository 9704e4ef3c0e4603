"""``ncl why``: one timeline from the platform to the receipt, and the cause when nothing came."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from helpers.admin_desk import NOW as PRESENT
from helpers.admin_desk import AdminDesk
from helpers.reading_rows import chat_row, put_row, receive, say

from contract.clock import to_text
from contract.inbound.row import AckStatus
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from contract.outbound.writer import open_outbound
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.search_index import Indexer
from nanoclaw.db import approvals, deliveries, effects, sessions
from nanoclaw.db.approvals import Approval
from nanoclaw.db.effects import NewEffect
from nanoclaw.model import CliScope, DeliveryState, Session
from nanoclaw.reactor import Reactor

NOW = PRESENT - timedelta(minutes=1)
ROW = "m-1:ag"
ENDED = NOW + timedelta(seconds=4)


@pytest.fixture
def session(desk: AdminDesk) -> Session:
    """With one message that came from the platform into its file."""
    made = desk.add_session()
    receive(desk.conn, "key-1", NOW, (made.id, made.agent_group_id, ROW))
    put_row(desk.config.paths, made, chat_row(ROW, "What time is it?", NOW))
    return made


def answer(desk: AdminDesk, number: int = 1, **changes: Any) -> str:
    at = NOW + timedelta(seconds=3)
    return say(desk.conn, number, "Noon", at, in_reply_to=ROW, **changes).delivery_id


def write_log(desk: AdminDesk, *lines: str) -> None:
    at = to_text(NOW + timedelta(seconds=2))
    path = desk.config.paths.logs / "nanoclaw.log"
    path.write_text("".join(f"{at} {line}\n" for line in lines))


def claim(desk: AdminDesk, session: Session) -> None:
    with open_outbound(desk.folder(session).out_dir / "outbound.db") as out:
        out.claim([ROW], 1, NOW)


def settle(desk: AdminDesk, session: Session, status: AckStatus) -> None:
    with open_inbound(desk.folder(session).inbound_db) as writer:
        writer.sync_acks({ROW: status})


def explained(desk: AdminDesk) -> dict[str, Any]:
    """What is told about the message; every command that is advised must exist."""
    told: dict[str, Any] = desk.get("why key-1")
    for advice in re.findall(r"ncl ([a-z-]+(?: [a-z-]+)?)", told["todo"] or ""):
        words = advice.split()
        names = ("-".join(words), words[0])
        assert any(host_registry().find(name) for name in names), advice
    return told


def steps(told: dict[str, Any]) -> list[str]:
    return [step["what"] for step in told["timeline"]]


def test_an_answered_message_is_told_from_the_platform_to_the_receipt(
    desk: AdminDesk, session: Session
) -> None:
    deliveries.mark_sent(desk.conn, answer(desk), ["p-9"], ENDED)
    settle(desk, session, AckStatus.COMPLETED)
    write_log(
        desk,
        "INFO sweep agent started session=sess-1 group=ag container=abc",
        "INFO sweep agent started session=sess-10 group=ag container=abc",
    )

    told = explained(desk)

    assert told["answered"] is True
    assert told["text"] == "What time is it?"
    assert steps(told) == [
        "received from cli", f"message for {desk.group_id}", "sweep info", "agent said",
        "delivery sent",
    ]  # fmt: skip
    times = [step["at"] for step in told["timeline"]]
    assert times == sorted(times)
    assert "p-9" in told["timeline"][-1]["detail"]


@pytest.mark.parametrize("name", ["1", "key-1", ROW, f"platform-{ROW}", "sess-1/out-1", "out-1"])
def test_a_message_is_known_by_all_its_names(desk: AdminDesk, session: Session, name: str) -> None:
    answer(desk)

    told = desk.get("why", message=name)

    assert told["timeline"][0]["what"] == "received from cli"
    assert "delivery queued" in steps(told)


def test_a_message_that_no_event_brought_is_found_through_the_search_index(
    desk: AdminDesk, session: Session
) -> None:
    put_row(desk.config.paths, session, chat_row("a2a-1", "From another agent", NOW))
    reactor = Reactor()
    Indexer(reactor, desk.config.paths).work(NOW + timedelta(minutes=2))
    reactor.close()

    assert desk.get("why a2a-1")["text"] == "From another agent"


def test_an_unknown_message_is_not_found(desk: AdminDesk) -> None:
    assert desk.fail("why nothing")[0] == "not-found"
    assert desk.fail("why")[0] == "invalid-args"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no_agent_wired", "no agent listens"),
        ("no_agent_engaged", "no agent was addressed"),
        ("unknown_sender_strict", "sender is not known"),
        ("other bots write too much here", "other bots write too much"),
    ],
)
def test_the_routers_reason_is_the_cause(desk: AdminDesk, reason: str, words: str) -> None:
    receive(desk.conn, "key-1", NOW, outcome="ignored", reason=reason)

    told = explained(desk)

    assert told["answered"] is False
    assert words in told["cause"]


def test_a_message_that_waits_for_a_person_names_the_question(desk: AdminDesk) -> None:
    receive(desk.conn, "key-1", NOW, outcome="held", waits_for="card-7")

    told = explained(desk)

    assert told["answered"] is None
    assert "card-7" in told["cause"]


def test_a_waiting_message_is_known_by_the_platforms_id_and_not_by_its_words(
    desk: AdminDesk,
) -> None:
    text = dump({"message": {"id": "p-77", "content": '{"text":"let me in"}'}})
    receive(desk.conn, "key-1", NOW, outcome="held", waits_for="card-7", event_json=text)
    receive(desk.conn, "key-2", NOW, outcome="held", event_json="broken p-77 {")

    assert "card-7" in desk.get("why p-77")["cause"]
    assert desk.fail("why", message="let me in")[0] == "not-found"


def test_an_event_that_is_not_in_its_file_yet_says_so(desk: AdminDesk) -> None:
    made = desk.add_session()
    receive(desk.conn, "key-1", NOW, (made.id, made.agent_group_id, ROW))
    desk.conn.execute("UPDATE inbound_events SET state = 'committed'")

    assert "not yet in the session's file" in explained(desk)["cause"]


@pytest.mark.parametrize(
    ("state", "answered", "words"),
    [
        (DeliveryState.FAILED, False, "could not be delivered: chat not found"),
        (DeliveryState.UNCERTAIN, False, "may or may not have arrived"),
        (DeliveryState.QUEUED, None, "is sent again at"),
        (DeliveryState.SENDING, None, "just being sent"),
    ],
)
def test_what_happened_on_the_way_out_is_the_cause(
    desk: AdminDesk, session: Session, state: DeliveryState, answered: bool | None, words: str
) -> None:
    delivery_id = answer(desk)
    if state is DeliveryState.FAILED:
        deliveries.mark_failed(desk.conn, delivery_id, "chat not found", ENDED)
    elif state is DeliveryState.UNCERTAIN:
        deliveries.mark_uncertain(desk.conn, delivery_id, "no word", ENDED)
    elif state is DeliveryState.SENDING:
        deliveries.mark_sending(desk.conn, [delivery_id], ENDED)
    else:
        tomorrow = NOW + timedelta(days=1)
        deliveries.mark_retry(
            desk.conn, delivery_id, tomorrow, counts=True, error="down", now=ENDED
        )

    told = explained(desk)

    assert told["answered"] is answered
    assert words in told["cause"]


def test_an_answer_that_waits_for_approval_names_the_request(
    desk: AdminDesk, session: Session
) -> None:
    add_approval(desk, session, "appr-1", "out")
    answer(desk, state=DeliveryState.HELD, waits_for="appr-1")

    told = explained(desk)

    assert "waits for a person to allow it (appr-1)" in told["cause"]
    assert "approval asked for" in steps(told)


def add_approval(desk: AdminDesk, session: Session, approval_id: str, request_id: str) -> None:
    approval = Approval(
        approval_id, request_id, "cli_command", "{}", NOW, session.id, session.agent_group_id,
        title="Run ncl groups restart?", payload_hash="h",
    )  # fmt: skip
    assert approvals.insert(desk.conn, approval)


def test_a_request_of_the_agent_that_waits_for_a_person_is_the_cause(
    desk: AdminDesk, session: Session
) -> None:
    payload = dump({"id": "out-5", "content": "{}", "in_reply_to": ROW})
    new = NewEffect("sess-1/out-5", "action:install_packages", "agent:x", payload, "h", NOW,
                    session.id, session.agent_group_id)  # fmt: skip
    assert effects.record(desk.conn, new)
    add_approval(desk, session, "appr-1", "sess-1/out-5")

    told = explained(desk)

    assert told["cause"] == "the agent's request waits for a person: Run ncl groups restart?"
    assert told["todo"] == "ncl approvals get appr-1"
    assert "agent asked for action:install_packages" in steps(told)


def test_a_budget_that_was_used_up_is_the_cause(desk: AdminDesk, session: Session) -> None:
    settle(desk, session, AckStatus.FAILED)
    write_log(
        desk,
        'WARNING vault request refused session=sess-1 group=g status=402 reason="the budget of'
        ' everything for the day is spent"',
    )

    told = explained(desk)

    assert told["answered"] is False
    assert told["cause"] == "no money was left: the budget of everything for the day is spent"
    assert told["todo"] == "ncl budgets list"


def test_a_model_request_that_was_refused_is_the_cause(desk: AdminDesk, session: Session) -> None:
    write_log(desk, 'WARNING vault request refused session=sess-1 status=403 reason="no key"')

    assert explained(desk)["cause"] == "the model request was refused: no key"


def test_an_agent_that_gave_up_is_the_cause_with_its_last_words(
    desk: AdminDesk, session: Session
) -> None:
    settle(desk, session, AckStatus.FAILED)
    write_log(desk, 'WARNING sweep agent ended session=sess-1 reason="crash (exit code 1)"')

    cause = explained(desk)["cause"]

    assert "could not finish it" in cause
    assert "exit code 1" in cause


def test_an_agent_that_read_it_and_said_nothing_is_told_so(
    desk: AdminDesk, session: Session
) -> None:
    settle(desk, session, AckStatus.COMPLETED)

    told = explained(desk)

    assert (told["answered"], "chose to say nothing" in told["cause"]) == (False, True)


def test_an_agent_that_works_on_it_is_told_so(desk: AdminDesk) -> None:
    running = desk.add_session(running=True)
    receive(desk.conn, "key-1", NOW, (running.id, running.agent_group_id, ROW))
    put_row(desk.config.paths, running, chat_row(ROW, "hello", NOW))
    claim(desk, running)

    told = explained(desk)

    assert told["answered"] is None
    assert "working on it" in told["cause"]
    assert {"container runs", "agent's claim"} <= set(steps(told))


def test_a_context_message_is_told_to_be_one(desk: AdminDesk) -> None:
    made = desk.add_session()
    receive(desk.conn, "key-1", NOW, (made.id, made.agent_group_id, ROW))
    put_row(desk.config.paths, made, chat_row(ROW, "between people", NOW, trigger=False))

    assert "context only" in explained(desk)["cause"]


def test_a_container_that_does_not_start_is_the_cause(desk: AdminDesk, session: Session) -> None:
    sessions.record_container_failure(desk.conn, session.id, "no such image", NOW)

    assert "does not start: no such image" in explained(desk)["cause"]


def test_a_session_set_aside_is_the_cause(desk: AdminDesk, session: Session) -> None:
    sessions.quarantine(desk.conn, session.id, "two processes died on it", NOW)

    assert "two processes died on it" in explained(desk)["cause"]


def test_a_deleted_session_is_the_cause(desk: AdminDesk, session: Session) -> None:
    desk.conn.execute("DELETE FROM sessions")

    assert "has been deleted" in explained(desk)["cause"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"engine": "down", "reason": "no Docker answers"}, "no Docker answers"),
        ({"engine": "ready", "running": 8, "max_running": 8}, "waits for a place"),
        ({"engine": "ready", "reason": "as processes", "max_running": 8}, "about to start"),
    ],
)
def test_what_keeps_containers_from_starting_is_the_cause(
    desk: AdminDesk, session: Session, state: dict[str, object], words: str
) -> None:
    (desk.config.paths.run / "sweep.json").write_text(json.dumps(state))

    assert words in explained(desk)["cause"]


def test_a_message_of_the_host_itself_is_explained(desk: AdminDesk) -> None:
    delivery = say(desk.conn, 1, "Welcome", NOW, session_id=None, source="host",
                   delivery_id="host-1")  # fmt: skip
    deliveries.mark_sent(desk.conn, delivery.delivery_id, ["p"], ENDED)

    told = desk.get("why host-1")

    assert (told["answered"], told["text"]) == (True, "Welcome")


def test_agents_of_group_scope_are_told_of_their_own_messages_only(
    desk: AdminDesk, session: Session
) -> None:
    stranger = desk.agent(group_id=desk.add_group())
    answer(desk)

    own = desk.get("why key-1", desk.agent())
    assert own["text"] == "What time is it?"
    for name in ("key-1", ROW, "sess-1/out-1", "1"):
        foreign = desk.fail("why", stranger, message=name)
        absent = desk.fail("why", stranger, message="nothing")
        assert foreign[0] == absent[0] == "not-found"
        assert foreign[1].replace(name, "") == absent[1].replace("nothing", "")
    assert desk.get("why key-1", desk.agent(CliScope.GLOBAL))["answered"] is None


def test_a_hostile_outbound_file_keeps_nothing_from_being_told(
    desk: AdminDesk, session: Session
) -> None:
    (desk.folder(session).out_dir / "outbound.db").symlink_to("/etc/passwd")

    assert explained(desk)["answered"] is None

"""Strangers, new chats and questions with the real delivery process and channels that we play."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.approval_office import ChannelDouble, Office
from helpers.people import event_json, hold

from contract.address import Address
from contract.clock import utc_now
from contract.content import Option, QuestionCard, dump
from contract.errors import SessionFileCorrupt
from contract.inbound.reader import find_question_response, read_system_rows
from contract.outbound.row import OutboundRow
from nanoclaw.approvals import answers, channels, questions, senders
from nanoclaw.approvals.channels import UnknownChat
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.incoming import Incoming, Intercepted
from nanoclaw.approvals.intercept import intercept
from nanoclaw.approvals.senders import UnknownSender
from nanoclaw.db import (
    agent_groups,
    chat_requests,
    deliveries,
    inbound_events,
    messaging_groups,
    sender_requests,
    wirings,
)
from nanoclaw.db import questions as question_rows
from nanoclaw.db.connection import transaction
from nanoclaw.events import (
    ActionOutcome,
    Deliver,
    DeliveryFailed,
    FailureClass,
    Frame,
    InboundEvent,
)
from nanoclaw.model import MessagingGroup, NewDelivery
from nanoclaw.sessions.folder import SessionFolder

OWNER = "telegram:7"
QUESTION = QuestionCard(
    question_id="msg-1",
    title="Deploy",
    question="Go live?",
    options=(
        Option(label="Yes", selected_label="Going live", value="y"),
        Option(label="No", selected_label="Not now", value="n"),
    ),
    timeout=60.0,
)


@pytest.fixture
def telegram(office: Office) -> ChannelDouble:
    channel = office.channel("telegram")
    office.owner(OWNER, "Olga")
    return channel


def group_chat(office: Office) -> MessagingGroup:
    chat = MessagingGroup("mg-1", "telegram", "club", utc_now(), name="Club", is_group=True)
    with transaction(office.conn):
        return messaging_groups.find_or_create(office.conn, chat)


def ask_about_stranger(office: Office) -> str:
    chat = group_chat(office)
    (agent,) = agent_groups.list_all(office.conn)
    sender = UnknownSender(chat, agent, "telegram:9", "Bo", event_json("club", is_group=True))
    with transaction(office.conn):
        card = senders.request(office.conn, sender, utc_now())
        assert card is not None
        hold(office.conn, card)
    office.ring()
    return card


def ask_about_chat(office: Office) -> str:
    chat = group_chat(office)
    unknown = UnknownChat(chat, True, "telegram:9", "Bo", event_json("club", is_group=True))
    with transaction(office.conn):
        card = channels.request(office.conn, unknown, utc_now())
        assert card is not None
        hold(office.conn, card)
    office.ring()
    return card


def wait_for_card(office: Office, card: str) -> None:
    office.wait(lambda: "shown" in office.states(card), f"{card} is shown")


def say(office: Office, text: str, chat: str = "7") -> Intercepted | None:
    """The owner writes; as the router hears it."""
    key = f"t-{utc_now().timestamp()}"
    event = InboundEvent(key, key, chat, "7", "2026-11-21T08:00:00.000Z", text=text, is_group=False)
    with transaction(office.conn):
        found = intercept(office.conn, Incoming("telegram", "telegram", OWNER, event), utc_now())
    office.ring()
    return found


# --- strangers ------------------------------------------------------------------------------------


def test_t32_card_about_a_stranger_reaches_the_owner_and_is_decided_there(
    office: Office, telegram: ChannelDouble
) -> None:
    office.start()

    card = ask_about_stranger(office)
    wait_for_card(office, card)
    result = office.press(card, "0", OWNER, "telegram")

    (shown,) = telegram.cards
    assert (shown["type"], shown["questionId"], shown["title"]) == (
        "ask_question", card, "New sender",
    )  # fmt: skip
    assert telegram.places == ["7"]
    assert result.outcome is ActionOutcome.ACCEPTED
    assert [event.event_key for event in inbound_events.released(office.conn, 10)] == ["e-1"]


def test_w39_stranger_asks_again_when_the_card_could_reach_nobody(office: Office) -> None:
    office.owner("irc:olga")
    office.start()

    card = ask_about_stranger(office)
    office.wait(lambda: sender_requests.get(office.conn, card) is None, "the request ends")

    assert inbound_events.count_waiting(office.conn, card) == 0
    assert ask_about_stranger(office) != card


def test_w39_card_that_the_platform_refuses_ends_the_request(
    office: Office, telegram: ChannelDouble
) -> None:
    def refuse(frame: Deliver) -> Frame:
        return DeliveryFailed(FailureClass.PERMANENT, "the chat is gone")

    telegram.deliver_answer = refuse
    office.start()

    card = ask_about_stranger(office)

    office.wait(lambda: sender_requests.get(office.conn, card) is None, "the request ends")


def test_card_survives_the_death_of_the_delivery_process(
    office: Office, telegram: ChannelDouble
) -> None:
    card = ask_about_stranger(office)
    office.start()
    office.kill_now()

    office.start()

    wait_for_card(office, card)
    assert len(telegram.cards) == 1


# --- new chats ------------------------------------------------------------------------------------


def test_t33_new_agent_is_made_by_the_name_that_the_owner_types_even_after_a_restart(
    office: Office, telegram: ChannelDouble
) -> None:
    office.start()
    card = ask_about_chat(office)
    wait_for_card(office, card)

    result = office.press(card, "1", OWNER, "telegram")
    office.wait(lambda: len(telegram.delivered) == 2, "the name is asked for")
    office.kill_now()
    office.start()
    consumed = say(office, "Research")
    office.wait(lambda: len(telegram.delivered) == 3, "it is confirmed")

    assert result.outcome is ActionOutcome.ACCEPTED
    assert consumed == Intercepted("name")
    assert telegram.places == ["7", "7", "7"]
    (wiring,) = wirings.of_chat(office.conn, "mg-1")
    group = agent_groups.get(office.conn, wiring.agent_group_id)
    assert group is not None
    assert (group.name, group.folder) == ("Research", "research")


def test_t33_second_card_comes_to_who_wants_to_choose(
    office: Office, telegram: ChannelDouble
) -> None:
    with transaction(office.conn):
        (agent,) = agent_groups.list_all(office.conn)
        agent_groups.create(office.conn, replace(agent, id="ag-2", name="Zoe", folder="zoe"))
    office.start()
    first = ask_about_chat(office)
    wait_for_card(office, first)

    office.press(first, "0", OWNER, "telegram")
    row = chat_requests.get(office.conn, "mg-1")
    assert row is not None
    wait_for_card(office, row.card_id)
    office.press(row.card_id, "1", OWNER, "telegram")

    (wiring,) = wirings.of_chat(office.conn, "mg-1")
    assert wiring.agent_group_id == "ag-2"
    late = office.press(first, "0", OWNER, "telegram")
    assert late.outcome is ActionOutcome.ALREADY_ANSWERED


def test_typed_number_decides_the_card_and_the_channel_takes_it_back(
    office: Office, telegram: ChannelDouble
) -> None:
    office.start()
    card = ask_about_stranger(office)
    wait_for_card(office, card)

    consumed = say(office, "2")

    assert consumed == Intercepted("answer")
    office.wait(lambda: telegram.resolved, "the card is taken back")
    (frame,) = telegram.resolved
    assert "Denied" in frame.text
    assert "Olga" in frame.text


# --- questions of agents --------------------------------------------------------------------------


def ask_question(office: Office) -> None:
    """A question that the agent asked in the chat ``7`` and that was sent."""
    session, now = office.session, utc_now()
    row = OutboundRow(
        "msg-1", 3, "chat-sdk", now, dump(QUESTION), Address("telegram", "7"), None, None, None,
        None, 0,
    )  # fmt: skip
    new = NewDelivery(
        delivery_id=f"{session.id}/msg-1",
        message_out_id="msg-1",
        instance="telegram",
        platform_id="7",
        kind="chat-sdk",
        content=dump(QUESTION),
        created_at=now,
        next_attempt_at=now,
        expires_at=now + timedelta(hours=1),
        session_id=session.id,
        seq=3,
    )
    with transaction(office.conn):
        assert questions.record(office.conn, session, row, QUESTION, now)
        deliveries.queue(office.conn, new)
        deliveries.mark_sent(office.conn, new.delivery_id, ["p-1"], now)


def answered(office: Office) -> bool:
    folder = SessionFolder.of(office.paths, office.session.agent_group_id, office.session.id)
    if not folder.exists():
        return False
    with suppress(SessionFileCorrupt):  # it is just being made
        return find_question_response(folder.inbound_db, "msg-1") is not None
    return False


def test_pressed_answer_is_written_into_the_session(
    office: Office, telegram: ChannelDouble
) -> None:
    office.start()
    ask_question(office)
    folder = SessionFolder.of(office.paths, office.session.agent_group_id, office.session.id)

    click_result = _press_question(office, "1")
    office.wait(lambda: answered(office), "the agent is told")

    assert click_result is ActionOutcome.ACCEPTED
    row = find_question_response(folder.inbound_db, "msg-1")
    assert row is not None
    assert row.id.startswith("qr-msg-1-")
    assert (row.kind, row.trigger) == ("system", True)
    assert row.content == (
        '{"type":"question_response","questionId":"msg-1","selectedOption":"n",'
        '"userId":"telegram:7"}'
    )
    assert row.address == Address("telegram", "7", None)
    office.wait(
        lambda: office.rows("SELECT next_due_at IS NOT NULL FROM sessions") == [(1,)],
        "the session is due",
    )


def test_answer_is_written_once_although_the_process_dies_right_after_it(
    office: Office, telegram: ChannelDouble
) -> None:
    office.kill.arm("host.answer_written", "self")
    office.start()
    ask_question(office)

    _press_question(office, "0")
    office.wait_for_death()
    assert answered(office)
    office.start()
    office.wait(
        lambda: (
            office.rows("SELECT state FROM effects WHERE kind = 'question_answer'") == [("done",)]
        ),
        "the effect ends",
    )

    assert office.rows("SELECT next_due_at IS NOT NULL FROM sessions") == [(1,)]
    folder = SessionFolder.of(office.paths, office.session.agent_group_id, office.session.id)
    assert len(read_system_rows(folder.inbound_db)) == 1


def test_t71_answer_that_comes_too_late_is_written_and_wakes_nobody(
    office: Office, telegram: ChannelDouble
) -> None:
    office.start()
    ask_question(office)
    office.conn.execute(
        "UPDATE pending_questions SET expires_at = '2026-01-01T00:00:00.000Z',"
        " created_at = '2026-01-01T00:00:00.000Z'"
    )
    stored = question_rows.get(office.conn, "msg-1")
    assert stored is not None
    late = stored.expires_at
    assert late is not None

    with transaction(office.conn):
        click = Click("msg-1", "0", OWNER, "telegram", "7", "p-1")
        answers.answer(office.conn, click, late + timedelta(hours=1))
    office.ring()
    office.wait(lambda: answered(office), "the agent can read it")

    folder = SessionFolder.of(office.paths, office.session.agent_group_id, office.session.id)
    row = find_question_response(folder.inbound_db, "msg-1")
    assert row is not None
    assert not row.trigger
    effect_ended = "SELECT result FROM effects WHERE kind = 'question_answer'"
    office.wait(lambda: office.rows(effect_ended) == [("answered late",)], "the effect ends")
    assert office.rows("SELECT next_due_at FROM sessions") == [(None,)]


def test_typed_answer_has_the_question_taken_back_in_its_chat(
    office: Office, telegram: ChannelDouble
) -> None:
    office.start()
    ask_question(office)

    consumed = say(office, "yes")

    assert consumed == Intercepted("answer")
    office.wait(lambda: telegram.resolved, "the card is taken back")
    (frame,) = telegram.resolved
    assert (frame.platform_id, frame.message_id) == ("7", "p-1")
    assert "Going live" in frame.text


def _press_question(office: Office, value: str) -> ActionOutcome:
    with transaction(office.conn):
        click = Click("msg-1", value, OWNER, "telegram", "7", "p-1")
        result = answers.answer(office.conn, click, utc_now())
    office.ring()
    return result.outcome

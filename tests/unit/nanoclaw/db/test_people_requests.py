"""Questions, strangers, new chats, closed cards: their statements."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, add_chat, seconds, seed

from contract.address import Address
from nanoclaw.db import (
    approvals,
    chat_requests,
    closed_cards,
    pairing,
    questions,
    sender_requests,
)
from nanoclaw.db.approvals import Approval
from nanoclaw.db.chat_requests import ChatRequest, NewCard, OwedName
from nanoclaw.db.closed_cards import CardEnd, ClosedCard
from nanoclaw.db.questions import CardState, CardText, Question
from nanoclaw.db.sender_requests import SenderDenial, SenderRequest

Ask = Callable[[sqlite3.Connection], object]

ASKED_OFTEN: dict[str, tuple[Ask, str]] = {
    "new sender cards": (
        lambda c: sender_requests.with_new_card(c, 9), "pending_sender_approvals_created",
    ),
    "next sender expiry": (sender_requests.next_expiry, "pending_sender_approvals_expiry"),
    "expired senders": (
        lambda c: sender_requests.expire(c, NOW), "pending_sender_approvals_expiry",
    ),
    "new chat cards": (
        lambda c: chat_requests.with_new_card(c, 9), "pending_channel_approvals_created",
    ),
    "next chat expiry": (chat_requests.next_expiry, "pending_channel_approvals_expiry"),
    "expired chats": (lambda c: chat_requests.expire(c, NOW), "pending_channel_approvals_expiry"),
    "owed name": (lambda c: chat_requests.owing_name(c, "u"), "pending_channel_approvals_name"),
    "names that are owed": (
        lambda c: chat_requests.owing_since(c, NOW), "pending_channel_approvals_name",
    ),
    "first owed name": (chat_requests.first_owed, "pending_channel_approvals_name"),
    "open questions": (
        lambda c: questions.open_in_chat(c, "telegram", "c", 9), "pending_questions_chat",
    ),
    "next question expiry": (questions.next_expiry, "pending_questions_expiry"),
    "expired questions": (lambda c: questions.expire(c, NOW), "pending_questions_expiry"),
    "pairing codes": (lambda c: pairing.pending(c, "telegram", NOW), "pairing_codes_pending"),
}  # fmt: skip

QUESTION = Question(
    "q-1", "sess-1", "out-1", Address("telegram", "c", "t"), "Which?", "[1]", NOW,
    expires_at=NOW + seconds(60),
)  # fmt: skip
SENDER = SenderRequest(
    "nsa-1", "mg-1", "ag-1", "telegram:9", "{}", NOW, sender_name="Bo", title="Allow?",
    question="May Bo?", options_json="[3]", expires_at=NOW + seconds(60),
)  # fmt: skip
CHAT = ChatRequest(
    "mg-1", "ag-1", "{}", NOW, "mg-1", sender_identity="telegram:9", sender_name="Bo",
    title="Register?", question="Which?", options_json="[4]", expires_at=NOW + seconds(60),
)  # fmt: skip
OWED = OwedName("u:1", "telegram", "dm-1", NOW)
DENIAL = SenderDenial("mg-1", "ag-1", "telegram:9", "u:1", NOW + seconds(60))


@pytest.fixture(autouse=True)
def _seeded(conn: sqlite3.Connection) -> None:
    seed(conn)


@pytest.mark.parametrize(("ask", "index"), ASKED_OFTEN.values(), ids=ASKED_OFTEN.keys())
def test_what_is_asked_at_every_look_uses_its_index(
    conn: sqlite3.Connection, ask: Ask, index: str
) -> None:
    statements: list[str] = []
    conn.set_trace_callback(statements.append)
    ask(conn)
    conn.set_trace_callback(None)

    plan = [
        row["detail"] for text in statements for row in conn.execute(f"EXPLAIN QUERY PLAN {text}")
    ]
    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") and "INDEX" not in step], plan


def test_question_is_stored_once(conn: sqlite3.Connection) -> None:
    assert questions.insert(conn, QUESTION)
    assert not questions.insert(conn, replace(QUESTION, title="Other"))
    assert questions.get(conn, "q-1") == QUESTION
    assert questions.of_session(conn, "sess-1") == [QUESTION]
    assert questions.open_in_chat(conn, "telegram", "c", 5) == [QUESTION]
    assert questions.open_in_chat(conn, "telegram", "d", 5) == []


def test_question_is_taken_by_the_first_answer(conn: sqlite3.Connection) -> None:
    questions.insert(conn, QUESTION)

    assert questions.take(conn, "q-1")
    assert not questions.take(conn, "q-1")


def test_question_expires_once(conn: sqlite3.Connection) -> None:
    questions.insert(conn, QUESTION)

    assert questions.next_expiry(conn) == NOW + seconds(60)
    assert questions.expire(conn, NOW + seconds(59)) == []
    assert questions.expire(conn, NOW + seconds(60)) == [QUESTION]
    assert questions.expire(conn, NOW + seconds(60)) == []
    assert questions.next_expiry(conn) is None


def test_sender_waits_once_per_chat(conn: sqlite3.Connection) -> None:
    sender_requests.add(conn, SENDER)

    with pytest.raises(sqlite3.IntegrityError):
        sender_requests.add(conn, replace(SENDER, id="nsa-2"))
    assert sender_requests.find(conn, "mg-1", "telegram:9") == SENDER
    assert sender_requests.list_all(conn) == [SENDER]
    assert sender_requests.count_in_chat(conn, "mg-1") == 1
    assert sender_requests.count_in_chat(conn, "mg-2") == 0


def test_sender_request_is_taken_by_one_click(conn: sqlite3.Connection) -> None:
    sender_requests.add(conn, SENDER)
    assert sender_requests.with_new_card(conn, 5) == [SENDER]
    assert sender_requests.mark_sent(conn, "nsa-1", "u:1")

    sent = sender_requests.get(conn, "nsa-1")
    assert sent == replace(SENDER, card_state=CardState.SENT, approver_user_id="u:1")
    assert sender_requests.with_new_card(conn, 5) == []
    assert sender_requests.take(conn, "nsa-1")
    assert not sender_requests.take(conn, "nsa-1")
    assert not sender_requests.mark_sent(conn, "nsa-1", "u:1")


def test_old_requests_make_room_for_new_ones(conn: sqlite3.Connection) -> None:
    sender_requests.add(conn, SENDER)
    chat_requests.add(conn, CHAT)

    assert sender_requests.next_expiry(conn) == chat_requests.next_expiry(conn) == NOW + seconds(60)
    assert sender_requests.expire(conn, NOW) == []
    assert sender_requests.expire(conn, NOW + seconds(60)) == [SENDER]
    assert chat_requests.expire(conn, NOW + seconds(60)) == [CHAT]
    assert chat_requests.get(conn, "mg-1") is None
    assert chat_requests.count(conn) == 0


def test_refusal_is_remembered_for_chat_agent_and_sender_until_its_end(
    conn: sqlite3.Connection,
) -> None:
    sender_requests.deny(conn, DENIAL)

    assert sender_requests.is_denied(conn, ("mg-1", "ag-1"), "telegram:9", NOW)
    assert not sender_requests.is_denied(conn, ("mg-1", "ag-1"), "telegram:8", NOW)
    assert not sender_requests.is_denied(conn, ("mg-2", "ag-1"), "telegram:9", NOW)
    assert not sender_requests.is_denied(conn, ("mg-1", "ag-1"), "telegram:9", NOW + seconds(60))
    assert sender_requests.prune_denials(conn, NOW + seconds(59)) == 0
    assert sender_requests.prune_denials(conn, NOW + seconds(60)) == 1


def test_refusal_can_be_forgotten(conn: sqlite3.Connection) -> None:
    sender_requests.deny(conn, DENIAL)

    assert sender_requests.forget_denials(conn, "telegram:9", "ag-1") == 1
    assert not sender_requests.is_denied(conn, ("mg-1", "ag-1"), "telegram:9", NOW)


def test_further_card_of_a_chat_is_a_new_card(conn: sqlite3.Connection) -> None:
    chat_requests.add(conn, CHAT)
    assert chat_requests.mark_sent(conn, "mg-1", "u:1")
    assert chat_requests.with_new_card(conn, 5) == []

    chat_requests.set_card(conn, "mg-1", NewCard("mg-1~2", "Choose", "Which?", "[5]"))
    chat_requests.set_approver(conn, "mg-1", "u:2")

    expected = replace(
        CHAT, card_id="mg-1~2", title="Choose", options_json="[5]", approver_user_id="u:2"
    )
    assert chat_requests.list_all(conn) == chat_requests.with_new_card(conn, 5) == [expected]
    assert questions.card_text(conn, "mg-1") is None
    assert questions.card_text(conn, "mg-1~2") == CardText("Choose", "[5]")
    assert chat_requests.take(conn, "mg-1")
    assert not chat_requests.take(conn, "mg-1")


def test_owed_name_is_found_by_its_debtor(conn: sqlite3.Connection) -> None:
    add_chat(conn, "mg-2")
    chat_requests.add(conn, CHAT)
    chat_requests.add(conn, replace(CHAT, messaging_group_id="mg-2", card_id="mg-2"))
    chat_requests.ask_name(conn, "mg-1", OWED)

    with pytest.raises(sqlite3.IntegrityError):
        chat_requests.ask_name(conn, "mg-2", OWED)
    owing = chat_requests.owing_name(conn, "u:1")
    assert owing == replace(CHAT, owed=OWED)
    assert chat_requests.first_owed(conn) == NOW
    assert chat_requests.owing_since(conn, NOW - seconds(1)) == []
    assert chat_requests.owing_since(conn, NOW) == [owing]
    chat_requests.forget_name(conn, "u:1")
    assert chat_requests.owing_name(conn, "u:1") is None
    assert chat_requests.get(conn, "mg-1") == CHAT


def test_card_text_is_found_by_any_kind_of_card_id(conn: sqlite3.Connection) -> None:
    questions.insert(conn, QUESTION)
    approvals.insert(
        conn, Approval("appr-1", "appr-1", "x", "{}", NOW, title="Packages", options_json="[2]")
    )
    sender_requests.add(conn, SENDER)
    chat_requests.add(conn, CHAT)

    assert questions.card_text(conn, "q-1") == CardText("Which?", "[1]")
    assert questions.card_text(conn, "appr-1") == CardText("Packages", "[2]")
    assert questions.card_text(conn, "nsa-1") == CardText("Allow?", "[3]")
    assert questions.card_text(conn, "mg-1") == CardText("Register?", "[4]")
    assert questions.card_text(conn, "nobody") is None


def test_closed_card_is_the_newest_of_its_id_and_is_forgotten_in_time(
    conn: sqlite3.Connection,
) -> None:
    first = ClosedCard("mg-1", CardEnd.EXPIRED, "Register?", NOW)
    second = ClosedCard("mg-1", CardEnd.DECIDED, "Register?", NOW + seconds(1), "Ignored", "u:1")
    closed_cards.put(conn, first)
    closed_cards.put(conn, second)

    assert closed_cards.get(conn, "mg-1") == second
    assert closed_cards.prune(conn, NOW + seconds(1)) == 0
    assert closed_cards.prune(conn, NOW + seconds(2)) == 1
    assert closed_cards.get(conn, "mg-1") is None

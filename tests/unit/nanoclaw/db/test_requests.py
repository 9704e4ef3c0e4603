import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, add_chat, seconds, seed

from contract.address import Address
from nanoclaw.db import admissions, approvals, questions
from nanoclaw.db.admissions import ChannelRequest, SenderRequest
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.questions import CardState, CardText, Question

QUESTION = Question(
    "q-1", "sess-1", "out-1", Address("telegram", "c", "t"), "Which?", "[1]", NOW,
    expires_at=NOW + seconds(60),
)  # fmt: skip
APPROVAL = Approval(
    "appr-1", "appr-1", "install_packages", "{}", NOW, session_id="sess-1", agent_group_id="ag-1",
    expires_at=NOW + seconds(60), title="Packages", options_json="[2]", payload_hash="abc",
    approver_user_id="u:1",
)  # fmt: skip
SENDER = SenderRequest(
    "nsa-1", "mg-1", "ag-1", "telegram:9", "{}", "u:1", NOW, sender_name="Bo", title="Allow?",
    options_json="[3]", expires_at=NOW + seconds(60),
)  # fmt: skip
CHANNEL = ChannelRequest(
    "mg-1", "ag-1", "{}", "u:1", NOW, title="Register?", options_json="[4]",
    expires_at=NOW + seconds(60),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded(conn: sqlite3.Connection) -> None:
    seed(conn)


def test_question_is_stored_once(conn: sqlite3.Connection) -> None:
    assert questions.insert(conn, QUESTION)
    assert not questions.insert(conn, replace(QUESTION, title="Other"))
    assert questions.get(conn, "q-1") == QUESTION
    assert questions.of_session(conn, "sess-1") == [QUESTION]


def test_question_is_answered_once(conn: sqlite3.Connection) -> None:
    questions.insert(conn, QUESTION)
    questions.mark_sent(conn, "q-1")

    assert questions.decide(conn, "q-1", "u:1", NOW)
    assert not questions.decide(conn, "q-1", "u:2", NOW)
    decided = questions.get(conn, "q-1")
    assert decided == replace(
        QUESTION, card_state=CardState.DECIDED, decided_by="u:1", decided_at=NOW
    )
    assert questions.delete(conn, "q-1")


def test_question_expires_once_and_then_takes_no_answer(conn: sqlite3.Connection) -> None:
    questions.insert(conn, QUESTION)

    assert questions.expire(conn, NOW + seconds(59)) == []
    assert [item.question_id for item in questions.expire(conn, NOW + seconds(60))] == ["q-1"]
    assert questions.expire(conn, NOW + seconds(60)) == []
    assert not questions.decide(conn, "q-1", "u:1", NOW)


def test_approval_is_stored_once_and_read_back(conn: sqlite3.Connection) -> None:
    assert approvals.insert(conn, APPROVAL)
    assert not approvals.insert(conn, APPROVAL)
    assert approvals.get(conn, "appr-1") == APPROVAL
    assert approvals.pending(conn) == [APPROVAL]
    assert approvals.next_expiry(conn) == NOW + seconds(60)


def test_one_decision_about_an_approval_wins(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)
    approvals.mark_sent(conn, "appr-1", "card-7")

    assert approvals.decide(conn, "appr-1", ApprovalStatus.REJECTED, "u:1", NOW)
    assert not approvals.decide(conn, "appr-1", ApprovalStatus.APPROVED, "u:2", NOW)
    decided = approvals.get(conn, "appr-1")
    assert decided == replace(
        APPROVAL,
        status=ApprovalStatus.REJECTED,
        card_state=CardState.DECIDED,
        platform_message_id="card-7",
        decided_by="u:1",
        decided_at=NOW,
    )
    assert approvals.pending(conn) == []
    rejected = approvals.of_action(conn, "install_packages", ApprovalStatus.REJECTED)
    assert rejected == approvals.list_all(conn, 10) == [decided]


def test_expired_approval_cannot_be_approved(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)

    assert [item.approval_id for item in approvals.expire(conn, NOW + seconds(60))] == ["appr-1"]
    assert approvals.expire(conn, NOW + seconds(61)) == []
    assert not approvals.decide(conn, "appr-1", ApprovalStatus.APPROVED, "u:1", NOW)
    assert approvals.next_expiry(conn) is None
    assert approvals.delete(conn, "appr-1")


def test_sender_waits_once_per_chat(conn: sqlite3.Connection) -> None:
    admissions.add_sender(conn, SENDER)

    with pytest.raises(sqlite3.IntegrityError):
        admissions.add_sender(conn, replace(SENDER, id="nsa-2"))
    assert admissions.find_sender(conn, "mg-1", "telegram:9") == SENDER
    assert admissions.list_senders(conn) == [SENDER]


def test_sender_request_is_taken_by_one_click(conn: sqlite3.Connection) -> None:
    admissions.add_sender(conn, SENDER)
    admissions.mark_sender_sent(conn, "nsa-1")

    sent = admissions.get_sender(conn, "nsa-1")
    assert sent == replace(SENDER, card_state=CardState.SENT)
    assert admissions.delete_sender(conn, "nsa-1")
    assert not admissions.delete_sender(conn, "nsa-1")


def test_old_requests_make_room_for_new_ones(conn: sqlite3.Connection) -> None:
    admissions.add_sender(conn, SENDER)
    admissions.add_channel(conn, CHANNEL)

    assert admissions.expire_senders(conn, NOW) == []
    assert admissions.expire_senders(conn, NOW + seconds(60)) == [SENDER]
    assert admissions.expire_channels(conn, NOW + seconds(60)) == [CHANNEL]
    assert admissions.get_channel(conn, "mg-1") is None


def test_channel_request_shows_its_second_card(conn: sqlite3.Connection) -> None:
    admissions.add_channel(conn, CHANNEL)
    admissions.mark_channel_sent(conn, "mg-1")
    admissions.set_channel_card(conn, "mg-1", "Choose", "[5]")

    assert admissions.list_channels(conn) == [
        replace(CHANNEL, title="Choose", options_json="[5]", card_state=CardState.SENT)
    ]
    assert admissions.delete_channel(conn, "mg-1")


def test_owed_name_survives_and_belongs_to_the_newest_chat(conn: sqlite3.Connection) -> None:
    add_chat(conn, "mg-2")
    admissions.add_channel(conn, CHANNEL)
    admissions.add_channel(conn, replace(CHANNEL, messaging_group_id="mg-2"))
    admissions.ask_name(conn, "mg-1", "u:1", "telegram", "dm-1")

    admissions.ask_name(conn, "mg-2", "u:1", "telegram", "dm-1")

    owing = admissions.owing_name(conn, "u:1")
    assert owing is not None
    assert owing.messaging_group_id == "mg-2"
    assert (owing.name_channel_type, owing.name_platform_id) == ("telegram", "dm-1")
    admissions.forget_name(conn, "u:1")
    assert admissions.owing_name(conn, "u:1") is None


def test_card_text_is_found_by_any_kind_of_card_id(conn: sqlite3.Connection) -> None:
    questions.insert(conn, QUESTION)
    approvals.insert(conn, APPROVAL)
    admissions.add_sender(conn, SENDER)
    admissions.add_channel(conn, CHANNEL)

    assert questions.card_text(conn, "q-1") == CardText("Which?", "[1]")
    assert questions.card_text(conn, "appr-1") == CardText("Packages", "[2]")
    assert questions.card_text(conn, "nsa-1") == CardText("Allow?", "[3]")
    assert questions.card_text(conn, "mg-1") == CardText("Register?", "[4]")
    assert questions.card_text(conn, "nobody") is None


def test_approval_without_a_title_has_no_card(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, replace(APPROVAL, title=""))

    assert questions.card_text(conn, "appr-1") is None

"""``ncl approvals``: every kind of card is listed under one id and decided by it (N-42)."""

import json
from datetime import timedelta

import pytest
from helpers.admin_desk import NOW, AdminDesk

from contract.address import Address
from contract.clock import utc_now
from nanoclaw.approvals import channels, senders
from nanoclaw.approvals.channels import UnknownChat
from nanoclaw.approvals.options import dump_options, option
from nanoclaw.approvals.senders import UnknownSender
from nanoclaw.db import (
    agent_groups,
    chat_requests,
    closed_cards,
    members,
    messaging_groups,
    questions,
    roles,
    sender_requests,
    users,
    wirings,
)
from nanoclaw.db.questions import Question
from nanoclaw.model import MessagingGroup, Role, RoleGrant, User

EVENT = json.dumps({"text": "hello"})
STRANGER = "telegram:99"


@pytest.fixture(autouse=True)
def owner(desk: AdminDesk) -> None:
    """Somebody who could be asked, as the requests demand."""
    users.upsert(desk.conn, User("telegram:1", "telegram", NOW))
    roles.grant(desk.conn, RoleGrant("telegram:1", Role.OWNER, NOW))


def chat_of(desk: AdminDesk) -> MessagingGroup:
    chat = messaging_groups.get(desk.conn, desk.add_chat())
    assert chat is not None
    return chat


def stranger(desk: AdminDesk) -> str:
    group = agent_groups.get(desk.conn, desk.group_id)
    assert group is not None
    sender = UnknownSender(chat_of(desk), group, STRANGER, "Mallory", EVENT)
    found = senders.request(desk.conn, sender, utc_now())
    assert found is not None
    return found


def new_chat(desk: AdminDesk) -> str:
    unknown = UnknownChat(chat_of(desk), True, STRANGER, "Mallory", EVENT)
    found = channels.request(desk.conn, unknown, utc_now())
    assert found is not None
    return found


def question(desk: AdminDesk) -> str:
    desk.add_session("sess-1")
    options = (option("Green", "Green it is", "green"), option("Black", "Black it is", "black"))
    questions.insert(
        desk.conn,
        Question(
            question_id="q-1",
            session_id="sess-1",
            message_out_id="m-1",
            address=Address("telegram", "telegram:5", None),
            title="Tea?",
            options_json=dump_options(options),
            created_at=NOW,
            expires_at=utc_now() + timedelta(minutes=5),
        ),
    )
    return "q-1"


def test_all_that_waits_is_in_one_list(desk: AdminDesk) -> None:
    ids = {stranger(desk): "admit_sender", question(desk): "ask_user_question"}

    rows = desk.get("approvals list", status="pending")

    assert {row["approval_id"]: row["action"] for row in rows} == ids
    [asked] = desk.get("approvals list", action="admit_sender")
    assert json.loads(asked["payload"])["sender"] == STRANGER
    assert (asked["channel_type"], asked["agent_group_id"]) == ("telegram", desk.group_id)
    assert desk.get("approvals list", status="approved") == []
    assert len(desk.get("approvals list", limit="1")) == 1
    for card_id in ids:
        assert desk.get(f"approvals get {card_id}")["approval_id"] == card_id


def test_stranger_is_let_in(desk: AdminDesk) -> None:
    card_id = stranger(desk)

    answer = desk.get(f"approvals approve {card_id}")

    assert (answer["approval_id"], answer["status"]) == (card_id, "approved")
    assert members.has_row(desk.conn, STRANGER, desk.group_id)
    assert sender_requests.get(desk.conn, card_id) is None
    assert desk.has_rung("router")
    closed = closed_cards.get(desk.conn, card_id)
    assert closed is not None
    assert closed.chosen_by == "host"
    again = desk.fail(f"approvals approve {card_id}")
    assert again == ("not-found", f"approval not found: {card_id}")


def test_stranger_is_sent_away(desk: AdminDesk) -> None:
    card_id = stranger(desk)

    assert desk.get(f"approvals reject {card_id}")["status"] == "rejected"

    assert not members.has_row(desk.conn, STRANGER, desk.group_id)
    chat_and_agent = ("mg-2", desk.group_id)
    assert sender_requests.is_denied(desk.conn, chat_and_agent, STRANGER, utc_now())


def test_new_chat_is_given_to_the_only_agent(desk: AdminDesk) -> None:
    card_id = new_chat(desk)

    assert desk.get(f"approvals approve {card_id}")["status"] == "approved"

    assert wirings.get_by_pair(desk.conn, "mg-2", desk.group_id) is not None
    assert chat_requests.get(desk.conn, "mg-2") is None


def test_among_several_agents_one_must_be_named(desk: AdminDesk) -> None:
    other = desk.add_group()
    card_id = new_chat(desk)

    code, message = desk.fail(f"approvals approve {card_id}")
    assert (code, "--agent-group-id" in message) == ("invalid-args", True)
    assert desk.fail(f"approvals approve {card_id}", agent_group_id="ag-x")[0] == "not-found"
    desk.get(f"approvals approve {card_id}", agent_group_id=other)

    assert wirings.get_by_pair(desk.conn, "mg-2", other) is not None
    assert wirings.get_by_pair(desk.conn, "mg-2", desk.group_id) is None


def test_new_chat_is_refused_by_the_id_of_any_of_its_cards(desk: AdminDesk) -> None:
    new_chat(desk)
    row = chat_requests.get(desk.conn, "mg-2")
    assert row is not None
    channels.ask_again(desk.conn, row)
    [listed] = desk.get("approvals list")
    assert listed["approval_id"] == "mg-2"
    assert listed["request_id"].startswith("mg-2~")

    desk.get(f"approvals reject {listed['request_id']}")

    chat = messaging_groups.get(desk.conn, "mg-2")
    assert chat is not None
    assert chat.denied_at is not None


def test_dry_run_shows_the_decision_and_takes_none(desk: AdminDesk) -> None:
    card_id = stranger(desk)

    answer = desk.get(f"approvals approve {card_id}", dry_run=True)

    assert answer["result"]["status"] == "approved"
    assert sender_requests.get(desk.conn, card_id) is not None


@pytest.mark.parametrize("typed", ["2", "black", "Black", "BLACK"])
def test_question_is_answered_by_number_label_or_value(desk: AdminDesk, typed: str) -> None:
    question(desk)

    answer = desk.get("approvals answer q-1", option=typed)

    assert answer == {"approval_id": "q-1", "answer": "Black it is"}
    [row] = desk.conn.execute("SELECT payload FROM effects WHERE kind = 'question_answer'")
    payload = json.loads(row["payload"])
    assert (payload["selectedOption"], payload["userId"]) == ("black", "host")
    assert payload["taint"] is None
    assert desk.fail("approvals get q-1")[0] == "not-found"


@pytest.mark.parametrize("typed", ["0", "3", "Red", "-1"])
def test_answer_that_is_none_of_the_options_names_them(desk: AdminDesk, typed: str) -> None:
    question(desk)

    assert desk.fail("approvals answer q-1", option=typed) == (
        "invalid-args",
        "--option must be one of: Green | Black",
    )


def test_each_verb_says_which_one_is_meant(desk: AdminDesk) -> None:
    question(desk)
    card_id = stranger(desk)

    assert "ncl approvals answer q-1" in desk.fail("approvals approve q-1")[1]
    assert "Green | Black" in desk.fail("approvals reject q-1")[1]
    assert "approvals approve" in desk.fail(f"approvals answer {card_id}", option="1")[1]
    given = desk.fail(f"approvals approve {card_id}", agent_group_id=desk.group_id)
    assert given[0] == "invalid-args"


def test_what_is_too_old_is_not_decided(desk: AdminDesk) -> None:
    card_id = stranger(desk)
    desk.conn.execute("UPDATE pending_sender_approvals SET expires_at = '2020-01-01T00:00:00Z'")

    assert "too late" in desk.fail(f"approvals approve {card_id}")[1]
    assert not members.has_row(desk.conn, STRANGER, desk.group_id)

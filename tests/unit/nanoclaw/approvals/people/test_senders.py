import sqlite3
from datetime import timedelta

import pytest
from helpers.central_rows import NOW, add_agent_group
from helpers.people import (
    GLOBAL,
    OWNER,
    SCOPED,
    STRANGER,
    Town,
    audited,
    click,
    grant,
    hold,
    released,
    stranger,
)

from nanoclaw.approvals import answers, senders
from nanoclaw.approvals.senders import CARDS, DENIED_FOR, EXPIRES_AFTER
from nanoclaw.db import inbound_events, members, roles, sender_requests
from nanoclaw.db.questions import CardState
from nanoclaw.events import ActionOutcome
from nanoclaw.model import Role


@pytest.fixture
def card(conn: sqlite3.Connection, town: Town) -> str:
    """A stranger waits, with one message held."""
    request_id = senders.request(conn, stranger(town), NOW)
    assert request_id is not None
    hold(conn, request_id)
    return request_id


def test_t32_first_message_makes_one_card_and_the_second_none(
    conn: sqlite3.Connection, town: Town
) -> None:
    first = senders.request(conn, stranger(town), NOW)
    second = senders.request(conn, stranger(town), NOW)

    assert first is not None
    assert first.startswith("nsa-")
    assert second == first
    [card] = CARDS.created(conn, 10)
    assert card.card_id == first
    assert card.agent_group_id == town.agent.id
    assert [item.label for item in card.options] == ["Allow", "Deny"]
    assert "`Bo`" in card.question
    assert "`telegram:9`" in card.question
    assert "`Family`" in card.question
    assert card.origin == "telegram"


def test_t32_allowing_admits_the_sender_and_releases_what_was_held(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    result = answers.answer(conn, click(card, "0"), NOW)

    assert result.outcome is ActionOutcome.ACCEPTED
    assert result.chosen_label == "Allowed"
    assert members.has_row(conn, STRANGER, town.agent.id)
    assert sender_requests.list_all(conn) == []
    assert released(conn) == ["e-1"]
    assert audited(conn) == [("sender.allowed", OWNER)]


def test_t32_denying_forgets_what_was_held_and_admits_nobody(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    result = answers.answer(conn, click(card, "1"), NOW)

    assert (result.outcome, result.chosen_label) == (ActionOutcome.ACCEPTED, "Denied")
    assert not members.has_row(conn, STRANGER, town.agent.id)
    assert sender_requests.list_all(conn) == []
    assert released(conn) == []
    assert inbound_events.count_waiting(conn, card) == 0
    assert audited(conn) == [("sender.denied", OWNER)]


def test_t32_click_of_somebody_without_right_changes_nothing(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    result = answers.answer(conn, click(card, "0", STRANGER), NOW)

    assert result.outcome is ActionOutcome.NOT_ALLOWED
    assert [row.id for row in sender_requests.list_all(conn)] == [card]
    assert not members.has_row(conn, STRANGER, town.agent.id)
    assert released(conn) == []


def other_group(conn: sqlite3.Connection) -> str:
    return add_agent_group(conn, "ag-2", name="Zoe").id


@pytest.mark.parametrize(
    ("role", "scope", "expected"),
    [
        pytest.param(Role.ADMIN, None, ActionOutcome.ACCEPTED, id="global admin"),
        pytest.param(Role.ADMIN, "ag-1", ActionOutcome.ACCEPTED, id="admin of the agent"),
        pytest.param(Role.ADMIN, "ag-2", ActionOutcome.NOT_ALLOWED, id="admin of another agent"),
        pytest.param(Role.OWNER, None, ActionOutcome.ACCEPTED, id="another owner"),
    ],
)
def test_t32_everybody_with_rights_over_the_agent_may_decide(
    conn: sqlite3.Connection, card: str, role: Role, scope: str | None, expected: ActionOutcome
) -> None:
    other_group(conn)
    grant(conn, GLOBAL, role, scope)

    assert answers.answer(conn, click(card, "0", GLOBAL), NOW).outcome is expected


def test_approver_who_lost_the_role_does_not_decide(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    grant(conn, SCOPED, Role.ADMIN, town.agent.id)
    CARDS.mark_sent(conn, card, SCOPED, NOW)
    roles.revoke(conn, SCOPED, Role.ADMIN, town.agent.id)

    assert answers.answer(conn, click(card, "0", SCOPED), NOW).outcome is ActionOutcome.NOT_ALLOWED


def test_second_click_learns_what_was_decided_and_by_whom(
    conn: sqlite3.Connection, card: str
) -> None:
    answers.answer(conn, click(card, "1"), NOW)

    result = answers.answer(conn, click(card, "0"), NOW)

    assert result.outcome is ActionOutcome.ALREADY_ANSWERED
    assert (result.chosen_label, result.chosen_by) == ("Denied", OWNER)
    assert released(conn) == []


def test_refused_stranger_cannot_make_a_new_card_for_a_day(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    answers.answer(conn, click(card, "1"), NOW)

    assert senders.request(conn, stranger(town), NOW + DENIED_FOR - timedelta(seconds=1)) is None
    assert senders.request(conn, stranger(town), NOW + DENIED_FOR) is not None


def test_without_anybody_who_may_decide_there_is_no_card(
    conn: sqlite3.Connection, town: Town
) -> None:
    roles.revoke(conn, OWNER, Role.OWNER, None)

    assert senders.request(conn, stranger(town), NOW) is None
    assert sender_requests.list_all(conn) == []


def test_crowd_of_strangers_does_not_flood_the_approver(
    conn: sqlite3.Connection, town: Town
) -> None:
    asked = [
        senders.request(conn, stranger(town, user_id=f"telegram:{number}"), NOW)
        for number in range(100, 100 + senders.MAX_WAITING_PER_CHAT + 5)
    ]

    assert sum(item is not None for item in asked) == senders.MAX_WAITING_PER_CHAT
    assert asked[-1] is None


def test_w39_card_that_reaches_nobody_ends_and_the_next_message_asks_again(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    CARDS.nobody_reachable(conn, card, "no channel", NOW)

    assert inbound_events.count_waiting(conn, card) == 0
    again = senders.request(conn, stranger(town), NOW)
    assert again not in (None, card)
    assert [item.card_id for item in CARDS.created(conn, 10)] == [again]
    assert audited(conn) == [("sender.expired", "host")]


def test_w39_unanswered_card_expires_and_says_so(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    end = NOW + EXPIRES_AFTER
    assert CARDS.next_expiry(conn) == end

    CARDS.expire(conn, end)

    assert CARDS.next_expiry(conn) is None
    assert answers.answer(conn, click(card, "0"), end).outcome is ActionOutcome.EXPIRED
    assert not members.has_row(conn, STRANGER, town.agent.id)
    assert senders.request(conn, stranger(town), end) not in (None, card)


def test_click_after_the_end_decides_nothing_even_before_the_timer(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    result = answers.answer(conn, click(card, "0"), NOW + EXPIRES_AFTER)

    assert result.outcome is ActionOutcome.EXPIRED
    assert sender_requests.list_all(conn) == []
    assert not members.has_row(conn, STRANGER, town.agent.id)


def test_message_after_the_end_asks_again_even_before_the_timer(
    conn: sqlite3.Connection, town: Town, card: str
) -> None:
    again = senders.request(conn, stranger(town), NOW + EXPIRES_AFTER)

    assert again not in (None, card)


def test_value_that_is_no_option_decides_nothing(conn: sqlite3.Connection, card: str) -> None:
    assert answers.answer(conn, click(card, "7"), NOW).outcome is ActionOutcome.UNKNOWN
    assert [row.id for row in sender_requests.list_all(conn)] == [card]


def test_row_of_the_earlier_program_replays_its_own_message(
    conn: sqlite3.Connection, town: Town
) -> None:
    request_id = senders.request(conn, stranger(town), NOW)
    assert request_id is not None

    answers.answer(conn, click(request_id, "approve"), NOW)

    [event] = inbound_events.released(conn, 10)
    assert event.instance == "telegram"
    assert event.event_json == stranger(town).event_json


def test_sent_card_is_not_sent_again(conn: sqlite3.Connection, card: str) -> None:
    assert CARDS.mark_sent(conn, card, OWNER, NOW)

    assert list(CARDS.created(conn, 10)) == []
    row = sender_requests.get(conn, card)
    assert row is not None
    assert (row.card_state, row.approver_user_id) == (CardState.SENT, OWNER)
    found = CARDS.find(conn, card)
    assert found is not None
    assert found.card_id == card


def test_names_of_strangers_cannot_pose_as_markup_or_lines(
    conn: sqlite3.Connection, town: Town
) -> None:
    senders.request(conn, stranger(town, name="Bo`\n*Owner*\u202e"), NOW)

    [card] = CARDS.created(conn, 10)
    assert "\n" not in card.question
    assert "\u202e" not in card.question
    assert "`Bo\\x60\\n*Owner*" in card.question

import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from helpers.approval_people import PAYLOAD, add_person, click, new_request
from helpers.central_rows import NOW, add_agent_group, seconds, seed

from contract.jsontext import dump
from nanoclaw import audit
from nanoclaw.approvals import requests
from nanoclaw.approvals.requests import EXPIRES_AFTER, MAX_PENDING_PER_AGENT, MAX_QUESTION
from nanoclaw.db import approvals, card_copies, effects, roles
from nanoclaw.db.approvals import ApprovalStatus
from nanoclaw.db.audit import AuditRow, recent
from nanoclaw.db.card_copies import CopyState, NewCopy, Place
from nanoclaw.db.effects import Effect
from nanoclaw.events import ActionOutcome
from nanoclaw.model import Role, Session
from nanoclaw.policy.binding import payload_hash

OWNER = "telegram:owner"


@pytest.fixture
def session(conn: sqlite3.Connection) -> Session:
    session = seed(conn).session
    add_person(conn, OWNER, Role.OWNER, name="Olga")
    add_person(conn, "telegram:admin", Role.ADMIN, name="Adam")
    add_person(conn, "slack:scoped", Role.ADMIN, "ag-1")
    add_person(conn, "telegram:stranger")
    return session


@pytest.fixture
def card(conn: sqlite3.Connection, session: Session) -> str:
    return requests.request(conn, new_request(session), NOW)


def kinds(conn: sqlite3.Connection) -> list[str]:
    return [row.kind for row in reversed(recent(conn, None, 100))]


def audit_row(conn: sqlite3.Connection, kind: str) -> AuditRow:
    (row,) = recent(conn, kind, 10)
    return row


def effect_of(conn: sqlite3.Connection, card: str) -> Effect | None:
    return effects.get(conn, f"approval/{card}")


def show(conn: sqlite3.Connection, card: str, copy_id: str, place: Place) -> None:
    card_copies.insert(conn, NewCopy(copy_id, card, "approval", OWNER, place, NOW), NOW)


def test_request_is_stored_with_its_hash_before_any_card_is_sent(
    conn: sqlite3.Connection, card: str
) -> None:
    approval = approvals.get(conn, card)

    assert approval is not None
    assert card.startswith("appr-")
    assert (approval.payload, approval.payload_hash) == (PAYLOAD, payload_hash(PAYLOAD))
    assert approval.expires_at == NOW + EXPIRES_AFTER
    assert kinds(conn) == ["approval.requested"]
    assert payload_hash(PAYLOAD) in audit_row(conn, "approval.requested").detail


def test_requesting_twice_is_one_request_at_any_time(
    conn: sqlite3.Connection, session: Session, card: str
) -> None:
    later = requests.request(conn, new_request(session), NOW + seconds(90))

    assert later == card
    assert len(approvals.pending(conn)) == 1
    assert kinds(conn) == ["approval.requested"]


def test_approval_records_exactly_the_payload_that_was_shown(
    conn: sqlite3.Connection, card: str
) -> None:
    result = requests.answer(conn, click(card), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.ACCEPTED
    assert (result.title, result.chosen_label, result.chosen_by) == (
        "Packages for Andy", "Approved", "Olga",
    )  # fmt: skip
    effect = effect_of(conn, card)
    assert effect is not None
    assert (effect.kind, effect.payload, effect.payload_hash, effect.approval_id) == (
        "drink_tea", PAYLOAD, payload_hash(PAYLOAD), card,
    )  # fmt: skip
    assert effect.requested_by == "agent:ag-1"
    decided = audit_row(conn, "approval.decided")
    assert decided.actor == OWNER
    assert '"decision":"approved"' in decided.detail
    assert payload_hash(PAYLOAD) in decided.detail
    assert audit.verify(conn).first_bad is None


@pytest.mark.parametrize("value", ["1", "reject"])
def test_rejection_runs_nothing_and_tells_the_agent(
    conn: sqlite3.Connection, card: str, value: str
) -> None:
    result = requests.answer(conn, click(card, value), NOW)

    assert result is not None
    assert (result.outcome, result.chosen_label) == (ActionOutcome.ACCEPTED, "Rejected")
    effect = effect_of(conn, card)
    assert effect is not None
    assert effect.kind == requests.REJECTED
    assert effect.payload == dump({"approval_id": card, "reason": "Olga said no"})


@pytest.mark.parametrize(
    ("user_id", "counts"),
    [
        (OWNER, True),
        ("telegram:admin", True),
        ("slack:scoped", True),
        ("telegram:stranger", False),
        ("telegram:nobody", False),
        ("agent:ag-1", False),
        ("", False),
    ],
)
def test_w4_only_an_entitled_click_counts(
    conn: sqlite3.Connection, card: str, user_id: str, *, counts: bool
) -> None:
    result = requests.answer(conn, click(card, user_id=user_id), NOW)

    assert result is not None
    expected = ActionOutcome.ACCEPTED if counts else ActionOutcome.NOT_ALLOWED
    assert result.outcome is expected
    assert (effect_of(conn, card) is not None) == counts
    assert len(approvals.pending(conn)) == int(not counts)


def test_w4_agent_cannot_approve_even_with_a_role(conn: sqlite3.Connection, card: str) -> None:
    add_person(conn, "agent:ag-1", Role.OWNER)

    result = requests.answer(conn, click(card, user_id="agent:ag-1"), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.NOT_ALLOWED


def test_w4_admin_of_another_agent_cannot_decide(conn: sqlite3.Connection, card: str) -> None:
    add_agent_group(conn, "ag-2")
    add_person(conn, "telegram:other", Role.ADMIN, "ag-2")

    result = requests.answer(conn, click(card, user_id="telegram:other"), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.NOT_ALLOWED


def test_approver_who_was_asked_and_lost_the_role_does_not_count_any_more(
    conn: sqlite3.Connection, card: str
) -> None:
    add_agent_group(conn, "ag-2")
    approvals.mark_sent(conn, card, "telegram:admin")
    roles.revoke(conn, "telegram:admin", Role.ADMIN, None)
    add_person(conn, "telegram:admin", Role.ADMIN, "ag-2")

    result = requests.answer(conn, click(card, user_id="telegram:admin"), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.NOT_ALLOWED


def test_first_decision_wins_and_the_second_is_told_of_it(
    conn: sqlite3.Connection, card: str
) -> None:
    requests.answer(conn, click(card, "1"), NOW)

    second = requests.answer(conn, click(card, "0", "telegram:admin"), NOW)

    assert second is not None
    assert second.outcome is ActionOutcome.ALREADY_ANSWERED
    assert (second.title, second.chosen_label, second.chosen_by) == (
        "Packages for Andy", "Rejected", "Olga",
    )  # fmt: skip
    effect = effect_of(conn, card)
    assert effect is not None
    assert effect.kind == requests.REJECTED
    assert kinds(conn).count("approval.decided") == 1


def test_late_click_expires_the_request_and_tells_the_agent(
    conn: sqlite3.Connection, card: str
) -> None:
    result = requests.answer(conn, click(card), NOW + EXPIRES_AFTER)

    assert result is not None
    assert result.outcome is ActionOutcome.EXPIRED
    effect = effect_of(conn, card)
    assert effect is not None
    assert effect.kind == requests.EXPIRED
    assert kinds(conn) == ["approval.requested", "approval.expired"]


def test_expiry_by_time_takes_each_request_once(conn: sqlite3.Connection, card: str) -> None:
    requests.expire(conn, NOW + EXPIRES_AFTER - timedelta(seconds=1))
    assert kinds(conn) == ["approval.requested"]

    requests.expire(conn, NOW + EXPIRES_AFTER)
    requests.expire(conn, NOW + EXPIRES_AFTER)

    assert kinds(conn) == ["approval.requested", "approval.expired"]
    result = requests.answer(conn, click(card), NOW)
    assert result is not None
    assert result.outcome is ActionOutcome.EXPIRED


def test_altered_payload_is_never_approved(conn: sqlite3.Connection, card: str) -> None:
    conn.execute('UPDATE pending_approvals SET payload = \'{"apt":["evil"]}\'')

    result = requests.answer(conn, click(card), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.EXPIRED
    effect = effect_of(conn, card)
    assert effect is not None
    assert effect.kind == requests.REJECTED


def test_request_of_the_earlier_program_cannot_be_approved(
    conn: sqlite3.Connection, card: str
) -> None:
    conn.execute("UPDATE pending_approvals SET payload_hash = NULL, expires_at = NULL")

    result = requests.answer(conn, click(card), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.EXPIRED


@pytest.mark.parametrize("value", ["2", "-1", "", "yes", "approve ", "99999999999"])
def test_unknown_option_leaves_the_request_waiting(
    conn: sqlite3.Connection, card: str, value: str
) -> None:
    result = requests.answer(conn, click(card, value), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.UNKNOWN
    assert len(approvals.pending(conn)) == 1


def test_card_of_another_kind_is_not_ours(conn: sqlite3.Connection, session: Session) -> None:
    assert requests.answer(conn, click("nsa-1"), NOW) is None


def test_cancelled_request_takes_no_answer(conn: sqlite3.Connection, card: str) -> None:
    assert requests.cancel(conn, card, "agent:ag-1", NOW)
    assert not requests.cancel(conn, card, "agent:ag-1", NOW)

    result = requests.answer(conn, click(card), NOW)

    assert result is not None
    assert result.outcome is ActionOutcome.EXPIRED
    assert effect_of(conn, card) is None
    assert audit_row(conn, "approval.cancelled").actor == "agent:ag-1"


def test_unknown_request_cannot_be_cancelled(conn: sqlite3.Connection) -> None:
    assert not requests.cancel(conn, "appr-0", "host", NOW)


def test_agent_with_too_many_requests_is_refused_and_bothers_nobody(
    conn: sqlite3.Connection, session: Session
) -> None:
    for number in range(MAX_PENDING_PER_AGENT):
        requests.request(conn, new_request(session, f"r-{number}"), NOW)

    refused = requests.request(conn, new_request(session, "one too many"), NOW)

    assert len(approvals.pending(conn)) == MAX_PENDING_PER_AGENT
    approval = approvals.get(conn, refused)
    assert approval is not None
    assert approval.status is ApprovalStatus.REJECTED
    effect = effect_of(conn, refused)
    assert effect is not None
    assert "waiting already" in effect.payload


def test_title_is_one_harmless_line(conn: sqlite3.Connection, session: Session) -> None:
    new = replace(new_request(session), title="A\nB\u202e" + "x" * 500)

    approval = approvals.get(conn, requests.request(conn, new, NOW))

    assert approval is not None
    assert approval.title.startswith("A\\nB\\u202exxx")
    assert len(approval.title) < 240


def test_question_that_is_cut_says_so(conn: sqlite3.Connection, session: Session) -> None:
    new = replace(new_request(session), question="x" * (MAX_QUESTION + 7))

    approval = approvals.get(conn, requests.request(conn, new, NOW))

    assert approval is not None
    assert approval.question.endswith("x\n… (+7 characters). Reject if in doubt.")


def test_decision_closes_every_copy_but_the_pressed_one(
    conn: sqlite3.Connection, card: str
) -> None:
    show(conn, card, "card/1", Place("telegram", "dm-owner"))
    show(conn, card, "card/2", Place("slack", "D1"))

    requests.answer(conn, click(card), NOW)

    states = {copy.copy_id: copy.state for copy in card_copies.of_card(conn, card)}
    assert states == {"card/1": CopyState.CLOSED, "card/2": CopyState.CLOSING}
    (closing,) = card_copies.due(conn, CopyState.CLOSING, NOW, 10)
    assert closing.closing_text == "Packages for Andy: Approved — Olga, 2026-11-21 08:00 UTC"


def test_typed_answer_closes_the_copy_in_its_own_chat_too(
    conn: sqlite3.Connection, card: str
) -> None:
    show(conn, card, "card/1", Place("telegram", "dm-owner"))

    requests.answer(conn, replace(click(card), message_id=""), NOW)

    (copy,) = card_copies.of_card(conn, card)
    assert copy.state is CopyState.CLOSING

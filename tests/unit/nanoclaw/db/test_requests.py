import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, seconds, seed

from nanoclaw.db import approvals, questions
from nanoclaw.db.approvals import Approval, ApprovalStatus
from nanoclaw.db.questions import CardState

APPROVAL = Approval(
    "appr-1", "appr-1", "install_packages", "{}", NOW, session_id="sess-1", agent_group_id="ag-1",
    expires_at=NOW + seconds(60), title="Packages", options_json="[2]", payload_hash="abc",
    approver_user_id="u:1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded(conn: sqlite3.Connection) -> None:
    seed(conn)


def test_approval_is_stored_once_and_read_back(conn: sqlite3.Connection) -> None:
    assert approvals.insert(conn, APPROVAL)
    assert not approvals.insert(conn, APPROVAL)
    assert approvals.get(conn, "appr-1") == APPROVAL
    assert approvals.pending(conn) == [APPROVAL]
    assert approvals.next_expiry(conn) == NOW + seconds(60)


def test_one_decision_about_an_approval_wins(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)
    assert approvals.mark_sent(conn, "appr-1", "u:2")

    assert approvals.decide(conn, "appr-1", ApprovalStatus.REJECTED, "u:1", NOW)
    assert not approvals.decide(conn, "appr-1", ApprovalStatus.APPROVED, "u:2", NOW)
    decided = approvals.get(conn, "appr-1")
    assert decided == replace(
        APPROVAL,
        status=ApprovalStatus.REJECTED,
        card_state=CardState.DECIDED,
        approver_user_id="u:2",
        decided_by="u:1",
        decided_at=NOW,
    )
    assert approvals.pending(conn) == []
    assert not approvals.mark_sent(conn, "appr-1", "u:3")
    rejected = approvals.of_action(conn, "install_packages", ApprovalStatus.REJECTED)
    assert rejected == approvals.list_all(conn, 10) == [decided]


def test_expired_approval_cannot_be_approved(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)

    expired = approvals.expire(conn, NOW + seconds(60), 10)
    assert [item.approval_id for item in expired] == ["appr-1"]
    assert approvals.expire(conn, NOW + seconds(61), 10) == []
    assert not approvals.decide(conn, "appr-1", ApprovalStatus.APPROVED, "u:1", NOW)
    assert approvals.next_expiry(conn) is None


def test_expiry_takes_the_oldest_of_many(conn: sqlite3.Connection) -> None:
    for number in range(3):
        name = f"appr-{number}"
        later = NOW + seconds(number)
        approvals.insert(
            conn, replace(APPROVAL, approval_id=name, request_id=name, expires_at=later)
        )

    expired = approvals.expire(conn, NOW + seconds(9), 2)

    assert {item.approval_id for item in expired} == {"appr-0", "appr-1"}
    assert approvals.next_expiry(conn) == NOW + seconds(2)


def test_request_is_found_by_what_its_requester_calls_it(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, replace(APPROVAL, request_id="sess-1/out-7"))

    assert approvals.find_request(conn, "sess-1/out-7") is not None
    assert approvals.find_request(conn, "appr-1") is None
    assert not approvals.insert(
        conn, replace(APPROVAL, approval_id="appr-2", request_id="sess-1/out-7")
    )


def test_waiting_requests_are_counted_per_agent(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)

    assert approvals.count_pending(conn, "ag-1") == 1
    assert approvals.count_pending(conn, "ag-2") == 0
    approvals.decide(conn, "appr-1", ApprovalStatus.APPROVED, "u:1", NOW)
    assert approvals.count_pending(conn, "ag-1") == 0


def test_new_cards_are_those_that_nobody_has_yet(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)
    assert approvals.with_new_card(conn, 10) == [APPROVAL]

    approvals.mark_sent(conn, "appr-1", "u:2")

    assert approvals.with_new_card(conn, 10) == []


def test_ended_requests_are_forgotten_and_waiting_ones_are_not(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, APPROVAL)
    approvals.insert(conn, replace(APPROVAL, approval_id="appr-2", request_id="r-2"))
    approvals.decide(conn, "appr-2", ApprovalStatus.APPROVED, "u:1", NOW)

    assert approvals.prune(conn, NOW, 10) == 0
    assert approvals.prune(conn, NOW + seconds(1), 10) == 1
    assert [item.approval_id for item in approvals.list_all(conn, 10)] == ["appr-1"]


def test_approval_without_a_title_has_no_card(conn: sqlite3.Connection) -> None:
    approvals.insert(conn, replace(APPROVAL, title=""))

    assert questions.card_text(conn, "appr-1") is None

"""What the vault and the desk ask of credential requests is answered from an index."""

import sqlite3

import pytest
from helpers.central_rows import NOW
from helpers.query_plans import Ask, plan_of

from nanoclaw.db import approvals, gateway

QUESTIONS: dict[str, tuple[Ask, str]] = {
    "every request": (gateway.every, "idx_pending_approvals_action_status"),
    "decided requests": (gateway.decided, "idx_pending_approvals_action_status"),
    "new cards": (lambda c: gateway.with_new_card(c, 9), "pending_approvals_created"),
    "waiting of one agent": (lambda c: gateway.count_pending(c, "a"), "pending_approvals_group"),
    "waiting of no agent": (lambda c: gateway.count_pending(c, None), "pending_approvals_group"),
    "expired requests": (lambda c: gateway.expired(c, NOW, 9), "pending_approvals_expiry"),
    "next expiry": (gateway.next_expiry, "pending_approvals_expiry"),
    "next expiry of others": (approvals.next_expiry, "pending_approvals_expiry"),
    "expired others": (lambda c: approvals.expire(c, NOW, 9), "pending_approvals_expiry"),
    "new cards of others": (
        lambda c: approvals.with_new_card(c, 9), "pending_approvals_created",
    ),
    "one to remove": (lambda c: gateway.remove(c, "a"), "sqlite_autoindex"),
}  # fmt: skip


@pytest.mark.parametrize(("ask", "index"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_question_uses_its_index(conn: sqlite3.Connection, ask: Ask, index: str) -> None:
    plan = plan_of(conn, ask)

    assert any(index in step for step in plan), plan

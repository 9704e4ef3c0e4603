"""What the vault and the desk ask about egress is answered from an index."""

import sqlite3

import pytest
from helpers.central_rows import NOW
from helpers.query_plans import Ask, plan_of

from nanoclaw.db import egress_asks, egress_counts, egress_rules

QUESTIONS: dict[str, tuple[Ask, str]] = {
    "rules of a host": (
        lambda c: egress_rules.for_host(c, "ag-1", ["a.b", "b"], NOW), "egress_rules_host"
    ),
    "how many rules": (lambda c: egress_rules.count_of(c, "ag-1"), "egress_rules_group"),
    "what is over": (lambda c: egress_rules.prune(c, NOW), "egress_rules_expiry"),
    "open question": (
        lambda c: egress_asks.find_open(c, "ag-1", "a.b", 443), "egress_asks_open"
    ),
    "questions of a day": (lambda c: egress_asks.recent(c, "ag-1", NOW), "egress_asks_group"),
    "open questions": (lambda c: egress_asks.count_open(c, "ag-1"), "egress_asks_open"),
    "new cards": (lambda c: egress_asks.with_new_card(c, 10), "egress_asks_created"),
    "old questions": (lambda c: egress_asks.overdue(c, NOW, 10), "egress_asks_expiry"),
    "next end": (egress_asks.next_expiry, "egress_asks_expiry"),
    "answered questions": (lambda c: egress_asks.prune(c, NOW), "egress_asks_age"),
    "who waits": (lambda c: egress_asks.sessions_of(c, "eg-1"), "PRIMARY KEY"),
    "counts of an hour": (
        lambda c: egress_counts.take_unrecorded(c, "2026-11-25T13", 9), "egress_counts_hour"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ask", "index"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_question_uses_its_index(conn: sqlite3.Connection, ask: Ask, index: str) -> None:
    plan = plan_of(conn, ask)

    assert any(index in step for step in plan), plan
    assert not [s for s in plan if s.startswith("SCAN egress") and "INDEX" not in s], plan

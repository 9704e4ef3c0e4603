"""What the loops ask at every tick is answered from an index, however many sessions exist."""

import sqlite3

import pytest
from helpers.central_rows import NOW
from helpers.query_plans import Ask, plan_of

from nanoclaw.db import deliveries, delivery_steps, effects, inbound_events, sessions
from nanoclaw.db.overview import read_work_counts

QUESTIONS: dict[str, tuple[Ask, str]] = {
    "due sessions": (lambda c: sessions.due(c, NOW, 10), "sessions_due"),
    "next due session": (sessions.next_due_at, "sessions_due"),
    "running sessions": (sessions.running, "sessions_running"),
    "dirty sessions": (sessions.dirty, "sessions_dirty"),
    "quarantined sessions": (sessions.quarantined, "sessions_quarantined"),
    "session by key": (lambda c: sessions.find_active(c, "key"), "sessions_active_key"),
    "unrouted events": (lambda c: inbound_events.unrouted(c, 10), "inbound_events_unrouted"),
    "known event": (lambda c: inbound_events.outcome_of(c, "i", "k"), "sqlite_autoindex"),
    "released events": (lambda c: inbound_events.released(c, 10), "inbound_events_released"),
    "held events": (lambda c: inbound_events.count_waiting(c, "r"), "inbound_events_waiting"),
    "all held events": (lambda c: inbound_events.held(c, 9), "inbound_events_waiting"),
    "old held events": (lambda c: inbound_events.expire_held(c, NOW), "inbound_events_waiting"),
    "due deliveries": (lambda c: deliveries.due(c, NOW, 10), "deliveries_due"),
    "open lanes": (deliveries.open_lanes, "deliveries_open"),
    "one lane": (
        lambda c: deliveries.open_in_lane(c, "i", "p", None, deliveries.Window(0, 9, NOW)),
        "deliveries_open",
    ),
    "interrupted deliveries": (deliveries.requeue_interrupted, "deliveries_open"),
    "messages for later": (lambda c: deliveries.next_scheduled(c, NOW), "deliveries_due"),
    "expired deliveries": (lambda c: deliveries.expired(c, NOW, 9), "deliveries_expiry"),
    "files to copy": (lambda c: delivery_steps.wanting_files(c, 9), "deliveries_wanted"),
    "spooled bytes": (lambda c: delivery_steps.spooled_bytes(c, "s"), "deliveries_spooled"),
    "failures to tell": (lambda c: delivery_steps.untold(c, 9), "deliveries_untold"),
    "denied messages": (lambda c: delivery_steps.fail_denied(c, NOW), "deliveries_held"),
    "receipts to tell": (lambda c: deliveries.unprojected(c, "s"), "deliveries_unprojected"),
    "sessions to tell": (deliveries.sessions_to_project, "deliveries_unprojected"),
    "due effects": (lambda c: effects.due(c, NOW, 10), "effects_due"),
}


@pytest.mark.parametrize(("ask", "index"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_frequent_question_uses_its_index(conn: sqlite3.Connection, ask: Ask, index: str) -> None:
    plan = plan_of(conn, ask)

    assert any(index in step for step in plan), plan
    whole_tables = [
        step for step in plan
        if step.startswith("SCAN") and "INDEX" not in step and "subquery" not in step.lower()
    ]  # fmt: skip
    assert not [step for step in whole_tables if "json_each" not in step], plan


def test_status_counts_scan_no_whole_table(conn: sqlite3.Connection) -> None:
    plan = plan_of(conn, lambda c: read_work_counts(c, NOW))

    tables = ("sessions", "deliveries", "inbound_events")
    assert not [step for step in plan if step in {f"SCAN {table}" for table in tables}], plan


def test_due_sessions_are_read_in_the_order_of_the_index(conn: sqlite3.Connection) -> None:
    plan = plan_of(conn, lambda c: sessions.due(c, NOW, 10))

    assert not any("TEMP B-TREE" in step for step in plan), plan

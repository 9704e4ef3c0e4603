"""What the search index asks all the time, and what people wait for, is answered from an index."""

import sqlite3

import pytest
from helpers.central_rows import NOW
from helpers.query_plans import Ask, plan_of

from contract.clock import to_text
from nanoclaw.db import reading_books, reading_messages, reading_tasks, search_feed
from nanoclaw.db.reading_messages import MessageQuery
from nanoclaw.model import DeliveryState

FAILED = (DeliveryState.FAILED, DeliveryState.UNCERTAIN)
QUESTIONS: dict[str, tuple[Ask, str]] = {
    "new messages": (lambda c: search_feed.messages_after(c, 5, 10), "INTEGER PRIMARY KEY"),
    "last message": (lambda c: search_feed.last_message(c, 5, 10), "INTEGER PRIMARY KEY"),
    "new sessions": (lambda c: search_feed.new_sessions(c, 5, 10), "INTEGER PRIMARY KEY"),
    "lively sessions": (lambda c: search_feed.lively_sessions(c, NOW), "sessions_quiet"),
    "gone sessions": (lambda c: search_feed.existing_sessions(c, ["s"]), "sqlite_autoindex"),
    "changed tasks": (
        lambda c: reading_tasks.series_changed_since(c, NOW, 10), "task_series_changed",
    ),
    "newest runs": (lambda c: reading_tasks.recent_runs(c, None, 10), "task_runs_age"),
    "failed messages": (
        lambda c: reading_messages.list_deliveries(c, MessageQuery(FAILED)),
        "deliveries_ended_badly",
    ),
    "newest messages": (
        lambda c: reading_messages.list_deliveries(c, MessageQuery()), "SCAN deliveries",
    ),
    "event by key": (lambda c: reading_messages.find_event(c, "k"), "sqlite_autoindex_inbound"),
    "event by number": (lambda c: reading_messages.find_event(c, "7"), "INTEGER PRIMARY KEY"),
    "delivery by id": (lambda c: reading_messages.find_delivery(c, "d"), "sqlite_autoindex"),
    "answers": (lambda c: reading_messages.answers_to(c, "s", ["r"]), "sqlite_autoindex"),
    "effects of a session": (
        lambda c: reading_messages.effects_between(c, "s", "", "z"), "effects_session",
    ),
    "sessions at work": (
        lambda c: reading_books.up_or_waiting(c, None, to_text(NOW), 9), "sessions_running",
    ),
}  # fmt: skip
WHOLE_TABLE = {"newest messages"}
"""From its new end, until there are enough."""


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_uses_its_index(conn: sqlite3.Connection, name: str) -> None:
    ask, index = QUESTIONS[name]

    plan = plan_of(conn, ask)

    assert any(index in step for step in plan), plan
    assert not any("USE TEMP B-TREE" in step for step in plan) or name not in WHOLE_TABLE

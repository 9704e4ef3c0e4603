"""Answers to the question cards of agents (H-238 to H-240)."""

import sqlite3
from datetime import datetime

from nanoclaw.approvals.clicks import Click
from nanoclaw.events import ActionResult


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. Records the effect ``question_answer`` that tells the agent."""
    raise NotImplementedError

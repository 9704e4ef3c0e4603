"""Finds the card that an answer belongs to and has its kind decide, all in one transaction.

Called by the router for buttons and typed answers, later by the administration. Order as in H-228.
"""

import sqlite3
from datetime import datetime

from nanoclaw.approvals import channels, closed, credentials, egress, questions, requests, senders
from nanoclaw.approvals.clicks import Answerer, Click
from nanoclaw.events import ActionOutcome, ActionResult

ANSWERERS: tuple[Answerer, ...] = (
    credentials.answer,
    requests.answer,
    questions.answer,
    senders.answer,
    channels.answer,
    egress.answer,
    closed.answer,
)


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult:
    """Call inside a write transaction; ring DELIVERY and ROUTER afterwards."""
    for answerer in ANSWERERS:
        result = answerer(conn, click, now)
        if result is not None:
            return result
    return ActionResult(ActionOutcome.UNKNOWN)

"""Approvals: an agent, or a rule, wants something that a person has to allow (H-222 to H-227).

``request`` writes the pending row, ``desk`` brings its card to somebody entitled, ``answer`` takes
the decision and records the effect that carries it out. What is approved is bound by its hash to
what was shown.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from nanoclaw.approvals.clicks import Click
from nanoclaw.events import ActionResult
from nanoclaw.model import Session

EXPIRES_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """``request_id`` makes the approval's id: requesting twice is one request.

    ``action`` is also the kind of the effect that is recorded on approval, with ``payload``
    (compact JSON) as its payload. ``title`` and ``question`` are what the approver sees; secrets
    in them are masked by whoever requests.
    """

    request_id: str
    action: str
    payload: str
    title: str
    question: str
    session: Session | None
    agent_group_id: str
    requested_by: str


def request(conn: sqlite3.Connection, new: NewRequest, now: datetime) -> str:
    """Inside the caller's transaction; returns the approval's id. Ring DELIVERY afterwards.

    That nobody can be asked is found out by the desk, which then tells the agent and rejects.
    """
    raise NotImplementedError


def cancel(conn: sqlite3.Connection, approval_id: str, by: str, now: datetime) -> bool:
    """Takes a request back before anybody decided; its cards are shown as closed."""
    raise NotImplementedError


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``."""
    raise NotImplementedError

"""Messages that are not for an agent: pairing codes, owed names, typed answers to cards.

Asked by the router for every event before anything else (H-71 step 0). Each of the three looks at
the text or at one key first, so that ordinary messages cost next to nothing.
"""

import sqlite3
from datetime import datetime

from nanoclaw.approvals import owed_names, pairing, text_answers
from nanoclaw.approvals.incoming import Incoming, Intercepted

__all__ = ["Incoming", "Intercepted", "intercept"]


def intercept(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> Intercepted | None:
    """Inside the router's transaction; ring DELIVERY and ROUTER when something was consumed."""
    event = incoming.event
    if event.edited or event.sender_is_bot or event.reaction is not None:
        return None
    if event.answer_to is not None:
        return None  # an operator's injection is meant for the agent, whatever it says
    return (
        pairing.intercept(conn, incoming, now)
        or owed_names.intercept(conn, incoming, now)
        or text_answers.intercept(conn, incoming, now)
    )

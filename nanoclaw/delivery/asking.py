"""Question cards of agents on their way out: recorded when they may really be sent (H-131).

Called where a card's row is taken in, and where a held one has been allowed.
"""

import sqlite3
from datetime import datetime

from contract.address import Address
from contract.content import QuestionCard
from contract.errors import BadContent
from contract.outbound.row import OutboundRow
from nanoclaw.approvals import questions
from nanoclaw.db import deliveries
from nanoclaw.db.deliveries import Failure
from nanoclaw.model import Delivery, Session

REFUSED = "the question needs a title, one to fifty options and an id that is not in use"


def record_question(
    conn: sqlite3.Connection, session: Session, delivery: Delivery, content: QuestionCard,
    now: datetime,
) -> bool:  # fmt: skip
    """Inside the caller's transaction. False: its card ends here, and its agent will be told."""
    row = OutboundRow(
        id=delivery.message_out_id,
        seq=delivery.seq,
        kind=delivery.kind,
        timestamp=delivery.created_at,
        content=delivery.content,
        address=Address(delivery.instance, delivery.platform_id, delivery.thread_id),
        in_reply_to=delivery.in_reply_to,
        deliver_after=delivery.next_attempt_at,
        taint=delivery.taint,
        chain_id=None,
        hop=0,
    )
    try:
        if questions.record(conn, session, row, content, now):
            return True
    except BadContent:
        pass  # an option holds what can be read but not written
    deliveries.mark_failed(conn, delivery.delivery_id, REFUSED, now, Failure.REFUSED)
    return False

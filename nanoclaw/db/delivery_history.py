"""Statements on ``deliveries`` that concern the past: lists, another try by hand, forgetting.

Used by the administration and by retention; what is under way is the affair of ``deliveries``.
"""

import sqlite3
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.deliveries import delivery_of
from nanoclaw.db.rows import changed, many
from nanoclaw.model import Delivery, DeliveryState


def retry_failed(conn: sqlite3.Connection, delivery_id: str, expires_at: datetime,
                 now: datetime) -> bool:  # fmt: skip
    """An administrator sends a failed or uncertain message once more."""
    return bool(
        changed(
            conn,
            "UPDATE deliveries SET state = 'queued', next_attempt_at = ?, expires_at = ?,"
            " projected = 0, failure = NULL, told = 1, updated_at = ?"
            " WHERE delivery_id = ? AND state IN ('failed', 'uncertain')",
            (to_text(now), to_text(expires_at), to_text(now), delivery_id),
        )
    )


def recent(conn: sqlite3.Connection, state: DeliveryState | None, limit: int) -> list[Delivery]:
    """Newest first, of one state or of all."""
    return many(
        conn,
        delivery_of,
        "SELECT * FROM deliveries WHERE state = coalesce(?, state)"
        " ORDER BY row_number DESC LIMIT ?",
        (state, limit),
    )


def prune(conn: sqlite3.Connection, before: datetime, limit: int = 10_000) -> int:
    """Forgets settled receipts of long ago that their session has been told of; how many."""
    return changed(
        conn,
        "DELETE FROM deliveries WHERE row_number IN (SELECT row_number FROM deliveries"
        " WHERE created_at < ? AND state IN ('sent', 'failed', 'uncertain')"
        " AND (projected = 1 OR source = 'host')"
        " ORDER BY created_at LIMIT ?)",
        (to_text(before), limit),
    )

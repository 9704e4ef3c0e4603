"""Counts of work for the status commands: what runs, what waits, since when.

Read by the admin process beside the running host. Every figure comes from a partial index or a
small set of rows, so asking costs the same with five sessions and with five thousand.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import parse_text, to_text


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """``waiting`` counts sessions whose work is due and that no container serves yet."""

    sessions_running: int
    sessions_waiting: int
    sessions_quarantined: int
    events_unrouted: int
    deliveries_queued: int
    oldest_delivery_seconds: int | None
    """Age of the oldest message that has not gone out."""


def read_work_counts(conn: sqlite3.Connection, now: datetime) -> WorkCounts:
    row = conn.execute(
        "SELECT (SELECT count(*) FROM sessions WHERE container_status = 'running') AS running,"
        " (SELECT count(*) FROM sessions WHERE status = 'active' AND next_due_at <= ?"
        "   AND container_status <> 'running' AND quarantined_at IS NULL) AS waiting,"
        " (SELECT count(*) FROM sessions WHERE quarantined_at IS NOT NULL) AS quarantined,"
        " (SELECT count(*) FROM inbound_events WHERE state = 'committed') AS unrouted,"
        " (SELECT count(*) FROM deliveries WHERE state IN ('queued', 'sending')) AS queued,"
        " (SELECT min(created_at) FROM deliveries WHERE state IN ('queued', 'sending')) AS oldest",
        (to_text(now),),
    ).fetchone()
    oldest = parse_text(row["oldest"])
    return WorkCounts(
        sessions_running=row["running"],
        sessions_waiting=row["waiting"],
        sessions_quarantined=row["quarantined"],
        events_unrouted=row["unrouted"],
        deliveries_queued=row["queued"],
        oldest_delivery_seconds=(
            None if oldest is None else max(0, int((now - oldest).total_seconds()))
        ),
    )

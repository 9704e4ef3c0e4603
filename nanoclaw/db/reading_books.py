"""What the administration asks about audit, usage and containers: lists and sums.

Reads only. Sums are over the rows of ``usage`` that retention has left; what was spent in a period
stands in ``spending`` for ever.
"""

import sqlite3
from dataclasses import dataclass

from nanoclaw.db.audit import AuditRow, audit_row_of
from nanoclaw.db.rows import many
from nanoclaw.db.sessions import session_of
from nanoclaw.db.usage import UsageRow, usage_of
from nanoclaw.model import Session


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Newest first; None: whichever. ``kind`` ending in a dot means all that begin so."""

    kind: str | None = None
    actor: str | None = None
    agent_group_id: str | None = None
    session_id: str | None = None
    limit: int = 50


def list_audit(conn: sqlite3.Connection, query: AuditQuery) -> list[AuditRow]:
    return many(
        conn,
        audit_row_of,
        "SELECT * FROM audit WHERE (?1 IS NULL OR kind = ?1"
        " OR (substr(?1, -1) = '.' AND substr(kind, 1, length(?1)) = ?1))"
        " AND (?2 IS NULL OR actor = ?2) AND (?3 IS NULL OR agent_group_id = ?3)"
        " AND (?4 IS NULL OR session_id = ?4) ORDER BY seq DESC LIMIT ?5",
        (query.kind, query.actor, query.agent_group_id, query.session_id, query.limit),
    )


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """``day`` is the first one, ``2026-11-21``; None: whichever."""

    agent_group_id: str | None = None
    session_id: str | None = None
    day: str | None = None
    limit: int = 50
    last_day: str | None = None


def list_usage(conn: sqlite3.Connection, query: UsageQuery) -> list[UsageRow]:
    """Single requests, newest first."""
    return many(
        conn,
        usage_of,
        "SELECT * FROM usage WHERE (?1 IS NULL OR agent_group_id = ?1)"
        " AND (?2 IS NULL OR session_id = ?2) AND (?3 IS NULL OR day >= ?3)"
        " AND (?5 IS NULL OR day <= ?5) ORDER BY started_at DESC LIMIT ?4",
        (query.agent_group_id, query.session_id, query.day, query.limit, query.last_day),
    )


@dataclass(frozen=True, slots=True)
class UsageSum:
    """Everything that has the same ``key``: a day, an agent group, a session, a model or a task."""

    key: str
    requests: int
    tokens: int
    microusd: int
    open_requests: int


_SUMS = {
    "day": "SELECT day AS key, count(*) AS requests, sum(tokens) AS tokens,"
    " sum(microusd) AS microusd, sum(state = 'reserved') AS open_requests FROM usage"
    " WHERE (?1 IS NULL OR agent_group_id = ?1) AND (?2 IS NULL OR session_id = ?2)"
    " AND (?3 IS NULL OR day >= ?3) AND (?5 IS NULL OR day <= ?5)"
    " GROUP BY 1 ORDER BY 1 DESC LIMIT ?4",
    "group": "SELECT agent_group_id AS key, count(*) AS requests, sum(tokens) AS tokens,"
    " sum(microusd) AS microusd, sum(state = 'reserved') AS open_requests FROM usage"
    " WHERE (?1 IS NULL OR agent_group_id = ?1) AND (?2 IS NULL OR session_id = ?2)"
    " AND (?3 IS NULL OR day >= ?3) AND (?5 IS NULL OR day <= ?5)"
    " GROUP BY 1 ORDER BY 4 DESC, 3 DESC LIMIT ?4",
    "session": "SELECT session_id AS key, count(*) AS requests, sum(tokens) AS tokens,"
    " sum(microusd) AS microusd, sum(state = 'reserved') AS open_requests FROM usage"
    " WHERE (?1 IS NULL OR agent_group_id = ?1) AND (?2 IS NULL OR session_id = ?2)"
    " AND (?3 IS NULL OR day >= ?3) AND (?5 IS NULL OR day <= ?5)"
    " GROUP BY 1 ORDER BY 4 DESC, 3 DESC LIMIT ?4",
    "model": "SELECT model AS key, count(*) AS requests, sum(tokens) AS tokens,"
    " sum(microusd) AS microusd, sum(state = 'reserved') AS open_requests FROM usage"
    " WHERE (?1 IS NULL OR agent_group_id = ?1) AND (?2 IS NULL OR session_id = ?2)"
    " AND (?3 IS NULL OR day >= ?3) AND (?5 IS NULL OR day <= ?5)"
    " GROUP BY 1 ORDER BY 4 DESC, 3 DESC LIMIT ?4",
    "series": "SELECT series_id AS key, count(*) AS requests, sum(tokens) AS tokens,"
    " sum(microusd) AS microusd, sum(state = 'reserved') AS open_requests FROM usage"
    " WHERE (?1 IS NULL OR agent_group_id = ?1) AND (?2 IS NULL OR session_id = ?2)"
    " AND (?3 IS NULL OR day >= ?3) AND (?5 IS NULL OR day <= ?5)"
    " AND series_id IS NOT NULL"
    " GROUP BY 1 ORDER BY 4 DESC, 3 DESC LIMIT ?4",
    "all": "SELECT 'all' AS key, count(*) AS requests, coalesce(sum(tokens), 0) AS tokens,"
    " coalesce(sum(microusd), 0) AS microusd,"
    " coalesce(sum(state = 'reserved'), 0) AS open_requests FROM usage"
    " WHERE (?1 IS NULL OR agent_group_id = ?1) AND (?2 IS NULL OR session_id = ?2)"
    " AND (?3 IS NULL OR day >= ?3) AND (?5 IS NULL OR day <= ?5) LIMIT ?4",
}
SUM_KEYS = tuple(_SUMS)


def sum_usage(conn: sqlite3.Connection, by: str, query: UsageQuery) -> list[UsageSum]:
    """``by`` is one of SUM_KEYS."""
    return many(
        conn,
        lambda row: UsageSum(
            row["key"], row["requests"], row["tokens"], row["microusd"], row["open_requests"]
        ),
        _SUMS[by],
        (query.agent_group_id, query.session_id, query.day, query.limit, query.last_day),
    )


def up_or_waiting(
    conn: sqlite3.Connection, agent_group_id: str | None, now: str, limit: int
) -> list[Session]:
    """Sessions whose container runs, is about to, or cannot; ``now`` is stored text."""
    return many(
        conn,
        session_of,
        "SELECT * FROM sessions WHERE id IN ("
        "SELECT id FROM sessions INDEXED BY sessions_running WHERE container_status = 'running'"
        " UNION SELECT id FROM sessions INDEXED BY sessions_due"
        " WHERE status = 'active' AND quarantined_at IS NULL AND next_due_at <= ?1"
        " UNION SELECT id FROM sessions INDEXED BY sessions_quarantined"
        " WHERE quarantined_at IS NOT NULL"
        " UNION SELECT id FROM sessions INDEXED BY sessions_retry"
        " WHERE container_retry_at IS NOT NULL)"
        " AND (?2 IS NULL OR agent_group_id = ?2)"
        " ORDER BY container_status <> 'running', container_started_at, next_due_at LIMIT ?3",
        (now, agent_group_id, limit),
    )

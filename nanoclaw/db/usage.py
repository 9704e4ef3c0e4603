"""Statements on ``usage`` and ``spending``: what requests cost, reserved before, settled after.

Written by the vault. A reservation is checked against every budget it falls under and counted in
one transaction, so that many agents racing for one budget overshoot it by nothing but the error of
their own estimates. Money is in millionths of a dollar.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from contract.clock import to_text
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit, budget_of
from nanoclaw.db.connection import joined
from nanoclaw.db.rows import changed, many, one, time_of


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request about to be made. ``day`` is local to the installation, ``2026-11-21``."""

    request_id: str
    session_id: str
    agent_group_id: str
    provider: str
    model: str
    day: str
    tokens: int
    microusd: int
    started_at: datetime
    series_id: str | None = None
    group_day_microusd: int | None = None
    """What the agent group's own configuration allows it in a day, besides all budgets."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer reported."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    microusd: int

    @property
    def tokens(self) -> int:
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )


@dataclass(frozen=True, slots=True)
class Spending:
    """One scope in one period, ``2026-11-21`` or ``2026-11``."""

    scope: BudgetScope
    subject: str
    period_key: str
    tokens: int = 0
    microusd: int = 0
    reserved_tokens: int = 0
    reserved_microusd: int = 0


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One request. ``settled_at`` None: it is under way, or its fate is not known yet."""

    request_id: str
    session_id: str
    agent_group_id: str
    series_id: str | None
    provider: str
    model: str
    state: str
    day: str
    reserved_tokens: int
    reserved_microusd: int
    tokens: int
    microusd: int
    started_at: datetime
    settled_at: datetime | None


def reserve(conn: sqlite3.Connection, reservation: Reservation) -> Budget | None:
    """None when it was counted; else the budget that it would exceed, and nothing is written."""
    with joined(conn):
        exceeded = _exceeded(conn, reservation) or _day_exceeded(conn, reservation)
        if exceeded is not None:
            return exceeded
        conn.execute(
            "INSERT INTO usage (request_id, session_id, agent_group_id, series_id, provider, model,"
            " state, day, reserved_tokens, reserved_microusd, started_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 'reserved', ?, ?, ?, ?)",
            (
                reservation.request_id,
                reservation.session_id,
                reservation.agent_group_id,
                reservation.series_id,
                reservation.provider,
                reservation.model,
                reservation.day,
                reservation.tokens,
                reservation.microusd,
                to_text(reservation.started_at),
            ),
        )
        conn.executemany(
            "INSERT INTO spending (scope, subject, period_key, reserved_tokens, reserved_microusd)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, subject, period_key) DO UPDATE SET"
            " reserved_tokens = reserved_tokens + excluded.reserved_tokens,"
            " reserved_microusd = reserved_microusd + excluded.reserved_microusd",
            [
                (scope, subject, period_key, reservation.tokens, reservation.microusd)
                for scope, subject in _scopes(
                    reservation.agent_group_id, reservation.series_id, reservation.session_id
                )
                for period_key in (reservation.day, reservation.day[:7])
            ],
        )
        return None


def settle(conn: sqlite3.Connection, request_id: str, cost: Cost, now: datetime) -> bool:
    """Replaces the reservation by what it cost; False when it is settled already."""
    with joined(conn):
        rows = conn.execute(
            "UPDATE usage SET state = 'settled', input_tokens = ?, output_tokens = ?,"
            " cache_read_tokens = ?, cache_write_tokens = ?, tokens = ?, microusd = ?,"
            " settled_at = ? WHERE request_id = ? AND state = 'reserved' RETURNING *",
            (
                cost.input_tokens,
                cost.output_tokens,
                cost.cache_read_tokens,
                cost.cache_write_tokens,
                cost.tokens,
                cost.microusd,
                to_text(now),
                request_id,
            ),
        ).fetchall()
        for row in rows:
            _move_to_spent(conn, usage_of(row))
        return bool(rows)


def charge_open(conn: sqlite3.Connection, now: datetime) -> int:
    """After a crash: every reservation still open is charged in full; how many."""
    with joined(conn):
        rows = conn.execute(
            "UPDATE usage INDEXED BY usage_reserved SET state = 'charged',"
            " tokens = reserved_tokens, microusd = reserved_microusd, settled_at = ?"
            " WHERE state = 'reserved' RETURNING *",
            (to_text(now),),
        ).fetchall()
        for row in rows:
            _move_to_spent(conn, usage_of(row))
        return len(rows)


def spent(conn: sqlite3.Connection, scope: BudgetScope, subject: str, period_key: str) -> Spending:
    found = one(
        conn,
        lambda row: Spending(
            scope,
            subject,
            period_key,
            row["tokens"],
            row["microusd"],
            row["reserved_tokens"],
            row["reserved_microusd"],
        ),
        "SELECT * FROM spending WHERE scope = ? AND subject = ? AND period_key = ?",
        (scope, subject, period_key),
    )
    return found or Spending(scope, subject, period_key)


def recent(conn: sqlite3.Connection, agent_group_id: str | None, limit: int) -> list[UsageRow]:
    """Newest first, of one agent group or of all."""
    return many(
        conn,
        usage_of,
        "SELECT * FROM usage WHERE ?1 IS NULL OR agent_group_id = ?1"
        " ORDER BY started_at DESC LIMIT ?2",
        (agent_group_id, limit),
    )


def prune(conn: sqlite3.Connection, before: datetime) -> int:
    """Forgets single requests of long ago; the sums of ``spending`` stay."""
    return changed(
        conn,
        "DELETE FROM usage WHERE started_at < ? AND state <> 'reserved'",
        (to_text(before),),
    )


def _exceeded(conn: sqlite3.Connection, reservation: Reservation) -> Budget | None:
    return one(
        conn,
        budget_of,
        "SELECT b.* FROM budgets b LEFT JOIN spending s ON s.scope = b.scope"
        " AND s.subject = b.subject AND s.period_key = iif(b.period = 'day', ?1, ?2)"
        " WHERE ((b.scope = 'install' AND b.subject = '')"
        " OR (b.scope = 'group' AND b.subject = ?3)"
        " OR (b.scope = 'series' AND b.subject = ?4)"
        " OR (b.scope = 'conversation' AND b.subject = ?5))"
        " AND iif(b.unit = 'tokens',"
        " coalesce(s.tokens + s.reserved_tokens, 0) + ?6,"
        " coalesce(s.microusd + s.reserved_microusd, 0) + ?7) > b.amount"
        " ORDER BY b.scope, b.period LIMIT 1",
        (
            reservation.day,
            reservation.day[:7],
            reservation.agent_group_id,
            reservation.series_id,
            reservation.session_id,
            reservation.tokens,
            reservation.microusd,
        ),
    )


BY_CONFIGURATION = "max_cost_per_day_usd"
"""Stands in ``updated_by`` of the budget that an agent group's configuration amounts to."""


def _day_exceeded(conn: sqlite3.Connection, reservation: Reservation) -> Budget | None:
    cap = reservation.group_day_microusd
    if cap is None:
        return None
    group = reservation.agent_group_id
    so_far = spent(conn, BudgetScope.GROUP, group, reservation.day)
    if so_far.microusd + so_far.reserved_microusd + reservation.microusd <= cap:
        return None
    return Budget(
        BudgetScope.GROUP, group, BudgetPeriod.DAY, BudgetUnit.MICROUSD, cap,
        reservation.started_at, BY_CONFIGURATION,
    )  # fmt: skip


def nearly_used_up(conn: sqlite3.Connection, request_id: str) -> list[Budget]:
    """Budgets that a request falls under and of which four fifths or more are spent."""
    return many(
        conn,
        budget_of,
        "SELECT b.* FROM usage u JOIN budgets b ON (b.scope, b.subject) IN (VALUES ('install', ''),"
        " ('group', u.agent_group_id), ('conversation', u.session_id), ('series', u.series_id))"
        " JOIN spending s ON s.scope = b.scope AND s.subject = b.subject"
        " AND s.period_key = iif(b.period = 'day', u.day, substr(u.day, 1, 7))"
        " WHERE u.request_id = ? AND b.amount > 0"
        " AND 5 * iif(b.unit = 'tokens', s.tokens, s.microusd) >= 4 * b.amount",
        (request_id,),
    )


def find(conn: sqlite3.Connection, request_id: str) -> UsageRow | None:
    return one(conn, usage_of, "SELECT * FROM usage WHERE request_id = ?", (request_id,))


def _move_to_spent(conn: sqlite3.Connection, row: UsageRow) -> None:
    conn.executemany(
        "UPDATE spending SET tokens = tokens + ?, microusd = microusd + ?,"
        " reserved_tokens = max(0, reserved_tokens - ?),"
        " reserved_microusd = max(0, reserved_microusd - ?)"
        " WHERE scope = ? AND subject = ? AND period_key = ?",
        [
            (row.tokens, row.microusd, row.reserved_tokens, row.reserved_microusd, scope, subject,
             period_key)
            for scope, subject in _scopes(row.agent_group_id, row.series_id, row.session_id)
            for period_key in (row.day, row.day[:7])
        ],
    )  # fmt: skip


def _scopes(
    agent_group_id: str, series_id: str | None, session_id: str
) -> list[tuple[BudgetScope, str]]:
    scopes = [
        (BudgetScope.INSTALL, ""),
        (BudgetScope.GROUP, agent_group_id),
        (BudgetScope.CONVERSATION, session_id),
    ]
    if series_id is not None:
        scopes.append((BudgetScope.SERIES, series_id))
    return scopes


def usage_of(row: sqlite3.Row) -> UsageRow:
    return UsageRow(
        request_id=row["request_id"],
        session_id=row["session_id"],
        agent_group_id=row["agent_group_id"],
        series_id=row["series_id"],
        provider=row["provider"],
        model=row["model"],
        state=row["state"],
        day=row["day"],
        reserved_tokens=row["reserved_tokens"],
        reserved_microusd=row["reserved_microusd"],
        tokens=row["tokens"],
        microusd=row["microusd"],
        started_at=time_of(row["started_at"]),
        settled_at=None if row["settled_at"] is None else time_of(row["settled_at"]),
    )

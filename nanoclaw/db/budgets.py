"""Statements on ``budgets``: how much may be spent, by whom, in which period.

Written by owners through ``ncl`` and setup; checked by ``usage.reserve``. Without a row there is no
limit of that kind.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from contract.clock import to_text
from nanoclaw.db.rows import changed, many, time_of


class BudgetScope(StrEnum):
    INSTALL = "install"
    GROUP = "group"
    SERIES = "series"
    CONVERSATION = "conversation"


class BudgetPeriod(StrEnum):
    DAY = "day"
    MONTH = "month"


class BudgetUnit(StrEnum):
    TOKENS = "tokens"
    MICROUSD = "microusd"


@dataclass(frozen=True, slots=True)
class Budget:
    """``subject`` is an agent group's, task series' or session's id; empty for the install.

    ``told_for`` is the period for which the user has been told that nothing is left.
    """

    scope: BudgetScope
    subject: str
    period: BudgetPeriod
    unit: BudgetUnit
    amount: int
    updated_at: datetime
    updated_by: str
    told_for: str | None = None


def put(conn: sqlite3.Connection, budget: Budget) -> None:
    """Sets or replaces; a new amount is news, so the user will be told again."""
    forget_told(conn, budget)
    conn.execute(
        "INSERT INTO budgets (scope, subject, period, unit, amount, updated_at, updated_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, subject, period, unit) DO UPDATE SET"
        " amount = excluded.amount, updated_at = excluded.updated_at,"
        " updated_by = excluded.updated_by, told_for = NULL",
        (
            budget.scope,
            budget.subject,
            budget.period,
            budget.unit,
            budget.amount,
            to_text(budget.updated_at),
            budget.updated_by,
        ),
    )


def remove(conn: sqlite3.Connection, budget: Budget) -> bool:
    return bool(
        changed(
            conn,
            "DELETE FROM budgets WHERE scope = ? AND subject = ? AND period = ? AND unit = ?",
            (budget.scope, budget.subject, budget.period, budget.unit),
        )
    )


def mark_told(conn: sqlite3.Connection, budget: Budget, period_key: str) -> bool:
    """True once per period: the caller then tells the user."""
    return bool(
        changed(
            conn,
            "UPDATE budgets SET told_for = ?1 WHERE scope = ?2 AND subject = ?3 AND period = ?4"
            " AND unit = ?5 AND told_for IS NOT ?1",
            (period_key, budget.scope, budget.subject, budget.period, budget.unit),
        )
    )


def tell_once(
    conn: sqlite3.Connection, budget: Budget, period_key: str, audience: str, now: datetime
) -> bool:
    """True once per period and audience: a session, or an owner for one of two reasons."""
    told = changed(
        conn,
        "INSERT INTO budget_told (scope, subject, period, unit, period_key, audience, told_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            budget.scope,
            budget.subject,
            budget.period,
            budget.unit,
            period_key,
            audience,
            to_text(now),
        ),
    )
    if told:
        # Earlier periods are of no use any more, so that the table never grows. Later ones are: a
        # request that began before midnight may be settled after it.
        conn.execute(
            "DELETE FROM budget_told WHERE scope = ? AND subject = ? AND period = ? AND unit = ?"
            " AND period_key < ?",
            (budget.scope, budget.subject, budget.period, budget.unit, period_key),
        )
    return bool(told)


def forget_told(conn: sqlite3.Connection, budget: Budget) -> None:
    conn.execute(
        "DELETE FROM budget_told WHERE scope = ? AND subject = ? AND period = ? AND unit = ?",
        (budget.scope, budget.subject, budget.period, budget.unit),
    )


def list_all(conn: sqlite3.Connection) -> list[Budget]:
    return many(conn, budget_of, "SELECT * FROM budgets ORDER BY scope, subject, period, unit")


def budget_of(row: sqlite3.Row) -> Budget:
    """For repositories that select whole budget rows."""
    return Budget(
        scope=BudgetScope(row["scope"]),
        subject=row["subject"],
        period=BudgetPeriod(row["period"]),
        unit=BudgetUnit(row["unit"]),
        amount=row["amount"],
        updated_at=time_of(row["updated_at"]),
        updated_by=row["updated_by"],
        told_for=row["told_for"],
    )

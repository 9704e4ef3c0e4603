"""Says once what a budget does: to the conversation that was refused, and to an owner.

Called by ``books`` inside the transaction that refuses or settles, so nobody is told of what did
not happen, and nobody twice. A new amount, or the next period, is news again.
"""

import sqlite3
from datetime import datetime

from contract.address import Address
from contract.clock import to_text
from nanoclaw import audit
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.audit import AuditEntry
from nanoclaw.db import agent_groups, budgets, sessions, tasks, usage
from nanoclaw.db.budgets import Budget
from nanoclaw.db.usage import Reservation
from nanoclaw.sessions.notice import Notice, chat_of, queue_notice
from nanoclaw.vault.words import BudgetFacts, chat_text, owner_text, period_key_of, warning_text

OWNER = "owner"
OWNER_WARNED = "owner-warned"


def tell_refused(
    conn: sqlite3.Connection, reservation: Reservation, facts: BudgetFacts, now: datetime
) -> bool:
    """Whether the conversation has a chat in which it is told, now or earlier."""
    budget = facts.budget
    key = period_key_of(budget, reservation.day)
    address = _chat(conn, reservation)
    session = sessions.get(conn, reservation.session_id)
    if budgets.tell_once(conn, budget, key, reservation.session_id, now):
        audit.record(conn, _entry(reservation, facts, key), now)
        if session is not None:
            notice = Notice(_occasion("budget", budget, key), chat_text(facts), address)
            queue_notice(conn, session, notice, now)
    if budgets.tell_once(conn, budget, key, OWNER, now):
        text = owner_text(facts, _group_name(conn, reservation.agent_group_id))
        queue_owner_notice(conn, _occasion("budget", budget, key), text, now)
    return bool(address.channel_type and address.platform_id)


def warn_owner(conn: sqlite3.Connection, request_id: str, now: datetime) -> bool:
    """After a settlement; whether there is something new to tell."""
    row = usage.find(conn, request_id)
    if row is None:
        return False
    told = False
    for budget in usage.nearly_used_up(conn, request_id):
        key = period_key_of(budget, row.day)
        if not budgets.tell_once(conn, budget, key, OWNER_WARNED, now):
            continue
        spending = usage.spent(conn, budget.scope, budget.subject, key)
        text = warning_text(BudgetFacts(budget, spending, row.day))
        queue_owner_notice(conn, _occasion("budget-warning", budget, key), text, now)
        told = True
    return told


def _chat(conn: sqlite3.Connection, reservation: Reservation) -> Address:
    """A task with a session of its own is heard of where it was asked for."""
    session = sessions.get(conn, reservation.session_id)
    address = chat_of(conn, session) if session is not None else Address()
    if address.is_empty and reservation.series_id is not None:
        series = tasks.get(conn, reservation.session_id, reservation.series_id)
        asked = sessions.get(conn, series.asked_in) if series and series.asked_in else None
        address = chat_of(conn, asked) if asked is not None else address
    return address


def _entry(reservation: Reservation, facts: BudgetFacts, key: str) -> AuditEntry:
    return AuditEntry(
        kind="budget.refused",
        actor=f"agent:{reservation.agent_group_id}",
        subject=_name(facts.budget),
        detail={
            "period": key,
            "amount": facts.budget.amount,
            "spent": facts.used,
            "reserved": facts.held,
            "model": reservation.model,
        },
        agent_group_id=reservation.agent_group_id,
        session_id=reservation.session_id,
    )


def _occasion(kind: str, budget: Budget, key: str) -> str:
    """With the time of the change: an amount that was set before is news once more."""
    return f"{kind}/{_name(budget)}/{key}/{budget.amount}/{to_text(budget.updated_at)}"


def _name(budget: Budget) -> str:
    return f"{budget.scope}:{budget.subject}:{budget.period}:{budget.unit}"


def _group_name(conn: sqlite3.Connection, group_id: str) -> str:
    group = agent_groups.get(conn, group_id)
    return group.name if group is not None else group_id

"""The answer to ``/status``: how the agents of this chat are, in plain words.

Made after the commit, because it looks into session files, which nobody does inside a central
transaction. Called by ``routing.writing``. A file that is locked just now is not waited for: the
answer then leaves its figures out.
"""

import sqlite3
from datetime import datetime

from contract.config import DEFAULT_PROVIDER
from contract.errors import SchemaMismatch, SessionFileError
from contract.inbound.reader import read_tasks
from contract.inbound.writer import open_inbound
from nanoclaw.db import agent_groups, budgets, container_configs, sessions, usage
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.model import Session
from nanoclaw.paths import HostPaths
from nanoclaw.routing.plan import PlannedStatus, StatusOf
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.notice import for_people

MICRO = 1_000_000


def render_status(
    conn: sqlite3.Connection, paths: HostPaths, status: PlannedStatus, now: datetime
) -> str:
    """``now`` in the zone of the installation, because budgets follow its days."""
    parts = [_one(conn, paths, agent, now) for agent in status.agents]
    return "\n\n".join(parts)


def _one(conn: sqlite3.Connection, paths: HostPaths, agent: StatusOf, now: datetime) -> str:
    group = agent_groups.get(conn, agent.agent_group_id)
    if group is None:
        return "This agent does not exist any more."
    session = None if agent.session_id is None else sessions.get(conn, agent.session_id)
    lines = [f"**{group.name}**: {_state(session)}"]
    if session is not None:
        lines += _work(paths, session, now)
    lines.append(_model(conn, group.id, session))
    lines += _budget(conn, group.id, now)
    return "\n".join(lines)


def _state(session: Session | None) -> str:
    if session is None:
        return "no conversation here yet; just write."
    if session.quarantined_at is not None:
        return "this conversation is stopped because its files are damaged; ask the operator."
    if session.container_error is not None:
        return f"cannot be started at the moment: {for_people(session.container_error)}."
    if session.is_running:
        return "awake."
    if session.next_due_at is not None:
        return "asleep, with something to do."
    return "asleep; a message wakes it."


def _work(paths: HostPaths, session: Session, now: datetime) -> list[str]:
    file = SessionFolder.of(paths, session.agent_group_id, session.id).inbound_db
    try:
        with open_inbound(file) as writer:
            waiting = writer.pending_summary(now).due_wake
        tasks = len(read_tasks(file))
    except (SessionFileError, SchemaMismatch, OSError):
        return []
    lines = []
    if waiting:
        lines.append(f"{_counted(waiting, 'message')} not answered yet.")
    if tasks:
        lines.append(f"{_counted(tasks, 'scheduled task')}.")
    return lines


def _model(conn: sqlite3.Connection, agent_group_id: str, session: Session | None) -> str:
    config = container_configs.get(conn, agent_group_id)
    own = None if session is None else session.agent_provider
    provider = own or (config.provider if config else None) or DEFAULT_PROVIDER
    model = config.model if config else None
    return f"Thinks with {provider}{f' ({model})' if model else ''}."


def _budget(conn: sqlite3.Connection, agent_group_id: str, now: datetime) -> list[str]:
    """Only limits of this agent's own; what others spend is nobody's business here."""
    return [
        _spent(conn, budget, now)
        for budget in budgets.list_all(conn)
        if budget.scope is BudgetScope.GROUP and budget.subject == agent_group_id
    ]


def _spent(conn: sqlite3.Connection, budget: Budget, now: datetime) -> str:
    daily = budget.period is BudgetPeriod.DAY
    key = now.strftime("%Y-%m-%d" if daily else "%Y-%m")
    spent = usage.spent(conn, budget.scope, budget.subject, key)
    when = "today" if daily else "this month"
    if budget.unit is BudgetUnit.TOKENS:
        return f"Spent {when}: {spent.tokens:,} of {budget.amount:,} tokens."
    return f"Spent {when}: ${spent.microusd / MICRO:.2f} of ${budget.amount / MICRO:.2f}."


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

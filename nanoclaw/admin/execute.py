"""Runs one operation: in a transaction if it changes anything, with its line in the audit.

Called by ``dispatch``. The row of the audit, the change and what is kept of the answer are one
step (N-64); bells come after it, and what touches anything but the database is left to effects. A
dry run is the same transaction, rolled back.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from contract.killpoint import reached
from nanoclaw import audit, bell
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext, Later
from nanoclaw.admin.frames import ErrorCode
from nanoclaw.admin.masking import masked
from nanoclaw.admin.registry import Command
from nanoclaw.db.connection import transaction

log = logging.getLogger(__name__)

Keep = Callable[[object], None]


@dataclass(frozen=True, slots=True)
class Step:
    """``args`` as they were given, ``arguments`` as the operation takes them."""

    command: Command
    args: dict[str, str | bool]
    arguments: Arguments


class _DryRunError(Exception):
    """Rolls back what a dry run has done."""


def execute(context: CommandContext, step: Step, keep: Keep) -> object:
    """The operation's answer. Raises what the operation raises."""
    operation = step.command.operation
    if not operation.mutating:
        return operation.run(context, step.arguments)
    conn = context.conn
    before = conn.total_changes
    result: object = None
    rows = 0
    try:
        with transaction(conn):
            result = operation.run(context, step.arguments)
            rows = conn.total_changes - before
            if context.dry_run:
                raise _DryRunError
            _record(context, step)
            if not isinstance(result, Later):
                keep(result)
    except _DryRunError:
        if isinstance(result, Later):
            result = result.instead
        return {"dry_run": True, "rows_changed": rows, "result": result}
    reached("ncl.committed")
    for name in context.bells:
        bell.ring(context.paths, name)
    return result


def _record(context: CommandContext, step: Step) -> None:
    agent = context.agent
    detail: dict[str, object] = {"args": masked(step.args)}
    if context.approved is not None:
        detail |= {"approval": context.approved.approval_id, "approved_by": context.approved.by}
    target = step.command.operation.target
    entry = audit.AuditEntry(
        kind=f"ncl.{step.command.name}",
        actor=context.actor,
        subject=step.arguments.text(target.name) if target is not None else "",
        detail=detail,
        agent_group_id=agent.agent_group_id if agent is not None else None,
        session_id=agent.session_id if agent is not None else None,
    )
    audit.record(context.conn, entry, context.now)
    log.info("changed by ncl", extra={"reason": f"{step.command.name} by {context.actor}"})


def constraint_problem(error: sqlite3.IntegrityError) -> tuple[ErrorCode, str]:
    """What the schema has refused, in words (N-63)."""
    text = str(error)
    kind, _, columns = text.partition(" constraint failed: ")
    named = ", ".join(column.rpartition(".")[2] for column in columns.split(", "))
    if kind == "UNIQUE":
        return ErrorCode.HANDLER_ERROR, f"already exists: there is one with this {named}"
    if kind == "NOT NULL":
        return ErrorCode.INVALID_ARGS, f"{named} cannot be empty"
    if kind == "CHECK":
        return ErrorCode.INVALID_ARGS, f"a value is not one that is allowed: {named}"
    if kind.startswith("FOREIGN KEY"):
        return ErrorCode.HANDLER_ERROR, "other rows refer to it, or what it refers to is not there"
    return ErrorCode.HANDLER_ERROR, text

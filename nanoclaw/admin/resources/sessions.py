"""``sessions``: conversations of agents (spec ncl 11.8).

To an agent that is bound to its group, a session of another group is as absent as one that never
was (N-48).
"""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import (
    Table,
    find_row,
    get_operation,
    list_operation,
    target_argument,
)
from nanoclaw.admin.restart import Wanted, restart
from nanoclaw.db import sessions
from nanoclaw.model import ContainerStatus, SessionStatus

STATUSES = tuple(status.value for status in SessionStatus)
CONTAINER_STATUSES = tuple(status.value for status in ContainerStatus)

COLUMNS = (
    ColumnSpec("id", "made by us", generated=True),
    ColumnSpec("agent_group_id", "the agent"),
    ColumnSpec("messaging_group_id", "the chat; empty for one of all chats", nullable=True),
    ColumnSpec("thread_id", "the thread in the chat", nullable=True),
    ColumnSpec("agent_provider", "who thinks, where it is another one", nullable=True),
    ColumnSpec("status", "active or closed", choices=STATUSES),
    ColumnSpec("container_status", "of its container", choices=CONTAINER_STATUSES),
    ColumnSpec("last_active", "when somebody last wrote", nullable=True),
    ColumnSpec("created_at", "since when", generated=True),
)
TABLE = Table("session", "sessions", "id", COLUMNS, scope_field="agent_group_id")


def _close(context: CommandContext, arguments: Arguments) -> object:
    session = checks.session(context, arguments.text("id"))
    if session.status is SessionStatus.CLOSED:
        return find_row(context, TABLE, session.id)
    if not sessions.close(context.conn, session.id, context.now):
        raise CommandError(
            "this session cannot be closed now: its container runs, or it has work that is due, "
            "a task, or messages on their way. Stop it, or wait, and try again"
        )
    return find_row(context, TABLE, session.id)


def _restart(context: CommandContext, arguments: Arguments) -> object:
    session = checks.session(context, arguments.text("id"))
    wanted = Wanted(session.agent_group_id, session.id, arguments.optional("message"))
    return restart(context, wanted)


OPERATIONS = (
    list_operation(TABLE),
    get_operation(TABLE, hides_foreign=True),
    Operation("close", Access.APPROVAL, "pack it; the next message opens it again", _close,
              (target_argument("session"),), mutating=True),
    Operation(
        "restart", Access.APPROVAL, "stop its container, so that it begins anew", _restart,
        (target_argument("session"), ArgumentSpec("message", "said to the fresh container")),
        mutating=True,
    ),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="session",
    plural="sessions",
    id_column="id",
    description="conversations, each with its own container",
    columns=COLUMNS,
    operations=OPERATIONS,
    scope_field="agent_group_id",
    for_groups=True,
)

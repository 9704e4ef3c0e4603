"""``members``: who may talk to an agent without any other right (spec ncl 11.6)."""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import Table, list_operation
from nanoclaw.db import members
from nanoclaw.db.members import Member

COLUMNS = (
    ColumnSpec("user_id", "who"),
    ColumnSpec("agent_group_id", "of which agent"),
    ColumnSpec("added_by", "by whom", nullable=True),
    ColumnSpec("added_at", "since when"),
)
TABLE = Table("member", "agent_group_members", "user_id", COLUMNS, scope_field="agent_group_id")
USER = ArgumentSpec("user", "who", required=True, positional=True)
GROUP = ArgumentSpec("group", "of which agent", required=True)


def _add(context: CommandContext, arguments: Arguments) -> object:
    conn = context.conn
    user = checks.user(conn, arguments.text("user"))
    group = checks.group(conn, arguments.text("group"))
    added_by = arguments.optional("added_by")
    if added_by is not None:
        checks.user(conn, added_by)
    members.add(conn, Member(user.id, group.id, context.now, added_by))
    return {"user_id": user.id, "agent_group_id": group.id}


def _remove(context: CommandContext, arguments: Arguments) -> object:
    user_id, group_id = arguments.text("user"), arguments.text("group")
    if not members.remove(context.conn, user_id, group_id):
        raise NotFoundError("member not found")
    return {"removed": {"user_id": user_id, "agent_group_id": group_id}}


OPERATIONS = (
    list_operation(TABLE),
    Operation(
        "add", Access.APPROVAL, "let somebody talk to the agent; again is no error", _add,
        (USER, GROUP, ArgumentSpec("added_by", "a user, for the record")), mutating=True,
        examples=("ncl members add telegram:123 --group ag-1",),
    ),
    Operation("remove", Access.APPROVAL, "no longer", _remove, (USER, GROUP), mutating=True),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="member",
    plural="members",
    id_column="user_id",
    description="who may talk to an agent",
    columns=COLUMNS,
    operations=OPERATIONS,
    scope_field="agent_group_id",
    for_groups=True,
)

"""``roles``: owners and administrators (spec ncl 11.5).

The last owner stays unless somebody insists, and no agent makes an owner unless an owner has
allowed it (N-77).
"""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import (
    CommandError,
    InvalidArgsError,
    NotAllowedError,
    NotFoundError,
)
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import Table, list_operation
from nanoclaw.approvals.requests import HOST
from nanoclaw.db import roles
from nanoclaw.model import Role, RoleGrant

ROLES = tuple(role.value for role in Role)

COLUMNS = (
    ColumnSpec("user_id", "who"),
    ColumnSpec("role", "what they are", choices=ROLES),
    ColumnSpec("agent_group_id", "of which agent; empty: everywhere", nullable=True),
    ColumnSpec("granted_by", "by whom", nullable=True),
    ColumnSpec("granted_at", "since when"),
)
TABLE = Table("role", "user_roles", "user_id", COLUMNS)
USER = ArgumentSpec("user", "who", required=True, positional=True)
ROLE = ArgumentSpec("role", "owner or admin", required=True)
GROUP = ArgumentSpec("group", "only for this agent; an owner is one everywhere")


def _role(arguments: Arguments) -> tuple[Role, str | None]:
    try:
        role = Role(arguments.text("role"))
    except ValueError:
        raise InvalidArgsError("--role must be owner or admin") from None
    group_id = arguments.optional("group")
    if role is Role.OWNER and group_id is not None:
        raise InvalidArgsError("owner role is always global; leave --group out")
    return role, group_id


def _grant(context: CommandContext, arguments: Arguments) -> object:
    conn = context.conn
    role, group_id = _role(arguments)
    user = checks.user(conn, arguments.text("user"))
    if group_id is not None:
        checks.group(conn, group_id)
    granted_by = arguments.optional("granted_by")
    if granted_by is not None:
        checks.user(conn, granted_by)
    _refuse_owner_by_agent(context, role)
    roles.grant(conn, RoleGrant(user.id, role, context.now, group_id, granted_by))
    return {"user_id": user.id, "role": role.value, "agent_group_id": group_id}


def _refuse_owner_by_agent(context: CommandContext, role: Role) -> None:
    """While somebody is still to be asked, nobody knows who will answer."""
    if role is not Role.OWNER or context.agent is None or context.approved is None:
        return
    by = context.approved.by
    if by != HOST and not roles.is_owner(context.conn, by):
        raise NotAllowedError("only an owner may allow an agent to make an owner")


def _revoke(context: CommandContext, arguments: Arguments) -> object:
    conn = context.conn
    role, group_id = _role(arguments)
    user_id = arguments.text("user")
    owners = [grant.user_id for grant in roles.owners(conn)]
    if role is Role.OWNER and owners == [user_id] and not arguments.flag("force"):
        raise CommandError(
            "this is the last owner; without one nobody can allow anything. Add --force if you "
            "mean it"
        )
    if not roles.revoke(conn, user_id, role, group_id):
        raise NotFoundError("role not found")
    return {"revoked": {"user_id": user_id, "role": role.value, "agent_group_id": group_id}}


OPERATIONS = (
    list_operation(TABLE),
    Operation(
        "grant", Access.APPROVAL, "give somebody a role; again is no error", _grant,
        (USER, ROLE, GROUP, ArgumentSpec("granted_by", "a user, for the record")), mutating=True,
        examples=("ncl roles grant telegram:123 --role admin --group ag-1",),
    ),
    Operation(
        "revoke", Access.APPROVAL, "take a role away", _revoke,
        (USER, ROLE, GROUP,
         ArgumentSpec("force", "also from the last owner", Kind.FLAG, host_only=True)),
        mutating=True,
    ),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="role",
    plural="roles",
    id_column="user_id",
    description="owners and administrators",
    columns=COLUMNS,
    operations=OPERATIONS,
)

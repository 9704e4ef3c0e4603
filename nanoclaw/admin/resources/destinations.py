"""``destinations``: whom an agent may write to, and under which name (spec ncl 11.7).

Running sessions learn of a change at once: a refresh is asked for in the same transaction, and the
delivery process writes it into every session's file (N-79).
"""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import Table, list_operation
from nanoclaw.bell import DELIVERY
from nanoclaw.db import destinations
from nanoclaw.db.names import normalize_name
from nanoclaw.model import DestinationRow, TargetType
from nanoclaw.sessions.destinations import request_refresh

MAX_NAME = 64
TYPES = tuple(kind.value for kind in TargetType)

COLUMNS = (
    ColumnSpec("agent_group_id", "the agent"),
    ColumnSpec("local_name", "what it calls the target"),
    ColumnSpec("target_type", "a chat or an agent", choices=TYPES),
    ColumnSpec("target_id", "of the chat or agent"),
    ColumnSpec("created_at", "since when", generated=True),
)
TABLE = Table(
    "destination", "agent_destinations", "agent_group_id", COLUMNS, scope_field="agent_group_id"
)
GROUP = ArgumentSpec("agent_group_id", "the agent", required=True, positional=True)
NAME = ArgumentSpec("local_name", "what it calls the target", required=True)


def _add(context: CommandContext, arguments: Arguments) -> object:
    conn = context.conn
    group = checks.group(conn, arguments.text("agent_group_id"))
    name = arguments.text("local_name")
    if name != normalize_name(name) or len(name) > MAX_NAME:
        raise InvalidArgsError(
            f"--local-name must be lower-case letters, digits and dashes, at most {MAX_NAME}; "
            f"for example {normalize_name(name)[:MAX_NAME]}"
        )
    kind = _target_type(arguments.text("target_type"))
    target_id = arguments.text("target_id")
    if kind is TargetType.CHANNEL:
        checks.chat(conn, target_id)
    else:
        checks.group(conn, target_id)
    if destinations.get(conn, group.id, name) is not None:
        raise CommandError(f"already exists: a destination with local_name {name}")
    destinations.create(conn, DestinationRow(group.id, name, kind, target_id, context.now))
    _tell_sessions(context, group.id)
    return {
        "agent_group_id": group.id,
        "local_name": name,
        "target_type": kind.value,
        "target_id": target_id,
    }


def _target_type(word: str) -> TargetType:
    try:
        return TargetType(word)
    except ValueError:
        raise InvalidArgsError("--target-type must be channel or agent") from None


def _remove(context: CommandContext, arguments: Arguments) -> object:
    group_id, name = arguments.text("agent_group_id"), arguments.text("local_name")
    if not destinations.delete(context.conn, group_id, name):
        raise NotFoundError("destination not found")
    _tell_sessions(context, group_id)
    return {"removed": {"agent_group_id": group_id, "local_name": name}}


def _tell_sessions(context: CommandContext, agent_group_id: str) -> None:
    request_refresh(context.conn, [agent_group_id], context.cause, context.now)
    context.ring(DELIVERY)


OPERATIONS = (
    list_operation(TABLE),
    Operation(
        "add", Access.APPROVAL, "let an agent write to a chat or another agent", _add,
        (
            GROUP, NAME,
            ArgumentSpec("target_type", "channel or agent", required=True),
            ArgumentSpec("target_id", "of the chat or agent", required=True),
        ),
        mutating=True,
        examples=(
            "ncl destinations add ag-1 --local-name family --target-type channel --target-id mg-1",
        ),
    ),
    Operation("remove", Access.APPROVAL, "no longer", _remove, (GROUP, NAME), mutating=True),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="destination",
    plural="destinations",
    id_column="agent_group_id",
    description="whom an agent may write to",
    columns=COLUMNS,
    operations=OPERATIONS,
    scope_field="agent_group_id",
    for_groups=True,
    keyed_by_group=True,
)

"""``user-dms``: the direct chat in which somebody is reached on a channel (spec ncl 11.9)."""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Operation, ResourceSpec
from nanoclaw.admin.resources.generic import Table, list_operation
from nanoclaw.db import dms

COLUMNS = (
    ColumnSpec("user_id", "who"),
    ColumnSpec("channel_type", "on which channel"),
    ColumnSpec("messaging_group_id", "the chat"),
    ColumnSpec("resolved_at", "when the platform said so"),
)
TABLE = Table("user-dm", "user_dms", "user_id", COLUMNS)


def _forget(context: CommandContext, arguments: Arguments) -> object:
    user_id, kind = arguments.text("user"), arguments.text("channel_type")
    if not dms.forget(context.conn, user_id, kind):
        raise NotFoundError(f"user-dm not found: {user_id} on {kind}")
    return {"forgotten": {"user_id": user_id, "channel_type": kind}}


RESOURCE = ResourceSpec(
    name="user-dm",
    plural="user-dms",
    id_column="user_id",
    description="direct chats in which people are reached",
    columns=COLUMNS,
    operations=(
        list_operation(TABLE),
        Operation(
            "forget", Access.APPROVAL, "ask the platform again next time", _forget,
            (
                ArgumentSpec("user", "who", required=True, positional=True),
                ArgumentSpec("channel_type", "on which channel", required=True),
            ),
            mutating=True,
        ),
    ),
)  # fmt: skip

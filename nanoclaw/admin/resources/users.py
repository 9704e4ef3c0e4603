"""``users``: identities on platforms, ``<channel>:<handle>`` (spec ncl 11.4)."""

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources.generic import (
    Table,
    find_row,
    get_operation,
    list_operation,
    target_argument,
)
from nanoclaw.db import users
from nanoclaw.db.users import UserChange
from nanoclaw.model import User

COLUMNS = (
    ColumnSpec("id", "<channel>:<handle>", required=True),
    ColumnSpec("kind", "the channel", required=True),
    ColumnSpec("display_name", "what people call them", updatable=True, nullable=True),
    ColumnSpec("created_at", "when we met them", generated=True),
)
TABLE = Table("user", "users", "id", COLUMNS)
NAME = ArgumentSpec("display_name", "what people call them", nullable=True)


def _create(context: CommandContext, arguments: Arguments) -> object:
    user_id, kind = arguments.text("id"), arguments.text("kind")
    prefix, colon, handle = user_id.partition(":")
    if not colon or not prefix or not handle:
        raise InvalidArgsError("--id must have the form <channel>:<handle>")
    if prefix != kind and not arguments.flag("force"):
        raise InvalidArgsError(
            f"--kind {kind} and the beginning of --id differ; add --force for platforms whose ids "
            "have no channel in front"
        )
    if not users.add_if_new(
        context.conn, User(user_id, kind, context.now, arguments.optional("display_name"))
    ):
        raise CommandError(f"already exists: a user with this id, {user_id}")
    return find_row(context, TABLE, user_id)


def _update(context: CommandContext, arguments: Arguments) -> object:
    user_id = arguments.text("id")
    find_row(context, TABLE, user_id)
    if "display_name" not in arguments:
        raise InvalidArgsError("nothing to update; give --display-name")
    change = UserChange(display_name=arguments.optional("display_name"))
    users.update(context.conn, user_id, change)
    return find_row(context, TABLE, user_id)


OPERATIONS = (
    list_operation(TABLE),
    get_operation(TABLE),
    Operation(
        "create", Access.APPROVAL, "make somebody known before they write", _create,
        (
            ArgumentSpec("id", "<channel>:<handle>", required=True, positional=True),
            ArgumentSpec("kind", "the channel", required=True),
            NAME,
            ArgumentSpec("force", "the id may begin otherwise", Kind.FLAG),
        ),
        mutating=True,
        examples=("ncl users create telegram:123 --kind telegram --display-name Ada",),
    ),
    Operation("update", Access.APPROVAL, "rename them", _update,
              (target_argument("user"), NAME), mutating=True),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="user",
    plural="users",
    id_column="id",
    description="people, one identity per platform",
    columns=COLUMNS,
    operations=OPERATIONS,
)

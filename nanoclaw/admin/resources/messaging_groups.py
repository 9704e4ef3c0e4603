"""``messaging-groups``: the chats this installation knows (spec ncl 11.2)."""

from contract.clock import parse_text
from contract.ids import new_id
from nanoclaw.admin import folder_steps
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.effect_wait import Awaited, once_done
from nanoclaw.admin.problems import CommandError, InvalidArgsError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import (
    Table,
    find_row,
    get_operation,
    list_operation,
    target_argument,
)
from nanoclaw.bell import DELIVERY
from nanoclaw.db import destinations, messaging_groups, removal
from nanoclaw.db.messaging_groups import MessagingGroupChange
from nanoclaw.db.rows import UNSET
from nanoclaw.model import MessagingGroup, TargetType, UnknownSenderPolicy
from nanoclaw.permissions.identity import namespaced_platform_id
from nanoclaw.sessions.archive import archive_of
from nanoclaw.sessions.destinations import request_refresh

POLICIES = tuple(policy.value for policy in UnknownSenderPolicy)

COLUMNS = (
    ColumnSpec("id", "made by us", generated=True),
    ColumnSpec("channel_type", "telegram, slack, ...", required=True),
    ColumnSpec("platform_id", "the chat's id as the channel reports it", required=True),
    ColumnSpec("name", "display name", updatable=True, nullable=True),
    ColumnSpec("is_group", "1: group, 0: direct chat", Kind.BOOLEAN, updatable=True, default="0"),
    ColumnSpec("unknown_sender_policy", "what becomes of strangers", updatable=True,
               default="strict", choices=POLICIES),
    ColumnSpec("denied_at", "when it was refused; empty clears", updatable=True, nullable=True),
    ColumnSpec("created_at", "when we met it", generated=True),
)  # fmt: skip
TABLE = Table("messaging-group", "messaging_groups", "id", COLUMNS)
NAME = ArgumentSpec("name", "display name", nullable=True)
IS_GROUP = ArgumentSpec("is_group", "1: group, 0: direct chat", Kind.BOOLEAN, default="0")
POLICY = ArgumentSpec("unknown_sender_policy", "what becomes of strangers", choices=POLICIES,
                      default="strict")  # fmt: skip
DENIED = ArgumentSpec("denied_at", "a time; empty takes a refusal back", nullable=True)


def _create(context: CommandContext, arguments: Arguments) -> object:
    kind = arguments.text("channel_type")
    platform_id = namespaced_platform_id(kind, arguments.text("platform_id"))
    if messaging_groups.find_by_address(context.conn, kind, platform_id) is not None:
        raise CommandError(f"already exists: a chat with channel_type, platform_id {platform_id}")
    group = MessagingGroup(
        id=new_id("mg"),
        channel_type=kind,
        platform_id=platform_id,
        created_at=context.now,
        name=arguments.optional("name"),
        is_group=arguments.flag("is_group"),
        unknown_sender_policy=UnknownSenderPolicy(
            arguments.text("unknown_sender_policy", UnknownSenderPolicy.STRICT)
        ),
    )
    messaging_groups.create(context.conn, group)
    return find_row(context, TABLE, group.id)


def _update(context: CommandContext, arguments: Arguments) -> object:
    chat = checks.chat(context.conn, arguments.text("id"))
    if len(arguments.values) == 1:
        flags = ", ".join(spec.flag for spec in (NAME, IS_GROUP, POLICY, DENIED))
        raise InvalidArgsError(f"nothing to update; give one of: {flags}")
    policy = arguments.optional("unknown_sender_policy")
    change = MessagingGroupChange(
        name=arguments.optional("name") if "name" in arguments else UNSET,
        is_group=arguments.flag("is_group") if "is_group" in arguments else UNSET,
        unknown_sender_policy=UnknownSenderPolicy(policy) if policy else UNSET,
    )
    messaging_groups.update(context.conn, chat.id, change)
    if "denied_at" in arguments:
        text = arguments.optional("denied_at")
        denied_at = parse_text(text)
        if text is not None and denied_at is None:
            raise InvalidArgsError("--denied-at must be a time such as 2026-01-31T12:00:00Z")
        messaging_groups.set_denied(context.conn, chat.id, denied_at)
    return find_row(context, TABLE, chat.id)


def _delete(context: CommandContext, arguments: Arguments) -> object:
    conn = context.conn
    chat = checks.chat(conn, arguments.text("id"))
    doomed = removal.sessions_with(conn, removal.CHAT, chat.id)
    if any(session.is_up for session in doomed):
        raise CommandError("a container works for a session of this chat; stop it first")
    counts = removal.dependants(conn, removal.CHAT, chat.id)
    pointing = len(destinations.pointing_at(conn, TargetType.CHANNEL, chat.id))
    if pointing:
        counts["agent_destinations"] = pointing
    checks.nothing_refers(counts, "chat", arguments)
    bereft = destinations.delete_pointing_at(conn, TargetType.CHANNEL, chat.id)
    removal.delete_with(conn, removal.CHAT, chat.id)
    messaging_groups.delete(conn, chat.id)
    request_refresh(conn, bereft, context.cause, context.now)
    context.ring(DELIVERY)
    answer = {"deleted": chat.id, "rows": counts}
    if not doomed:
        return answer
    return once_done(context, Awaited(_set_sessions_aside(context, doomed), answer))


def _set_sessions_aside(context: CommandContext, doomed: list[removal.DoomedSession]) -> str:
    roots = [context.paths.session(item.agent_group_id, item.id) for item in doomed]
    folders = [path for root in roots for path in (root, archive_of(root))]
    return folder_steps.remove_later(context, "chat", folders)


OPERATIONS = (
    list_operation(TABLE),
    get_operation(TABLE),
    Operation(
        "create", Access.APPROVAL, "make a chat known before anybody writes there", _create,
        (
            ArgumentSpec("channel_type", "telegram, slack, ...", required=True),
            ArgumentSpec("platform_id", "the chat's id", required=True),
            NAME, IS_GROUP, POLICY,
        ),
        mutating=True,
    ),
    Operation("update", Access.APPROVAL, "change it", _update,
              (target_argument("messaging-group"), NAME, IS_GROUP, POLICY, DENIED), mutating=True),
    Operation(
        "delete", Access.APPROVAL, "forget it", _delete,
        (
            target_argument("messaging-group"),
            ArgumentSpec("cascade", "with wirings, sessions and all that refers to it", Kind.FLAG),
        ),
        mutating=True,
    ),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="messaging-group",
    plural="messaging-groups",
    id_column="id",
    description="chats on platforms, and what becomes of strangers in them",
    columns=COLUMNS,
    operations=OPERATIONS,
)

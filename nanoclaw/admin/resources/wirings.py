"""``wirings``: which agent listens in which chat, and when (spec ncl 11.3).

A new wiring permits the agent to answer there, takes back a refusal of the chat, and lets messages
go on that waited for somebody to decide about it (N-74).
"""

import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from contract.ids import new_id
from nanoclaw.admin.arguments import Arguments, Value
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import (
    Table,
    find_row,
    get_operation,
    list_operation,
    target_argument,
)
from nanoclaw.approvals import held
from nanoclaw.approvals.closing import close_card
from nanoclaw.bell import DELIVERY, ROUTER
from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.db import chat_requests, destinations, messaging_groups, wirings
from nanoclaw.db.wirings import WiringChange
from nanoclaw.model import (
    DestinationRow,
    EngageMode,
    IgnoredMessagePolicy,
    MessagingGroup,
    SenderScope,
    SessionMode,
    TargetType,
    Wiring,
)
from nanoclaw.sessions.destinations import request_refresh

MODES = tuple(mode.value for mode in EngageMode)
SCOPES = tuple(scope.value for scope in SenderScope)
POLICIES = tuple(policy.value for policy in IgnoredMessagePolicy)
SESSION_MODES = tuple(mode.value for mode in SessionMode if mode is not SessionMode.TASK)
UNCERTAIN = tuple(policy.value for policy in UncertainPolicy)
WITH_PATTERN = (EngageMode.PATTERN, EngageMode.PATTERN_OR_MENTION)

COLUMNS = (
    ColumnSpec("id", "made by us", generated=True),
    ColumnSpec("messaging_group_id", "the chat", required=True),
    ColumnSpec("agent_group_id", "the agent", required=True),
    ColumnSpec("engage_mode", "when it is called", updatable=True, default="mention",
               choices=MODES),
    ColumnSpec("engage_pattern", "for the modes with a pattern; . is every message",
               updatable=True, nullable=True),
    ColumnSpec("sender_scope", "whom it hears", updatable=True, default="all", choices=SCOPES),
    ColumnSpec("ignored_message_policy", "of what it is not called by", updatable=True,
               default="drop", choices=POLICIES),
    ColumnSpec("session_mode", "who shares a conversation", updatable=True, default="shared",
               choices=SESSION_MODES),
    ColumnSpec("priority", "higher is asked first", Kind.INTEGER, updatable=True, default="0"),
    ColumnSpec("sticky_seconds", "how long mention-sticky lasts", Kind.INTEGER, updatable=True,
               nullable=True),
    ColumnSpec("uncertain_policy", "of messages whose fate is unknown", updatable=True,
               nullable=True, choices=UNCERTAIN),
    ColumnSpec("bot_messages", "hears other bots", Kind.BOOLEAN, updatable=True, default="0"),
    ColumnSpec("edits", "hears of edits", Kind.BOOLEAN, updatable=True, default="0"),
    ColumnSpec("reactions", "hears of reactions", Kind.BOOLEAN, updatable=True, default="0"),
    ColumnSpec("created_at", "when it was made", generated=True),
)  # fmt: skip
TABLE = Table("wiring", "messaging_group_agents", "id", COLUMNS)
CHANGEABLE = tuple(
    ArgumentSpec(
        column.name, column.help, column.kind, choices=column.choices, nullable=column.nullable,
        default=column.default,
        minimum={"priority": -1_000_000, "sticky_seconds": 1}.get(column.name),
        maximum={"priority": 1_000_000, "sticky_seconds": 31_536_000}.get(column.name),
    )
    for column in COLUMNS
    if column.updatable
)  # fmt: skip

_WORDS: Mapping[str, Callable[[str], StrEnum]] = {
    "engage_mode": EngageMode,
    "sender_scope": SenderScope,
    "ignored_message_policy": IgnoredMessagePolicy,
    "session_mode": SessionMode,
    "uncertain_policy": UncertainPolicy,
}


def _values(arguments: Arguments) -> dict[str, object]:
    """What was given, as the columns' own types."""
    names = {spec.name for spec in CHANGEABLE}
    given = {name: value for name, value in arguments.values.items() if name in names}
    return {name: _typed(name, value) for name, value in given.items()}


def _typed(name: str, value: Value) -> object:
    if name in _WORDS and isinstance(value, str):
        return _WORDS[name](value)
    return value


def _check_pattern(context: CommandContext, mode: EngageMode | None, pattern: str | None) -> None:
    """N-75."""
    if mode not in WITH_PATTERN:
        return
    if not pattern:
        raise InvalidArgsError(f"--engage-pattern is required for --engage-mode {mode}")
    problem = context.pattern_problem(pattern)
    if problem is not None:
        raise InvalidArgsError(f"--engage-pattern cannot be used: {problem}")


def _create(context: CommandContext, arguments: Arguments) -> object:
    conn, now = context.conn, context.now
    chat = checks.chat(conn, arguments.text("messaging_group_id"))
    group = checks.group(conn, arguments.text("agent_group_id"))
    if wirings.get_by_pair(conn, chat.id, group.id) is not None:
        raise CommandError(
            "already exists: a wiring of this messaging_group_id, agent_group_id; change it by "
            "`ncl wirings update`"
        )
    # The specs above give each value the type of its field.
    wiring = Wiring(new_id("mga"), chat.id, group.id, now, **_values(arguments))  # type: ignore[arg-type]
    _check_pattern(context, wiring.engage_mode, wiring.engage_pattern)
    wirings.create(conn, wiring)
    if chat.denied_at is not None:
        messaging_groups.set_denied(conn, chat.id, None)
    _let_go_on(context, chat, now)
    request_refresh(conn, [group.id], context.cause, now)
    context.ring(DELIVERY)
    return find_row(context, TABLE, wiring.id)


def _let_go_on(context: CommandContext, chat: MessagingGroup, now: datetime) -> None:
    """Somebody was asked what to do with this chat; this is the answer."""
    conn = context.conn
    request = chat_requests.get(conn, chat.id)
    if request is None or not chat_requests.take(conn, chat.id):
        return
    waiting = held.Held(chat.id, chat.channel_type, request.original_message, request.created_at)
    held.release(conn, waiting, now)
    close_card(conn, request.card_id, f"{request.title}: connected by ncl", now)
    context.ring(ROUTER)


def _update(context: CommandContext, arguments: Arguments) -> object:
    wiring = _wiring(context, arguments)
    values = _values(arguments)
    if not values:
        flags = ", ".join(spec.flag for spec in CHANGEABLE)
        raise InvalidArgsError(f"nothing to update; give one of: {flags}")
    mode = EngageMode(arguments.text("engage_mode", wiring.engage_mode or EngageMode.MENTION))
    given = arguments.optional("engage_pattern")
    _check_pattern(context, mode, given if "engage_pattern" in arguments else wiring.engage_pattern)
    change = WiringChange(**values)  # type: ignore[arg-type] # as above
    wirings.update(context.conn, wiring.id, change)
    messaging_groups.set_denied(context.conn, wiring.messaging_group_id, None)
    return find_row(context, TABLE, wiring.id)


def _delete(context: CommandContext, arguments: Arguments) -> object:
    """With the destination that it brought (N-74)."""
    conn = context.conn
    wiring = _wiring(context, arguments)
    brought = None if arguments.flag("keep_destination") else _brought(conn, wiring)
    wirings.delete(conn, wiring.id)
    if brought is not None:
        destinations.delete(conn, wiring.agent_group_id, brought.local_name)
    request_refresh(conn, [wiring.agent_group_id], context.cause, context.now)
    context.ring(DELIVERY)
    dropped = brought.local_name if brought is not None else None
    return {"deleted": wiring.id, "destination": dropped}


def _brought(conn: sqlite3.Connection, wiring: Wiring) -> DestinationRow | None:
    """The first one to this chat since the wiring was made; older ones were there without it.

    In installations of the earlier program it came a moment later, or was added by hand because the
    wiring had brought none; some of its times have no fraction of a second.
    """
    for row in destinations.of_agent_group(conn, wiring.agent_group_id):
        target = (row.target_type, row.target_id)
        made = wiring.created_at
        if row.created_at.microsecond == 0:
            made = made.replace(microsecond=0)
        if target == (TargetType.CHANNEL, wiring.messaging_group_id) and row.created_at >= made:
            return row
    return None


def _wiring(context: CommandContext, arguments: Arguments) -> Wiring:
    wiring = wirings.get(context.conn, arguments.text("id"))
    if wiring is None:
        raise NotFoundError(f"wiring not found: {arguments.text('id')}")
    return wiring


OPERATIONS = (
    list_operation(TABLE),
    get_operation(TABLE),
    Operation(
        "create", Access.APPROVAL, "let an agent listen in a chat, and answer there", _create,
        (
            ArgumentSpec("messaging_group_id", "the chat", required=True),
            ArgumentSpec("agent_group_id", "the agent", required=True),
            *CHANGEABLE,
        ),
        mutating=True,
        examples=(
            "ncl wirings create --messaging-group-id mg-1 --agent-group-id ag-1"
            " --engage-mode pattern --engage-pattern .",
        ),
    ),
    Operation("update", Access.APPROVAL, "change when it is called", _update,
              (target_argument("wiring"), *CHANGEABLE), mutating=True),
    Operation(
        "delete", Access.APPROVAL, "the agent does not listen there any more", _delete,
        (
            target_argument("wiring"),
            ArgumentSpec("keep_destination", "it may still write there", Kind.FLAG),
        ),
        mutating=True,
    ),
)  # fmt: skip

RESOURCE = ResourceSpec(
    name="wiring",
    plural="wirings",
    id_column="id",
    description="which agent listens in which chat, and when it is called",
    columns=COLUMNS,
    operations=OPERATIONS,
)

"""``approvals``: all that waits for a person's word, and the answer of the host's own user (N-42).

Requests of agents, strangers, new chats and agents' questions, each by the one id that ``list``
shows. The answer goes the way of a pressed button, so that everything that follows is the same:
exactly one decision counts, the effect is recorded with it, cards are taken back everywhere.
"""

from collections.abc import Callable, Mapping
from shlex import quote

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import Table, find_row, list_operation, target_argument
from nanoclaw.approvals import answers, channels, requests, senders
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.options import choose, parse_options, typed
from nanoclaw.bell import DELIVERY, ROUTER
from nanoclaw.db import agent_groups, reading_cards
from nanoclaw.db.approvals import ApprovalStatus
from nanoclaw.events import ActionOutcome, ActionResult

STATUSES = tuple(status.value for status in ApprovalStatus)
HERE_ONLY = (reading_cards.ADMIT, reading_cards.CONNECT, reading_cards.QUESTION)
"""Kinds whose rows are gone when they are decided."""

COLUMNS = (
    ColumnSpec("approval_id", "by which it is decided here", generated=True),
    ColumnSpec("session_id", "the session that asked", nullable=True),
    ColumnSpec("request_id", "what it is called elsewhere, as on its card"),
    ColumnSpec("action", "what is asked for: a tool's name or cli_command; admit_sender, "
               "connect_chat or ask_user_question"),
    ColumnSpec("payload", "what would run, or whom it is about", Kind.JSON),
    ColumnSpec("created_at", "since when", generated=True),
    ColumnSpec("agent_group_id", "the agent", nullable=True),
    ColumnSpec("channel_type", "the chat it is about", nullable=True),
    ColumnSpec("platform_id", "its id there", nullable=True),
    ColumnSpec("platform_message_id", "of the earlier program: its card", nullable=True),
    ColumnSpec("expires_at", "until when", nullable=True),
    ColumnSpec("status", "how it stands", choices=STATUSES),
    ColumnSpec("title", "what the card says"),
    ColumnSpec("options_json", "its buttons", Kind.JSON),
)  # fmt: skip
TABLE = Table("approval", reading_cards.TABLE, "approval_id", COLUMNS, common=reading_cards.CARDS)
AGENT = ArgumentSpec("agent_group_id", "for a new chat: the agent that answers there")
OPTION = ArgumentSpec("option", "a label, or a number from 1 on", required=True)

Card = Mapping[str, object]


def _get(context: CommandContext, arguments: Arguments) -> object:
    return _find(context, arguments)


def _find(context: CommandContext, arguments: Arguments) -> dict[str, object]:
    """Also by the id of a further card about a chat. Raises NotFoundError."""
    card_id = arguments.text("id")
    try:
        return find_row(context, TABLE, card_id)
    except NotFoundError:
        chat_id, mark, _ = card_id.partition(channels.CARD_MARK)
        if not mark:
            raise
        return find_row(context, TABLE, chat_id)


def _approve(context: CommandContext, arguments: Arguments) -> object:
    card = _find(context, arguments)
    agent_id = arguments.optional(AGENT.name)
    if agent_id is not None and card["action"] != reading_cards.CONNECT:
        raise InvalidArgsError(f"{AGENT.flag} is for chats that no agent answers in yet")
    values: dict[object, Callable[[], str]] = {
        reading_cards.ADMIT: lambda: senders.ALLOW,
        reading_cards.CONNECT: lambda: channels.CONNECT + _agent_for(context, agent_id),
    }
    value = values.get(card["action"], lambda: requests.APPROVE.value)()
    return _decided(context, card, value, ApprovalStatus.APPROVED)


def _reject(context: CommandContext, arguments: Arguments) -> object:
    card = _find(context, arguments)
    values: dict[object, str] = {
        reading_cards.ADMIT: senders.DENY,
        reading_cards.CONNECT: channels.REJECT,
    }
    value = values.get(card["action"], requests.REJECT.value)
    return _decided(context, card, value, ApprovalStatus.REJECTED)


def _agent_for(context: CommandContext, wanted: str | None) -> str:
    """The one that is named, or the only one there is."""
    if wanted is not None:
        return checks.group(context.conn, wanted).id
    groups = agent_groups.list_all(context.conn)
    if len(groups) != 1:
        raise InvalidArgsError(
            f"which agent is to answer there? Give {AGENT.flag}; see `ncl groups list`"
        )
    return groups[0].id


def _decided(
    context: CommandContext, card: Card, value: str, status: ApprovalStatus
) -> dict[str, object]:
    if card["action"] == reading_cards.QUESTION:
        card_id = quote(str(card["approval_id"]))
        raise InvalidArgsError(
            f"this is a question of an agent; `ncl approvals answer {card_id} --option ...` "
            f"with one of: {_labels(card)}"
        )
    _press(context, card, value)
    if card["action"] in HERE_ONLY:
        return {**card, "status": status.value}
    return find_row(context, TABLE, str(card["approval_id"]))


def _answer(context: CommandContext, arguments: Arguments) -> object:
    card = _find(context, arguments)
    if card["action"] != reading_cards.QUESTION:
        raise InvalidArgsError(
            "this is no question of an agent; see `ncl approvals approve` and `ncl approvals "
            "reject`"
        )
    options, text = parse_options(str(card["options_json"])), arguments.text(OPTION.name)
    position = typed(options, text)
    if position is None and (text.isdigit() or choose(options, text) is None):
        raise InvalidArgsError(f"{OPTION.flag} must be one of: {_labels(card)}")
    result = _press(context, card, text if position is None else str(position))
    return {"approval_id": card["approval_id"], "answer": result.chosen_label}


def _labels(card: Card) -> str:
    return " | ".join(option.label for option in parse_options(str(card["options_json"])))


def _press(context: CommandContext, card: Card, value: str) -> ActionResult:
    is_chat = card["action"] == reading_cards.CONNECT
    card_id = str(card["request_id" if is_chat else "approval_id"])
    click = Click(card_id, value, requests.HOST, "", "")
    result = answers.answer(context.conn, click, context.now)
    if result.outcome is not ActionOutcome.ACCEPTED:
        raise CommandError(_refusal(result))
    context.ring(DELIVERY)
    context.ring(ROUTER)
    return result


def _refusal(result: ActionResult) -> str:
    if result.outcome is ActionOutcome.ALREADY_ANSWERED:
        return f"somebody has decided already: {result.title}; see `ncl approvals get`"
    if result.outcome is ActionOutcome.EXPIRED:
        return f"it is too late: {result.title}; whoever wants it has to ask again"
    return f"it cannot be decided ({result.outcome}): {result.title}"


RESOURCE = ResourceSpec(
    name="approval",
    plural="approvals",
    id_column="approval_id",
    description="what waits for a person: agents' requests, strangers, new chats, questions",
    columns=COLUMNS,
    operations=(
        list_operation(TABLE),
        Operation("get", Access.OPEN, "show one", _get, (target_argument("approval"),),
                  generic=True),
        Operation("approve", Access.APPROVAL, "allow it", _approve,
                  (target_argument("approval"), AGENT), mutating=True, host_only=True,
                  examples=("ncl approvals list --status pending", "ncl approvals approve appr-1",
                            "ncl approvals approve mg-1 --agent-group-id ag-1")),
        Operation("reject", Access.APPROVAL, "refuse it", _reject,
                  (target_argument("approval"),), mutating=True, host_only=True),
        Operation("answer", Access.APPROVAL, "answer a question of an agent", _answer,
                  (target_argument("approval"), OPTION), mutating=True, host_only=True,
                  examples=("ncl approvals answer q-1 --option 2",)),
    ),
)  # fmt: skip

"""``ncl messages``: what agents and the host said, how far it got, and another try by hand.

Receipts outlive their sessions' files, so that a lost message can be explained afterwards. With
``--incoming`` the same for what came in: the router's log.
"""

from datetime import timedelta

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.shown import LIMIT, limit_of, moment, short, short_message
from nanoclaw.bell import DELIVERY
from nanoclaw.db import delivery_history, reading_messages
from nanoclaw.db.inbound_events import LoggedEvent
from nanoclaw.db.reading_messages import MessageQuery
from nanoclaw.model import Delivery, DeliveryState

RETRY_LIFETIME = timedelta(hours=24)
"""As long as a new message is tried."""
ENDED_BADLY = (DeliveryState.FAILED, DeliveryState.UNCERTAIN)

_ID = ArgumentSpec("id", "a message's id, or the platform's for it", required=True, positional=True)
_FILTERS = (
    ArgumentSpec("failed", "only what did not arrive, or may not have", Kind.FLAG),
    ArgumentSpec("state", "only of this state", choices=tuple(DeliveryState)),
    ArgumentSpec("session", "only of this session"),
    ArgumentSpec("agent_group_id", "only of this agent group"),
    ArgumentSpec("channel", "only of this channel"),
    ArgumentSpec("incoming", "what came in instead", Kind.FLAG),
    LIMIT,
)


def _list(context: CommandContext, arguments: Arguments) -> object:
    channel, limit = arguments.optional("channel"), limit_of(arguments)
    if arguments.flag("incoming"):
        _refuse_with_incoming(arguments)
        events = reading_messages.list_events(context.conn, channel, limit)
        return [_event_row(event) for event in events]
    query = MessageQuery(
        states=_states(arguments),
        session_id=arguments.optional("session"),
        agent_group_id=context.only_group or arguments.optional("agent_group_id"),
        instance=channel,
        limit=limit,
    )
    return [_row(one) for one in reading_messages.list_deliveries(context.conn, query)]


def _refuse_with_incoming(arguments: Arguments) -> None:
    for name in ("failed", "state", "session", "agent_group_id"):
        if name in arguments:
            flag = "--" + name.replace("_", "-")
            raise InvalidArgsError(f"{flag} is about what goes out; leave it or --incoming out")


def _states(arguments: Arguments) -> tuple[DeliveryState, ...]:
    state = arguments.optional("state")
    if not arguments.flag("failed"):
        return () if state is None else (DeliveryState(state),)
    if state is not None and state not in ENDED_BADLY:
        raise InvalidArgsError(f"--failed and --state {state} leave nothing over")
    return ENDED_BADLY if state is None else (DeliveryState(state),)


def _show(context: CommandContext, arguments: Arguments) -> object:
    delivery = _find(context, arguments)
    return {
        **_row(delivery),
        "message_out_id": delivery.message_out_id,
        "thread_id": delivery.thread_id,
        "in_reply_to": delivery.in_reply_to,
        "next_attempt_at": moment(delivery.next_attempt_at),
        "updated_at": moment(delivery.updated_at),
        "expires_at": moment(delivery.expires_at),
        "last_error": delivery.last_error,
        "failure": delivery.failure,
        "waits_for": delivery.waits_for,
        "taint": delivery.taint,
        "platform_message_ids": list(delivery.platform_message_ids),
        "files": [file.name for file in delivery.files],
        "files_problem": delivery.files_problem,
        "joined_into": delivery.joined_into,
        "content": delivery.content,
    }


def _retry(context: CommandContext, arguments: Arguments) -> object:
    delivery = _find(context, arguments)
    if delivery.state not in ENDED_BADLY:
        raise CommandError(
            f"message {delivery.delivery_id} is {delivery.state}; only failed and uncertain ones "
            "are sent again"
        )
    if delivery.joined_into is not None:
        raise CommandError(
            f"message {delivery.delivery_id} went out as part of {delivery.joined_into}; retry that"
        )
    expires_at = context.now + RETRY_LIFETIME
    delivery_history.retry_failed(context.conn, delivery.delivery_id, expires_at, context.now)
    context.ring(DELIVERY)
    return {
        "id": delivery.delivery_id,
        "state": DeliveryState.QUEUED.value,
        "was": delivery.state.value,
        "expires_at": moment(expires_at),
    }


def _find(context: CommandContext, arguments: Arguments) -> Delivery:
    name = arguments.text(_ID.name)
    delivery = reading_messages.find_delivery(context.conn, name)
    if delivery is None:
        raise NotFoundError(f"message not found: {name}; `ncl messages list` shows the newest")
    return delivery


def _row(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.delivery_id,
        "created_at": moment(delivery.created_at),
        "session_id": delivery.session_id,
        "channel": delivery.instance,
        "platform_id": delivery.platform_id,
        "source": delivery.source.value,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "text": short_message(delivery.kind, delivery.content),
        "last_error": short(delivery.last_error),
    }


def _event_row(event: LoggedEvent) -> dict[str, object]:
    return {
        "id": str(event.event_id),
        "received_at": moment(event.received_at),
        "channel": event.instance,
        "key": event.event_key,
        "state": event.state.value,
        "outcome": event.outcome,
        "reason": short(event.reason),
        "waits_for": event.waits_for,
    }


RESOURCE = ResourceSpec(
    name="message",
    plural="messages",
    id_column="id",
    description="what went out, or is to go out, and how far it got",
    columns=(
        ColumnSpec("id", "of the receipt", generated=True),
        ColumnSpec("created_at", "when it was said", generated=True),
        ColumnSpec("session_id", "empty for what the host itself says", generated=True),
        ColumnSpec("channel", "the channel instance", generated=True),
        ColumnSpec("platform_id", "the chat", generated=True),
        ColumnSpec("source", "agent or host", generated=True),
        ColumnSpec("state", "how far it got", generated=True, choices=tuple(DeliveryState)),
        ColumnSpec("attempts", "tries so far", Kind.INTEGER, generated=True),
        ColumnSpec("text", "its beginning", generated=True),
        ColumnSpec("last_error", "of the last try", generated=True),
    ),
    operations=(
        Operation(
            "list", Access.OPEN, "newest first", _list, _FILTERS,
            examples=("ncl messages list --failed", "ncl messages list --incoming --limit 10"),
        ),
        Operation("show", Access.OPEN, "one message with its receipt", _show, (_ID,)),
        Operation(
            "retry", Access.APPROVAL, "send a failed or uncertain message once more", _retry,
            (_ID,), mutating=True,
        ),
    ),
)  # fmt: skip

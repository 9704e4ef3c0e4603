"""``ncl why``: what became of a message, from the platform to the receipt, and why.

Takes any name that a message has: its number or key in the router's log, the platform's id, a row's
id in a session, a receipt's id. One timeline of everything that left a trace, and the cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.message_text import text_of_row
from nanoclaw.admin.problems import NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, Operation
from nanoclaw.admin.shown import moment, short, short_message
from nanoclaw.admin.why_cause import decide_cause
from nanoclaw.admin.why_facts import TargetFacts, WhyFacts, WhyReader
from nanoclaw.db.effects import Effect
from nanoclaw.db.inbound_events import LoggedEvent
from nanoclaw.model import Delivery, DeliveryState

_MESSAGE = ArgumentSpec(
    "message", "any id of it: in the chat, in a session, of its receipt, or its number",
    required=True, positional=True, missing="which message? `ncl messages list` shows ids",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline."""

    at: datetime
    what: str
    detail: str = ""


def _why(context: CommandContext, arguments: Arguments) -> object:
    name = arguments.text(_MESSAGE.name)
    facts = WhyReader(context.conn, context.paths, context.only_group, context.now).read(name)
    if facts is None:
        raise NotFoundError(
            f"message not found: {name}; `ncl messages list --incoming` and `ncl search` show ids"
        )
    cause = decide_cause(facts)
    steps = sorted(timeline(facts), key=lambda step: step.at)
    return {
        "message": name,
        "text": _said(facts),
        "answered": cause.answered,
        "cause": cause.text,
        "todo": cause.todo or None,
        "timeline": [
            {"at": moment(step.at), "what": step.what, "detail": short(step.detail) or None}
            for step in steps
        ],
    }


def _said(facts: WhyFacts) -> str | None:
    if facts.spoken is not None:
        return short_message(facts.spoken.kind, facts.spoken.content)
    row = next((one.row for one in facts.targets if one.row is not None), None)
    return None if row is None else short(text_of_row(row.kind, row.content))


def timeline(facts: WhyFacts) -> Iterator[Step]:
    """In no order."""
    if facts.event is not None:
        yield from _event_steps(facts.event, facts.targets)
    if facts.card is not None:
        card = facts.card
        yield Step(card.closed_at, f"question {card.outcome}", f"{card.chosen_label} {card.title}")
    for one in facts.targets:
        yield from _target_steps(one, facts.event)
    if facts.spoken is not None:
        yield from _delivery_steps(facts.spoken)


def _event_steps(event: LoggedEvent, targets: tuple[TargetFacts, ...]) -> Iterator[Step]:
    written = next((one.row.timestamp for one in targets if one.row is not None), None)
    if written is not None and written < event.received_at:
        yield Step(written, "written on the platform")
    detail = f"event {event.event_id}, {event.outcome}"
    if event.reason:
        detail += f": {event.reason}"
    if event.waits_for:
        detail += f"; waits for {event.waits_for}"
    yield Step(event.received_at, f"received from {event.instance}", detail)


def _target_steps(one: TargetFacts, event: LoggedEvent | None) -> Iterator[Step]:
    row, session, claim = one.row, one.session, one.claim
    where = one.target.session_id
    if row is not None and row.timestamp is not None:
        kind = "wakes the agent" if row.trigger else "context only"
        tries = f", {row.tries} tries" if row.tries else ""
        detail = f"session {where}, number {row.seq}, {kind}, {row.status.value}{tries}"
        stored_at = event.received_at if event is not None else row.timestamp
        yield Step(stored_at, f"message for {one.target.agent_group_id}", detail)
    if claim is not None and claim.status_changed is not None:
        tries = f", {claim.tries} tries" if claim.tries else ""
        yield Step(claim.status_changed, "agent's claim", f"{claim.status.value}{tries}")
    if session is not None and session.is_running and session.container_started_at is not None:
        container = (session.container_id or "")[:12]
        yield Step(session.container_started_at, "container runs", f"{container} since then")
    for line in one.log:
        yield Step(line.at, f"{line.process} {line.level.lower()}", line.text)
    for effect in one.effects:
        yield from _effect_steps(effect)
    for approval in one.approvals:
        yield Step(approval.created_at, "approval asked for", approval.title)
        if approval.decided_at is not None:
            by = f" by {approval.decided_by}" if approval.decided_by else ""
            yield Step(approval.decided_at, f"approval {approval.status.value}", by.strip())
    for answer in one.answers:
        yield from _delivery_steps(answer)


def _effect_steps(effect: Effect) -> Iterator[Step]:
    yield Step(effect.created_at, f"agent asked for {effect.kind}", effect.effect_id)
    if effect.updated_at != effect.created_at:
        detail = effect.last_error or effect.result or ""
        yield Step(effect.updated_at, f"{effect.kind} {effect.state.value}", detail)


def _delivery_steps(delivery: Delivery) -> Iterator[Step]:
    text = short_message(delivery.kind, delivery.content) or delivery.kind
    yield Step(delivery.created_at, "agent said" if delivery.session_id else "host said", text)
    where = f"{delivery.instance} {delivery.platform_id}"
    detail = f"{where}, attempt {delivery.attempts}"
    if delivery.last_error:
        detail += f": {delivery.last_error}"
    if delivery.platform_message_ids:
        detail += f", id {', '.join(delivery.platform_message_ids)}"
    if delivery.state is DeliveryState.QUEUED and delivery.next_attempt_at > delivery.updated_at:
        detail += f"; next attempt {moment(delivery.next_attempt_at)}"
    if delivery.joined_into:
        detail += f"; as part of {delivery.joined_into}"
    yield Step(delivery.updated_at, f"delivery {delivery.state.value}", detail)


WHY = Operation(
    "why", Access.OPEN, "tell what became of a message, and why", _why, (_MESSAGE,),
    examples=("ncl why 4711",),
)  # fmt: skip

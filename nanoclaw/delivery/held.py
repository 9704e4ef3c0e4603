"""Messages of a tainted turn to somebody else: a person sees them whole and allows them, or not.

``ask`` is called where such a message is stored, in the same transaction; ``send_held`` carries an
approval out, exactly once; ``end_denied`` ends those that were refused, expired or taken back. The
agent hears of a refusal from the approval itself.
"""

import sqlite3
from dataclasses import asdict, replace
from datetime import datetime

from contract.content import ChatOut, QuestionCard, parse_outbound
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.approvals import requests
from nanoclaw.approvals.requests import NewRequest
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.db import agent_groups, deliveries, delivery_steps, messaging_groups, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.db.effects import Effect
from nanoclaw.delivery.asking import record_question
from nanoclaw.delivery.decide import LIFETIME
from nanoclaw.effects.base import Done, EffectContext, Failed, HandlerResult
from nanoclaw.model import Delivery, DeliveryState, Session
from nanoclaw.policy.taint import describe

ACTION = "send_held"
_MAX_PAYLOAD = 4 * 1024 * 1024


def ask(conn: sqlite3.Connection, session: Session, delivery: Delivery, now: datetime) -> None:
    """Inside the caller's transaction; its files must be in our hands, because they are bound."""
    approval_id = requests.request(
        conn,
        NewRequest(
            request_id=f"{ACTION}/{delivery.delivery_id}",
            action=ACTION,
            payload=_payload(delivery),
            title="Let the agent write to somebody else?",
            question=_question(conn, session, delivery),
            session=session,
            agent_group_id=session.agent_group_id,
            requested_by=f"agent:{session.agent_group_id}",
        ),
        now,
    )
    delivery_steps.set_waits_for(conn, delivery.delivery_id, approval_id)


def send_held(context: EffectContext, effect: Effect) -> HandlerResult:
    """Handler of the effect ``send_held``."""
    try:
        value = parse_object(effect.payload, max_bytes=_MAX_PAYLOAD)
    except BadContent as error:
        return Failed(str(error))
    delivery = deliveries.get(context.conn, str(value.get("deliveryId")))
    if delivery is None:
        return Failed("the message is not in the books any more")
    if _payload(delivery) != effect.payload:
        return Failed("the stored message is not the one that was shown")
    if delivery.state is DeliveryState.FAILED:
        return Failed("the message had been ended before it was allowed")
    with transaction(context.conn):
        _release(context.conn, delivery, context.now)
    reached("delivery.held_released")
    ring(context.paths, DELIVERY)
    return Done("queued")


def _release(conn: sqlite3.Connection, delivery: Delivery, now: datetime) -> None:
    """A question starts to wait for its answer only now."""
    start = max(delivery.next_attempt_at, now)  # its agent may have wanted it to be sent later
    if not delivery_steps.release(conn, delivery.delivery_id, start, start + LIFETIME, now):
        return
    content = parse_outbound(delivery.kind, delivery.content)
    session = sessions.get(conn, delivery.session_id or "")
    if isinstance(content, QuestionCard) and session is not None:
        queued = replace(delivery, next_attempt_at=start)
        record_question(conn, session, queued, content, now)


def end_denied(conn: sqlite3.Connection, now: datetime) -> list[Delivery]:
    """Held messages that nobody will allow any more; each is returned once."""
    if not delivery_steps.has_held(conn):
        return []
    with transaction(conn):
        return delivery_steps.fail_denied(conn, now)


def _payload(delivery: Delivery) -> str:
    """Everything that is sent; what the person allowed is bound to it by its hash."""
    return dump(
        {
            "deliveryId": delivery.delivery_id,
            "channelType": delivery.instance,
            "platformId": delivery.platform_id,
            "threadId": delivery.thread_id,
            "kind": delivery.kind,
            "content": delivery.content,
            "files": [asdict(file) for file in delivery.files],
            "taint": delivery.taint,
        }
    )


def _question(conn: sqlite3.Connection, session: Session, delivery: Delivery) -> str:
    group = agent_groups.get(conn, session.agent_group_id)
    chat = messaging_groups.find_by_address(conn, delivery.instance, delivery.platform_id)
    name = (chat.name if chat else None) or delivery.platform_id
    lines = [
        f"{group.name if group else session.agent_group_id} wants to send this to {name}"
        f" ({delivery.instance}), after it had read {describe(delivery.taint)}:",
        "",
        _shown(delivery),
    ]
    lines += [f"File: {file.name} ({file.size} bytes)" for file in delivery.files]
    return "\n".join(lines)


def _shown(delivery: Delivery) -> str:
    """The whole text; cards, edits and reactions as they are stored."""
    try:
        content = parse_outbound(delivery.kind, delivery.content)
    except BadContent:
        return delivery.content
    if isinstance(content, ChatOut):
        return content.markdown or content.text
    return delivery.content

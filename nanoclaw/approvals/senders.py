"""Strangers who write to an agent: their approval by somebody entitled (H-207 to H-209).

``request`` is the router's, ``answer`` takes the decision, ``CARDS`` is what the desk sees of it.
One request per chat and stranger; while it waits, their messages are held. Nothing waits for
ever: a card that reaches nobody, and one that nobody answers, ends the request (W-39).
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contract.ids import new_id
from nanoclaw.approvals import closed, closing, held
from nanoclaw.approvals.admitting import admit
from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.approvals.cards import code
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.approvals.entitlement import is_entitled, read_approvers
from nanoclaw.approvals.options import choose, dump_options, option, parse_options
from nanoclaw.audit import AuditEntry, record
from nanoclaw.db import inbound_events, messaging_groups
from nanoclaw.db import sender_requests as requests
from nanoclaw.db.sender_requests import SenderDenial, SenderRequest
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import AgentGroup, MessagingGroup, User
from nanoclaw.permissions.identity import kind_of

EXPIRES_AFTER = timedelta(days=7)
DENIED_FOR = timedelta(hours=24)
MAX_WAITING_PER_CHAT = 20
"""A crowd of strangers in one chat must not flood the approver with cards."""
MAX_NAME = 80

TOO_LATE: Final = "nobody answered in time"
ALLOW: Final = "approve"
DENY: Final = "reject"
OPTIONS = (option("Allow", "Allowed", ALLOW), option("Deny", "Denied", DENY))

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnknownSender:
    """Who wants to talk to whom, and where. ``event_json`` is the form of H-313."""

    messaging_group: MessagingGroup
    agent_group: AgentGroup
    user_id: str
    sender_name: str | None
    event_json: str


def request(conn: sqlite3.Connection, sender: UnknownSender, now: datetime) -> str | None:
    """Inside the router's transaction. The id that held events wait for (``inbound_events``).

    The same id again while a request is pending. None when nobody can be asked, when the sender
    was refused a short while ago, or when too many strangers of this chat wait already.
    """
    chat, agent = sender.messaging_group, sender.agent_group
    found = requests.find(conn, chat.id, sender.user_id)
    if found is not None and not closing.is_over(found.expires_at, now):
        return found.id
    if found is not None:
        _end(conn, found, TOO_LATE, now)
    if requests.is_denied(conn, (chat.id, agent.id), sender.user_id, now):
        return None
    if not read_approvers(conn, agent.id):
        log.warning("nobody may admit a sender", extra=_fields(chat, sender.user_id))
        return None
    if requests.count_in_chat(conn, chat.id) >= MAX_WAITING_PER_CHAT:
        log.warning("too many senders wait already", extra=_fields(chat, sender.user_id))
        return None
    new = SenderRequest(
        id=new_id("nsa"),
        messaging_group_id=chat.id,
        agent_group_id=agent.id,
        sender_identity=sender.user_id,
        original_message=sender.event_json,
        created_at=now,
        sender_name=sender.sender_name,
        title="New sender",
        question=_question(sender),
        options_json=dump_options(OPTIONS),
        expires_at=now + EXPIRES_AFTER,
    )
    requests.add(conn, new)
    return new.id


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. Allowing adds the member and releases the held events."""
    row = requests.get(conn, click.card_id)
    if row is None:
        return None
    card = OpenCard(row.id, row.title)
    if closing.is_over(row.expires_at, now):
        return _end(conn, row, TOO_LATE, now)
    if not is_entitled(conn, click.user_id, row.agent_group_id):
        log.warning("click of somebody not entitled", extra={"reason": click.user_id})
        return closed.not_allowed(card)
    chosen = choose(parse_options(row.options_json) or OPTIONS, click.value)
    if chosen is None or not requests.take(conn, row.id):
        return ActionResult(ActionOutcome.UNKNOWN, row.title)
    if chosen.value == ALLOW:
        _admit(conn, row, click.user_id, now)
    else:
        _refuse(conn, row, click.user_id, now)
    return closing.decide(conn, card, chosen, click, now)


def _admit(conn: sqlite3.Connection, row: SenderRequest, by: str, now: datetime) -> None:
    user_id = row.sender_identity
    user = User(user_id, kind_of(user_id), now, display_name=row.sender_name)
    admit(conn, user, row.agent_group_id, by, now)
    requests.forget_denials(conn, row.sender_identity, row.agent_group_id)
    chat = messaging_groups.get(conn, row.messaging_group_id)
    instance = chat.channel_type if chat is not None else ""
    held.release(conn, held.Held(row.id, instance, row.original_message, row.created_at), now)
    _audit(conn, row, _Step("sender.allowed", by), now)


def _refuse(conn: sqlite3.Connection, row: SenderRequest, by: str, now: datetime) -> None:
    inbound_events.drop_held(conn, row.id)
    requests.prune_denials(conn, now)
    requests.deny(
        conn,
        SenderDenial(
            row.messaging_group_id, row.agent_group_id, row.sender_identity, by, now + DENIED_FOR
        ),
    )
    _audit(conn, row, _Step("sender.denied", by), now)


class SenderCards:
    """A ``card_sources.CardSource``."""

    name = "sender"

    def created(self, conn: sqlite3.Connection, limit: int) -> Sequence[CardToSend]:
        return [_card(conn, row) for row in requests.with_new_card(conn, limit)]

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        row = requests.get(conn, card_id)
        return _card(conn, row) if row is not None else None

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        return requests.mark_sent(conn, card_id, user_id)

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        """The next message of the stranger asks again."""
        row = requests.get(conn, card_id)
        if row is not None:
            log.warning("a sender's card reached nobody", extra={"reason": reason})
            _end(conn, row, reason, now)

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        for row in requests.expire(conn, now):
            _end(conn, row, TOO_LATE, now)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        return requests.next_expiry(conn)


CARDS = SenderCards()


def _end(conn: sqlite3.Connection, row: SenderRequest, reason: str, now: datetime) -> ActionResult:
    """Over without a decision: forgets what was held, and takes the card back."""
    requests.take(conn, row.id)
    inbound_events.drop_held(conn, row.id)
    _audit(conn, row, _Step("sender.expired", "host", reason), now)
    return closing.end(conn, OpenCard(row.id, row.title), now)


def _card(conn: sqlite3.Connection, row: SenderRequest) -> CardToSend:
    chat = messaging_groups.get(conn, row.messaging_group_id)
    return CardToSend(
        card_id=row.id,
        title=row.title or "New sender",
        question=row.question,
        options=parse_options(row.options_json) or OPTIONS,
        expires_at=row.expires_at or row.created_at + EXPIRES_AFTER,
        agent_group_id=row.agent_group_id,
        origin=chat.channel_type if chat is not None else "",
    )


def _question(sender: UnknownSender) -> str:
    chat = sender.messaging_group
    name = f"{code(sender.sender_name, MAX_NAME)} " if sender.sender_name else ""
    place = code(chat.name, MAX_NAME) if chat.name else f"a {chat.channel_type} channel"
    user, agent = code(sender.user_id, MAX_NAME), code(sender.agent_group.name, MAX_NAME)
    return f"{name}({user}) wrote to {agent} in {place}. May they talk to this agent?"


@dataclass(frozen=True, slots=True)
class _Step:
    kind: str
    actor: str
    reason: str = ""


def _audit(conn: sqlite3.Connection, row: SenderRequest, step: _Step, now: datetime) -> None:
    detail: dict[str, object] = {
        "sender": row.sender_identity,
        "chat": row.messaging_group_id,
    }
    if step.reason:
        detail["reason"] = step.reason
    entry = AuditEntry(step.kind, step.actor, row.id, detail, agent_group_id=row.agent_group_id)
    record(conn, entry, now)


def _fields(chat: MessagingGroup, user_id: str) -> dict[str, str]:
    return {"channel": chat.channel_type, "reason": f"{user_id} in {chat.id}"}

"""Hosts that nobody has decided about: one card for somebody entitled, and what the answer does.

``request`` is the vault's, inside the transaction that records its decision; ``answer`` takes the
decision and writes the rule in the same transaction; ``CARDS`` is what the desk sees of it. One
card per agent, host and port. Nothing waits for it: the agent was told to go on, and is told the
answer.
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from contract.content import Option
from contract.ids import new_id
from contract.jsontext import dump
from nanoclaw.approvals import closed, closing
from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.approvals.cards import code
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.approvals.entitlement import is_entitled, read_approvers
from nanoclaw.approvals.options import choose, option
from nanoclaw.audit import AuditEntry, record
from nanoclaw.db import agent_groups, effects, egress_asks, egress_rules, messaging_groups, sessions
from nanoclaw.db.effects import NewEffect
from nanoclaw.db.egress_asks import AskState, EgressAsk
from nanoclaw.db.egress_rules import EgressEffect, EgressRule, Once
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import Session
from nanoclaw.policy.binding import payload_hash
from nanoclaw.policy.egress.rule import Rule
from nanoclaw.policy.taint import describe, foreign

EXPIRES_AFTER = timedelta(hours=24)
QUIET_FOR = timedelta(hours=24)
"""After a question that nobody answered the same is not asked."""
ONCE_FOR = timedelta(hours=1)
MAX_OPEN = 5
MAX_PER_DAY = 20
"""Per agent; whoever asks for more is refused without anybody being bothered."""
MAX_TOLD = 20
"""Conversations that are told the answer to one question."""
MAX_SETTLED = 200
"""Open questions that one new rule may answer."""
EXPIRED_PER_LOOK = 50
MAX_NAME = 80
PREFIX: Final = "eg"
TOLD: Final = "egress_answer"
"""Kind of the effects that tell a conversation the answer; see ``egress_note``."""

ONCE: Final = "once"
ALWAYS: Final = "always"
NEVER: Final = "never"
OPTIONS = (
    option("Allow once", "Allowed once", ONCE),
    option("Always allow", "Allowed from now on", ALWAYS),
    option("Never", "Never allowed", NEVER),
)
_SPOKEN = {"approve": ONCE, "reject": NEVER}
"""What ``allow <id>`` and ``reject <id>`` mean here (``text_answers``)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnknownHost:
    """``taint``: what foreign content the agent is reading, as the host knows it."""

    agent_group_id: str
    session: Session
    host: str
    port: int
    taint: str | None = None


class Asked(StrEnum):
    """Whether an owner is asked, and why not."""

    NEW = "new"
    WAITING = "waiting"
    UNANSWERED = "unanswered"
    TOO_MANY_OPEN = "too many open"
    TOO_MANY_TODAY = "too many today"
    NOBODY = "nobody"


def request(conn: sqlite3.Connection, unknown: UnknownHost, now: datetime) -> Asked:
    """Inside the caller's transaction. Ring DELIVERY after ``NEW``."""
    group = unknown.agent_group_id
    found = egress_asks.find_open(conn, group, unknown.host, unknown.port)
    if found is not None and not closing.is_over(found.expires_at, now):
        egress_asks.add_session(conn, found.ask_id, unknown.session.id, MAX_TOLD)
        return Asked.WAITING
    if found is not None:
        _end(conn, found, "nobody answered in time", now)
    refusal = _why_not(conn, unknown, now)
    if refusal is not None:
        return refusal
    ask = EgressAsk(
        ask_id=new_id(PREFIX),
        agent_group_id=group,
        host=unknown.host,
        port=unknown.port,
        session_id=unknown.session.id,
        title="A host for an agent",
        question=_question(conn, unknown),
        created_at=now,
        expires_at=now + EXPIRES_AFTER,
    )
    egress_asks.prune(conn, now - QUIET_FOR)
    egress_asks.add(conn, ask)
    egress_asks.add_session(conn, ask.ask_id, unknown.session.id, MAX_TOLD)
    return Asked.NEW


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``."""
    ask = egress_asks.get(conn, click.card_id)
    if ask is None or ask.state is not AskState.OPEN:
        return None
    card = OpenCard(ask.ask_id, ask.title)
    if closing.is_over(ask.expires_at, now):
        return _end(conn, ask, "nobody answered in time", now)
    if not is_entitled(conn, click.user_id, ask.agent_group_id):
        log.warning("click of somebody not entitled", extra={"reason": click.user_id})
        return closed.not_allowed(card)
    chosen = choose(OPTIONS, _SPOKEN.get(click.value, click.value))
    if chosen is None or not egress_asks.end(conn, ask.ask_id, AskState.DECIDED, now):
        return ActionResult(ActionOutcome.UNKNOWN, ask.title)
    rule = _rule(conn, ask, chosen, click.user_id, now)
    if rule is not None:
        egress_rules.add(conn, rule)
    _tell(conn, ask, chosen, now)
    detail = {"decision": chosen.value, "rule": rule.text if rule is not None else ""}
    _audit(conn, ask, click.user_id, detail, now)
    return closing.decide(conn, OpenCard(ask.ask_id, _closed_title(ask)), chosen, click, now)


def settle_covered(conn: sqlite3.Connection, rule: EgressRule, covers: Rule, now: datetime) -> int:
    """A rule was written in another way: questions that it answers are closed; how many."""
    count = 0
    denies = rule.effect is EgressEffect.DENY
    for ask in egress_asks.list_open(conn, rule.agent_group_id, MAX_SETTLED):
        about = covers.is_whole and covers.covers_host(ask.host)
        if not about or not covers.covers_port(ask.port, denies=denies):
            continue
        if egress_asks.end(conn, ask.ask_id, AskState.DECIDED, now):
            chosen = OPTIONS[2] if denies else OPTIONS[1]
            _tell(conn, ask, chosen, now)
            title = _closed_title(ask)
            closing.end(conn, OpenCard(ask.ask_id, f"{title}: {chosen.selected_label}"), now)
            count += 1
    return count


class EgressCards:
    """A ``card_sources.CardSource``."""

    name = "egress"

    def created(self, conn: sqlite3.Connection, limit: int) -> Sequence[CardToSend]:
        return [_card(conn, ask) for ask in egress_asks.with_new_card(conn, limit)]

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        ask = egress_asks.get(conn, card_id)
        if ask is None or ask.state is not AskState.OPEN:
            return None
        return _card(conn, ask)

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        return egress_asks.mark_sent(conn, card_id)

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        """The agent was told to go on; the same is not asked again for a day."""
        ask = egress_asks.get(conn, card_id)
        if ask is not None and ask.state is AskState.OPEN:
            log.warning("a host's card reached nobody", extra={"reason": reason})
            _end(conn, ask, reason, now)

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        for ask in egress_asks.overdue(conn, now, EXPIRED_PER_LOOK):
            _end(conn, ask, "nobody answered in time", now)
        egress_rules.prune(conn, now)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        return egress_asks.next_expiry(conn)


CARDS = EgressCards()


def _why_not(conn: sqlite3.Connection, unknown: UnknownHost, now: datetime) -> Asked | None:
    group = unknown.agent_group_id
    known = egress_asks.recent(conn, group, now - EXPIRES_AFTER - QUIET_FOR)
    if any(
        (ask.host, ask.port, ask.state) == (unknown.host, unknown.port, AskState.ENDED)
        for ask in known
    ):
        return Asked.UNANSWERED
    if not read_approvers(conn, group):
        return Asked.NOBODY
    if egress_asks.count_open(conn, group) >= MAX_OPEN:
        return Asked.TOO_MANY_OPEN
    if sum(ask.created_at > now - timedelta(days=1) for ask in known) >= MAX_PER_DAY:
        return Asked.TOO_MANY_TODAY
    return None


def _end(conn: sqlite3.Connection, ask: EgressAsk, reason: str, now: datetime) -> ActionResult:
    """Over without a decision: takes the card back."""
    egress_asks.end(conn, ask.ask_id, AskState.ENDED, now)
    _audit(conn, ask, "host", {"decision": "none", "reason": reason}, now)
    return closing.end(conn, OpenCard(ask.ask_id, _closed_title(ask)), now)


def _rule(
    conn: sqlite3.Connection, ask: EgressAsk, chosen: Option, by: str, now: datetime
) -> EgressRule | None:
    """None: there is nobody left to allow it to."""
    once = None
    if chosen.value == ONCE:
        session = sessions.get(conn, ask.session_id)
        if session is None:
            return None
        # Between two containers the answer is for the next one: it wakes it.
        lease = session.lease_token + (0 if session.lease_owner is not None else 1)
        once = Once(ask.session_id, lease, now + ONCE_FOR)
    denies = chosen.value == NEVER
    rule = Rule(ask.host, ports=() if denies else (ask.port,))
    return EgressRule(
        rule_id=new_id("er"),
        effect=EgressEffect.DENY if denies else EgressEffect.ALLOW,
        text=rule.text,
        host=rule.host,
        subdomains=rule.subdomains,
        created_at=now,
        created_by=by,
        agent_group_id=ask.agent_group_id,
        once=once,
        note=f"answer to {ask.ask_id}",
    )


def _tell(conn: sqlite3.Connection, ask: EgressAsk, chosen: Option, now: datetime) -> None:
    """Every conversation that waits; what was allowed once is for the one that asked first."""
    waiting = egress_asks.sessions_of(conn, ask.ask_id)
    if chosen.value == ONCE:
        waiting = [ask.session_id]
    for session_id in waiting:
        payload = dump({"host": ask.host, "port": ask.port, "decision": chosen.value})
        effects.record(
            conn,
            NewEffect(
                effect_id=f"egress/{ask.ask_id}/{session_id}",
                kind=TOLD,
                requested_by="host",
                payload=payload,
                payload_hash=payload_hash(payload),
                created_at=now,
                session_id=session_id,
                agent_group_id=ask.agent_group_id,
            ),
        )


def _card(conn: sqlite3.Connection, ask: EgressAsk) -> CardToSend:
    return CardToSend(
        card_id=ask.ask_id,
        title=ask.title,
        question=ask.question,
        options=OPTIONS,
        expires_at=ask.expires_at,
        agent_group_id=ask.agent_group_id,
        origin=_origin(conn, ask),
    )


def _origin(conn: sqlite3.Connection, ask: EgressAsk) -> str:
    session = sessions.get(conn, ask.session_id)
    chat = _chat_of(conn, session)
    return chat[1] if chat is not None else ""


def _chat_of(conn: sqlite3.Connection, session: Session | None) -> tuple[str, str] | None:
    """Name and channel of the session's chat."""
    if session is None or session.messaging_group_id is None:
        return None
    chat = messaging_groups.get(conn, session.messaging_group_id)
    return None if chat is None else (chat.name or "", chat.channel_type)


def _question(conn: sqlite3.Connection, unknown: UnknownHost) -> str:
    group = agent_groups.get(conn, unknown.agent_group_id)
    agent = code(group.name if group is not None else unknown.agent_group_id, MAX_NAME)
    chat = _chat_of(conn, unknown.session)
    if chat is None:
        where = f"the conversation {code(unknown.session.id, MAX_NAME)}"
    elif chat[0]:
        where = f"the chat {code(chat[0], MAX_NAME)} ({chat[1]})"
    else:
        where = f"a chat on {chat[1]} ({code(unknown.session.id, MAX_NAME)})"
    lines = [
        f"{agent} wants to reach {code(unknown.host, 253)}, port {unknown.port}, in {where}. "
        "Nothing was sent yet."
    ]
    if foreign(unknown.taint):
        lines.append(
            f"It is reading {describe(unknown.taint)}: what stands there may have told it to."
        )
    lines.append(
        "Once: this conversation, until its container stops, an hour at most. "
        "Always: this agent, this host and port. Never: this agent, this host."
    )
    return "\n\n".join(lines)


def _closed_title(ask: EgressAsk) -> str:
    return f"{ask.title} ({ask.host}:{ask.port})"


def _audit(
    conn: sqlite3.Connection, ask: EgressAsk, by: str, detail: dict[str, str], now: datetime
) -> None:
    entry = AuditEntry(
        "egress.decided",
        by,
        f"{ask.host}:{ask.port}",
        {"ask": ask.ask_id, **detail},
        agent_group_id=ask.agent_group_id,
        session_id=ask.session_id,
    )
    record(conn, entry, now)

"""Questions that agents ask with a card, and the answers to them (H-131, H-238 to H-240).

``record`` is called by delivery when it takes the agent's row in, ``answer`` by whoever hears an
answer, ``carry_out`` is the effect that tells the agent. Anybody who can press in that chat may
answer. An answer that nobody waits for any more is read with the next message and wakes nobody
(W-35); after a day a question takes no answer at all.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from contract.address import Address
from contract.content import QuestionCard
from contract.inbound.row import MessageKind, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from contract.outbound.row import OutboundRow
from nanoclaw.approvals import closed, closing
from nanoclaw.approvals.card_sources import CardToSend
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.closed import OpenCard
from nanoclaw.approvals.entitlement import HOST
from nanoclaw.approvals.options import choose, dump_options, parse_options
from nanoclaw.bell import SWEEP, ring
from nanoclaw.db import card_copies, effects, members, questions, sessions
from nanoclaw.db.card_copies import NewCopy
from nanoclaw.db.effects import Effect, NewEffect
from nanoclaw.db.questions import Question
from nanoclaw.effects.base import Done, EffectContext, HandlerResult
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import Session, SessionStatus
from nanoclaw.policy.binding import payload_hash
from nanoclaw.sessions.folder import SessionFolder

EFFECT: Final = "question_answer"
SOURCE: Final = "question"
DEFAULT_SECONDS = 300.0
"""How long the agent's tool waits when its card does not say."""
MAX_SECONDS = 3600.0
GRACE = timedelta(seconds=30)
"""From the card's timeout to when certainly nobody waits: delivery takes time."""
LATE_FOR = timedelta(hours=24)
MAX_OPTIONS = 50
MAX_ID = 180
RESERVED_PREFIXES = ("appr-", "oa-", "nsa-", "mg-")
"""Ids of the host's own cards. A card of an agent under such an id would have people answer
something else than what they read."""
UNKNOWN_SENDER = "unknown-sender"
_MAX_PAYLOAD_BYTES = 64 * 1024


def record(
    conn: sqlite3.Connection, session: Session, row: OutboundRow, content: QuestionCard,
    now: datetime,
) -> bool:  # fmt: skip
    """Inside the transaction that takes the row in. False: this card must not be sent."""
    if not is_askable(content):
        return False
    waits = min(max(content.timeout or DEFAULT_SECONDS, 0.0), MAX_SECONDS)
    stored = questions.insert(
        conn,
        Question(
            question_id=content.question_id,
            session_id=session.id,
            message_out_id=row.id,
            address=row.address,
            title=content.title,
            options_json=dump_options(content.options),
            created_at=now,
            expires_at=max(row.deliver_after or now, now) + timedelta(seconds=waits) + GRACE,
        ),
    )
    if stored:
        return True
    known = questions.get(conn, content.question_id)
    return known is not None and (known.session_id, known.message_out_id) == (session.id, row.id)


def is_askable(content: QuestionCard) -> bool:
    """Whether the card has all it needs, and an id of its own."""
    question_id = content.question_id
    return (
        bool(content.title.strip())
        and 0 < len(content.options) <= MAX_OPTIONS
        and 0 < len(question_id) <= MAX_ID
        and question_id.isprintable()
        and not question_id.startswith(RESERVED_PREFIXES)
    )


def answer(conn: sqlite3.Connection, click: Click, now: datetime) -> ActionResult | None:
    """See ``clicks.Answerer``. Records the effect ``question_answer`` that tells the agent."""
    question = questions.get(conn, click.card_id)
    if question is None:
        return None
    if is_over(question, now):
        return _expire(conn, question, now)
    if not _is_pressed_here(question, click):
        return closed.not_allowed(OpenCard(question.question_id, question.title))
    chosen = choose(parse_options(question.options_json), click.value)
    if chosen is None or not questions.take(conn, question.question_id):
        return ActionResult(ActionOutcome.UNKNOWN, question.title)
    session = sessions.get(conn, question.session_id)
    if session is not None:
        effects.record(conn, _effect(conn, session, question, click, chosen.value, now))
    card = OpenCard(question.question_id, question.title)
    result = closed.decided(conn, card, chosen, click.user_id, now)
    if not click.message_id:
        text = closing.outcome_text(question.title, result.chosen_label, result.chosen_by, now)
        _take_back(conn, question, text, now)
    return result


def is_awaited(question: Question, now: datetime) -> bool:
    """Whether the agent's tool still waits, as far as the host can know."""
    return question.expires_at is not None and now < question.expires_at


def is_over(question: Question, now: datetime) -> bool:
    return question.expires_at is None or question.expires_at + LATE_FOR <= now


def carry_out(context: EffectContext, effect: Effect) -> HandlerResult:
    """Puts the answer into the session's inbox; the row's id makes a repeat harmless."""
    payload = parse_object(effect.payload, max_bytes=_MAX_PAYLOAD_BYTES)
    session = sessions.get(context.conn, str(payload.get("sessionId")))
    if session is None or session.status is not SessionStatus.ACTIVE:
        return Done("the session is over")
    question_id, trigger = str(payload.get("questionId")), payload.get("trigger") is True
    content = {
        "type": "question_response",
        "questionId": question_id,
        "selectedOption": payload.get("selectedOption"),
        "userId": payload.get("userId") or "",
    }
    taint = payload.get("taint")
    row = NewInbound(
        id=f"qr-{question_id}-{int(effect.created_at.timestamp() * 1000)}",
        kind=MessageKind.SYSTEM,
        timestamp=effect.created_at,
        content=dump(content),
        address=_address(payload),
        trigger=trigger,
        taint=taint if isinstance(taint, str) else None,
    )
    folder = SessionFolder.of(context.paths, session.agent_group_id, session.id)
    folder.create()
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(row)
    reached("host.answer_written")
    if trigger:
        sessions.mark_due(context.conn, session.id, context.now)
        ring(context.paths, SWEEP)
    return Done("answered" if trigger else "answered late")


class QuestionCards:
    """A ``card_sources.CardSource`` that only expires: delivery itself sends agents' cards."""

    name = SOURCE

    def created(self, conn: sqlite3.Connection, limit: int) -> Sequence[CardToSend]:
        return ()

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        return None

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        return False

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        """Never asked: nobody is looked for."""

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        for question in questions.expire(conn, now - LATE_FOR):
            _close_expired(conn, question, now)

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        earliest = questions.next_expiry(conn)
        return None if earliest is None else earliest + LATE_FOR


CARDS = QuestionCards()


def _effect(  # noqa: PLR0913, PLR0917 - the facts of one answer
    conn: sqlite3.Connection, session: Session, question: Question, click: Click, value: str,
    now: datetime,
) -> NewEffect:  # fmt: skip
    """Belongs to no session's queue of requests: an answer must not wait behind a build."""
    known = click.user_id == HOST or members.is_member(conn, click.user_id, session.agent_group_id)
    address = question.address
    payload = dump(
        {
            "sessionId": session.id,
            "questionId": question.question_id,
            "selectedOption": value,
            "userId": click.user_id,
            "trigger": is_awaited(question, now),
            "taint": None if known else UNKNOWN_SENDER,
            "channelType": address.channel_type,
            "platformId": address.platform_id,
            "threadId": address.thread_id,
        }
    )
    return NewEffect(
        effect_id=f"answer/{session.id}/{question.message_out_id}",
        kind=EFFECT,
        requested_by=click.user_id,
        payload=payload,
        payload_hash=payload_hash(payload),
        created_at=now,
        agent_group_id=session.agent_group_id,
    )


def _is_pressed_here(question: Question, click: Click) -> bool:
    """A press counts only in the chat that was asked. The administration names no chat."""
    here = (question.address.channel_type, question.address.platform_id)
    return not click.platform_id or (click.instance, click.platform_id) == here


def _expire(conn: sqlite3.Connection, question: Question, now: datetime) -> ActionResult:
    questions.take(conn, question.question_id)
    return _close_expired(conn, question, now)


def _close_expired(conn: sqlite3.Connection, question: Question, now: datetime) -> ActionResult:
    _take_back(conn, question, closing.closed_text(question.title), now)
    return closed.expired(conn, OpenCard(question.question_id, question.title), now)


def _take_back(conn: sqlite3.Connection, question: Question, text: str, now: datetime) -> None:
    """Has the desk change the card in its chat, as it does with cards of the host."""
    address = question.address
    if not address.channel_type or not address.platform_id:
        return
    copy = NewCopy(
        copy_id=f"{question.session_id}/{question.message_out_id}",
        card_id=question.question_id,
        source=SOURCE,
        user_id="",
        place=card_copies.Place(address.channel_type, address.platform_id),
        look_at=now,
    )
    if card_copies.get(conn, copy.copy_id) is None:
        card_copies.insert(conn, copy, now)
    closing.close_card(conn, question.question_id, text, now)


def _address(payload: dict[str, object]) -> Address:
    parts = (payload.get(key) for key in ("channelType", "platformId", "threadId"))
    return Address(*(part if isinstance(part, str) else None for part in parts))

"""Makes of each row that an agent wrote what the host keeps of it: receipt, effect, request.

Called by ``intake`` in the transaction that also advances the session's mark; ``decide`` judges.
Every row gets exactly one receipt, also those that go nowhere, so that its agent learns of it. Ids
are made from the session and the row, and a row whose id is known already changes nothing.
"""

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import assert_never

from contract.address import AGENT_CHANNEL
from contract.content import (
    MAX_OUTBOUND_BYTES,
    ChatOut,
    EditOut,
    OutboundContent,
    QuestionCard,
    ReactionOut,
    dump,
    parse_outbound,
)
from contract.errors import BadContent
from contract.inbound.row import AckStatus, InboundRow
from contract.jsontext import dump as dump_json
from contract.jsontext import parse_value
from contract.outbound.row import OutboundRow
from nanoclaw.capabilities import UncertainPolicy
from nanoclaw.db import deliveries, delivery_steps, destinations, effects, messaging_groups, wirings
from nanoclaw.db.deliveries import Failure
from nanoclaw.db.effects import NewEffect
from nanoclaw.delivery import held
from nanoclaw.delivery.asking import record_question
from nanoclaw.delivery.decide import (
    LIFETIME,
    MAX_CONTENT_BYTES,
    MAX_LATER,
    Forward,
    Hold,
    Refuse,
    RowDecision,
    RowFacts,
    RunAction,
    Send,
    decide_row,
)
from nanoclaw.delivery.leak_guard import LeakGuard
from nanoclaw.delivery.references import platform_id, read_reference
from nanoclaw.delivery.turn_taint import TurnView
from nanoclaw.effects.request import dump_request
from nanoclaw.model import Delivery, DeliveryState, FilesState, NewDelivery, Session
from nanoclaw.policy.binding import payload_hash

AGENT_MESSAGE = "agent_message"
_SETTLED = (AckStatus.COMPLETED, AckStatus.FAILED)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """What one look at a session brought, with what is known about the turn behind it."""

    session: Session
    rows: tuple[OutboundRow, ...]
    acks: Mapping[str, AckStatus]
    view: TurnView
    guarded: bool
    leaks: LeakGuard


@dataclass(frozen=True, slots=True)
class Recorded:
    """``deliveries`` are those that go out or whose files are to be copied; ``effects``: whether
    there is something for others of this process to do."""

    deliveries: tuple[Delivery, ...] = ()
    effects: bool = False


def record_output(conn: sqlite3.Connection, output: Output, now: datetime) -> Recorded:
    """Inside the caller's transaction."""
    last_answers = {row.in_reply_to: row.id for row in output.rows if row.in_reply_to}
    open_ones: list[Delivery] = []
    others = False
    places = _Places(conn, output)
    for row in output.rows:
        judged = _judge(conn, output, row, places, now)
        answered = row.in_reply_to or ""
        last = last_answers.get(answered) == row.id
        completes = last and output.acks.get(answered) in _SETTLED
        delivery = deliveries.queue(conn, _receipt(output, judged, now, completes=completes))
        if delivery is None:
            continue
        if isinstance(judged.decision, Send | Hold) and output.leaks.end_leaking([delivery], now):
            others = True
            continue
        step = _follow(conn, output.session, judged, delivery, now)
        others = others or step is not _Next.SEND
        if step is _Next.SEND or delivery.files_state is FilesState.WANTED:
            open_ones.append(delivery)
    return Recorded(tuple(open_ones), others)


class _Next(Enum):
    """Who has to do something with a row that is in the books."""

    SEND = auto()
    OTHERS = auto()


@dataclass(frozen=True, slots=True)
class _Judged:
    row: OutboundRow
    content: OutboundContent | BadContent
    decision: RowDecision
    text: str
    """The content as it is stored."""
    taint: str | None
    refers_to: str | None = None
    uncertain_policy: UncertainPolicy | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """What the central database says about one address."""

    known: bool = False
    own: bool = False
    has_destination: bool = False
    uncertain_policy: UncertainPolicy | None = None
    """What this wiring wants instead of the channel's own policy (P-7)."""


class _Places:
    """Asked once for all rows of a look that go to the same chat."""

    def __init__(self, conn: sqlite3.Connection, output: Output) -> None:
        self._conn = conn
        self._session = output.session
        self._known: dict[tuple[str, str], _Place] = {}

    def find(self, row: OutboundRow) -> _Place:
        channel_type, chat_id = row.address.channel_type, row.address.platform_id
        if not channel_type or not chat_id or channel_type == AGENT_CHANNEL:
            return _Place()
        key = (channel_type, chat_id)
        if key not in self._known:
            self._known[key] = self._read(channel_type, chat_id)
        return self._known[key]

    def _read(self, channel_type: str, chat_id: str) -> _Place:
        agent = self._session.agent_group_id
        chat = messaging_groups.find_by_address(self._conn, channel_type, chat_id)
        if chat is None:
            return _Place()
        wiring = wirings.get_by_pair(self._conn, chat.id, agent)
        return _Place(
            known=True,
            own=chat.id == self._session.messaging_group_id,
            has_destination=destinations.has_channel(self._conn, agent, chat.id),
            uncertain_policy=wiring.uncertain_policy if wiring is not None else None,
        )


def _judge(
    conn: sqlite3.Connection, output: Output, row: OutboundRow, places: _Places, now: datetime
) -> _Judged:
    text = row.content
    content: OutboundContent | BadContent
    refers_to = None
    try:
        if not text:
            raise BadContent(f"it has more than {MAX_OUTBOUND_BYTES} bytes; send a file instead")
        text = _storable(text)
        content = parse_outbound(row.kind, text)
        if isinstance(content, EditOut | ReactionOut):
            reference = read_reference(conn, output.session, content, output.view.rows)
            content, refers_to = reference.content, reference.own
            text = dump(content)  # a number that no JSON can hold is read, but not written again
    except BadContent as error:
        content = error
    place = places.find(row)
    taint = output.view.taint_of(row)
    facts = RowFacts(
        row=row,
        content=content,
        content_bytes=_size_in_frame(text),
        chat_known=place.known,
        is_own_chat=place.own,
        has_destination=place.has_destination,
        is_third_party=not (place.own or output.view.is_origin(row)),
        taint=taint,
        guarded=output.guarded,
        too_far_ahead=row.deliver_after is not None and row.deliver_after - now > MAX_LATER,
    )
    return _Judged(row, content, decide_row(facts), text, taint, refers_to, place.uncertain_policy)


def _storable(text: str) -> str:
    """Half characters that hide behind escapes are replaced: no database and no frame takes them.

    Raises BadContent.
    """
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return dump_json(parse_value(text, max_bytes=MAX_OUTBOUND_BYTES))


def _size_in_frame(text: str) -> int:
    """No more than that, exactly where it matters: escapes make six bytes of one character."""
    most = 6 * len(text)
    return most if most <= MAX_CONTENT_BYTES else len(dump_json(text).encode())


def _receipt(output: Output, judged: _Judged, now: datetime, *, completes: bool) -> NewDelivery:
    row, session = judged.row, output.session
    parent = output.view.rows.get(row.in_reply_to or "")
    # What goes to no chat has no time; one that an agent made up may lie at the calendar's end.
    later = row.deliver_after if isinstance(judged.decision, Send | Hold) else None
    start = max(later or now, now)
    new = NewDelivery(
        delivery_id=f"{session.id}/{row.id}",
        session_id=session.id,
        message_out_id=row.id,
        seq=row.seq,
        instance=row.address.channel_type or "",
        platform_id=row.address.platform_id or "",
        thread_id=row.address.thread_id,
        kind=row.kind,
        content=judged.text,
        in_reply_to=row.in_reply_to,
        reply_hint=parent.reply_hint if parent else None,
        reply_to_message_id=_answered(row, parent, session.agent_group_id),
        completes=completes,
        next_attempt_at=start,
        created_at=now,
        expires_at=start + LIFETIME,
        refers_to=judged.refers_to,
        uncertain_policy=judged.uncertain_policy,
        taint=judged.taint,
    )
    return _with_state(new, judged)


def _with_state(new: NewDelivery, judged: _Judged) -> NewDelivery:
    content = judged.content
    files = isinstance(content, ChatOut) and bool(content.files)
    wanted = FilesState.WANTED if files else FilesState.NONE
    match judged.decision:
        case Send():
            return replace(new, files_state=wanted) if files else new
        case Hold():
            # Who has to allow it is asked once the files are here; without files at once.
            waits_for = None if files else delivery_steps.ASKING
            return replace(new, state=DeliveryState.HELD, files_state=wanted, waits_for=waits_for)
        case RunAction() | Forward():
            return replace(new, state=DeliveryState.SENT)
        case Refuse(reason):
            return replace(
                new,
                state=DeliveryState.FAILED,
                last_error=reason,
                failure=Failure.REFUSED,
                told=False,
            )
        case _:
            assert_never(judged.decision)


def _follow(
    conn: sqlite3.Connection, session: Session, judged: _Judged, delivery: Delivery, now: datetime
) -> _Next:
    """What the row leads to besides its receipt."""
    match judged.decision:
        case Send():
            if isinstance(judged.content, QuestionCard) and not record_question(
                conn, session, delivery, judged.content, now
            ):
                return _Next.OTHERS
            return _Next.SEND
        case Hold():
            if delivery.files_state is not FilesState.WANTED:
                held.ask(conn, session, delivery, now)
        case RunAction(action):
            _record_effect(conn, session, judged, f"action:{action}", now)
        case Forward():
            _record_effect(conn, session, judged, AGENT_MESSAGE, now)
        case Refuse(reason):
            fields = {"session": session.id, "message_id": judged.row.id, "reason": reason}
            log.warning("message refused", extra=fields)
        case _:
            assert_never(judged.decision)
    return _Next.OTHERS


def _record_effect(
    conn: sqlite3.Connection, session: Session, judged: _Judged, kind: str, now: datetime
) -> None:
    payload = dump_request(replace(judged.row, content=judged.text), judged.taint)
    effects.record(
        conn,
        NewEffect(
            effect_id=f"{session.id}/{judged.row.id}",
            kind=kind,
            requested_by=f"agent:{session.agent_group_id}",
            payload=payload,
            payload_hash=payload_hash(payload),
            created_at=now,
            session_id=session.id,
            agent_group_id=session.agent_group_id,
        ),
    )


def _answered(row: OutboundRow, parent: InboundRow | None, agent_group_id: str) -> str | None:
    """The platform's id of the answered message; old rows have it in their own id (W-29)."""
    if row.in_reply_to is None:
        return None
    if parent is not None and parent.platform_message_id:
        return parent.platform_message_id
    return platform_id(row.in_reply_to, agent_group_id)

"""Typed answers to cards, for platforms and people without buttons (C-64).

Asked by ``intercept``. A number or a label answers the card that the message quotes, or the only
card that is open for this person in this chat, unless an agent has spoken there since the host's
card came; ``approve <id>`` and ``reject <id>`` answer any card from a direct chat. Cards of the
host are open only for those entitled, questions of agents for whoever may write to the agent.
Everything that is no answer goes on to the agent.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from contract.content import Option
from nanoclaw.approvals import answers, closing, questions
from nanoclaw.approvals.clicks import Click
from nanoclaw.approvals.entitlement import is_entitled
from nanoclaw.approvals.incoming import Incoming, Intercepted
from nanoclaw.approvals.options import parse_options, typed
from nanoclaw.approvals.say import Place, say
from nanoclaw.approvals.sources import SOURCES
from nanoclaw.db import card_copies, deliveries, members, messaging_groups, roles, sessions
from nanoclaw.db import questions as question_rows
from nanoclaw.db.card_copies import CopyState, OpenCopy
from nanoclaw.db.questions import Question
from nanoclaw.events import ActionOutcome, ActionResult
from nanoclaw.model import DeliveryState, UnknownSenderPolicy

REASON = "answer"
MAX_TEXT = 100
"""No label is longer; most messages end here."""
MAX_OPEN = 20
"""Cards of one chat that are looked at."""
_NAMED = re.compile(r"/?(approve|allow|reject|deny)\s+(\S{1,180})", re.IGNORECASE)
_VALUES = {"approve": "approve", "allow": "approve", "reject": "reject", "deny": "reject"}
_CLOSED = (ActionOutcome.ALREADY_ANSWERED, ActionOutcome.EXPIRED)
_SHOWN = (DeliveryState.SENT, DeliveryState.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class Open:
    """A card that this person may answer here. ``current``: also without quoting it.

    ``copy_id`` is that of a card of the host.
    """

    card_id: str
    options: tuple[Option, ...]
    message_ids: tuple[str, ...]
    current: bool = True
    copy_id: str | None = None


def intercept(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> Intercepted | None:
    """Inside the router's transaction; short texts cost two look-ups in small indexes."""
    event = incoming.event
    text = event.text.strip()
    if not text or len(text) > MAX_TEXT or "\n" in text or event.attachments:
        return None
    named = _NAMED.fullmatch(text)
    if named is not None:
        return _answer_named(conn, incoming, named, now)
    open_cards = [*_open_cards(conn, incoming), *_open_questions(conn, incoming, now)]
    quoted = event.reply_to.id if event.reply_to is not None else None
    card = _meant(open_cards, quoted)
    place = typed(card.options, text) if card is not None else None
    if card is None or place is None or (not quoted and _is_ambiguous(conn, card)):
        return None
    result = answers.answer(conn, _click(incoming, card.card_id, str(place)), now)
    return Intercepted(REASON) if result.outcome is ActionOutcome.ACCEPTED else None


def _meant(cards: list[Open], quoted: str | None) -> Open | None:
    """The card that is quoted; without a quotation the only one there is."""
    if quoted:
        found = [card for card in cards if quoted in card.message_ids]
    else:
        found = [card for card in cards if card.current]
    return found[0] if len(found) == 1 else None


def _is_ambiguous(conn: sqlite3.Connection, card: Open) -> bool:
    """An agent that talks in the same chat must not win a decision by asking for a number."""
    return card.copy_id is not None and card_copies.agent_spoke_after(conn, card.copy_id)


def _open_cards(conn: sqlite3.Connection, incoming: Incoming) -> Iterator[Open]:
    place = card_copies.Place(incoming.instance, incoming.event.platform_id)
    sources = {source.name: source for source in SOURCES}
    for item in card_copies.open_in_chat(conn, place, MAX_OPEN):
        source = sources.get(item.copy.source)
        card = source.find(conn, item.copy.card_id) if source is not None else None
        if card is None or not card.options or not _is_seen(item):
            continue
        if is_entitled(conn, incoming.user_id, card.agent_group_id):
            yield Open(card.card_id, card.options, item.message_ids, copy_id=item.copy.copy_id)


def _is_seen(item: OpenCopy) -> bool:
    """Nobody answers a card that has not reached the chat yet."""
    return bool(item.message_ids) or item.copy.state is CopyState.SHOWN


def _open_questions(conn: sqlite3.Connection, incoming: Incoming, now: datetime) -> Iterator[Open]:
    event = incoming.event
    for question in question_rows.open_in_chat(
        conn, incoming.channel_type, event.platform_id, MAX_OPEN
    ):
        delivery = deliveries.get(conn, f"{question.session_id}/{question.message_out_id}")
        if delivery is None or delivery.state not in _SHOWN:
            continue
        if questions.is_over(question, now) or not _may_talk(conn, incoming, question):
            continue
        thread = question.address.thread_id
        yield Open(
            question.question_id,
            parse_options(question.options_json),
            delivery.platform_message_ids,
            questions.is_awaited(question, now) and thread in (None, event.thread_id),
        )


def _may_talk(conn: sqlite3.Connection, incoming: Incoming, question: Question) -> bool:
    """What the access gate would say; a refused stranger must not get in by typing a number."""
    address = incoming.channel_type, incoming.event.platform_id
    chat = messaging_groups.find_by_address(conn, *address)
    if chat is not None and chat.unknown_sender_policy is UnknownSenderPolicy.PUBLIC:
        return True
    session = sessions.get(conn, question.session_id)
    return session is not None and members.is_member(conn, incoming.user_id, session.agent_group_id)


def _answer_named(
    conn: sqlite3.Connection, incoming: Incoming, named: re.Match[str], now: datetime
) -> Intercepted | None:
    """By the card's id, wherever the card was shown; from a direct chat of somebody with a role."""
    if not _is_direct(conn, incoming) or not roles.of_user(conn, incoming.user_id):
        return None
    card_id = named[2]
    place = card_copies.Place(incoming.instance, incoming.event.platform_id)
    is_shown_here = any(copy.place == place for copy in card_copies.of_card(conn, card_id))
    click = _click(incoming, card_id, _VALUES[named[1].lower()])
    result = answers.answer(conn, click, now)
    if result.outcome is ActionOutcome.ACCEPTED:
        if not is_shown_here:
            _say(conn, incoming, f"{result.title}: {result.chosen_label}", now)
        return Intercepted(REASON)
    if result.outcome in _CLOSED:
        _say(conn, incoming, _closed_text(result), now)
        return Intercepted(REASON)
    return None


def _is_direct(conn: sqlite3.Connection, incoming: Incoming) -> bool:
    event = incoming.event
    if event.is_group is not None:
        return not event.is_group
    chat = messaging_groups.find_by_address(conn, incoming.channel_type, event.platform_id)
    return chat is not None and not chat.is_group


def _closed_text(result: ActionResult) -> str:
    if result.outcome is ActionOutcome.EXPIRED:
        return closing.closed_text(result.title)
    by = f" by {result.chosen_by}" if result.chosen_by else ""
    return f"{result.title}: already answered with {result.chosen_label}{by}"


def _click(incoming: Incoming, card_id: str, value: str) -> Click:
    """Without a message id: every copy of the card is still to be changed."""
    return Click(card_id, value, incoming.user_id, incoming.instance, incoming.event.platform_id)


def _say(conn: sqlite3.Connection, incoming: Incoming, text: str, now: datetime) -> None:
    event = incoming.event
    place = Place(incoming.instance, event.platform_id, event.thread_id)
    say(conn, place, f"answer/{incoming.instance}/{event.event_key}", text, now)

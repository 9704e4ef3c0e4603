"""One search for somebody who can be given a card, and the handing over.

Made by the desk for each card that needs a person; asks one approver after the other in the order
of H-221. The copy, the delivery and the mark on the request are one transaction: a crash leaves
either all of it or none, and the next search begins anew.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contract.clock import utc_now
from contract.content import ChatOut, QuestionCard, dump
from contract.killpoint import reached
from nanoclaw.approvals.approvers import for_origin
from nanoclaw.approvals.card_sources import CardSource, CardToSend
from nanoclaw.approvals.decide import ESCALATE_AFTER, SearchFacts
from nanoclaw.approvals.direct_messages import Away, DirectMessages, Found, Reach, Unreachable
from nanoclaw.approvals.entitlement import read_approvers, read_owners
from nanoclaw.db import card_copies, deliveries
from nanoclaw.db.card_copies import CardCopy, CopyState, NewCopy, Place
from nanoclaw.db.connection import transaction
from nanoclaw.model import DeliverySource, MessagingGroup, NewDelivery

CARD_KIND = "chat-sdk"
TEXT_KIND = "chat"
_TRIED = (CopyState.QUEUED, CopyState.SHOWN, CopyState.FAILED)


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The card is queued for this user, or was decided meanwhile (None)."""

    user_id: str | None


SearchEnd = HandedOver | SearchFacts
OnEnd = Callable[[SearchEnd], None]


class CardSearch:
    """Ends with exactly one call of ``on_end``."""

    def __init__(
        self, conn: sqlite3.Connection, direct: DirectMessages, source: CardSource,
        card: CardToSend, on_end: OnEnd,
    ) -> None:  # fmt: skip
        self._conn = conn
        self._direct = direct
        self._source = source
        self._card = card
        self._on_end = on_end
        self._left: deque[str] = deque()
        self._away: list[str] = []
        self._refused: list[str] = []

    def start(self) -> None:
        card = self._card
        users = (
            read_owners(self._conn)
            if card.owners_only
            else read_approvers(self._conn, card.agent_group_id)
        )
        self._left = deque(for_origin(users, card.origin, card.prefer))
        self._next()

    def _next(self) -> None:
        if not self._left:
            self._on_end(SearchFacts(tuple(self._away), tuple(self._refused)))
            return
        user_id = self._left.popleft()
        self._direct.ensure(user_id, lambda reach: self._reached(user_id, reach))

    def _reached(self, user_id: str, reach: Reach) -> None:
        match reach:
            case Away(reason):
                self._away.append(reason)
            case Unreachable(reason):
                self._refused.append(reason)
            case Found(chat):
                if self._hand_over(user_id, chat):
                    return
        self._next()

    def _hand_over(self, user_id: str, chat: MessagingGroup) -> bool:
        """False when the card is, or was, in this chat already."""
        now = utc_now()
        place = Place(chat.channel_type, chat.platform_id)
        with transaction(self._conn):
            copies = card_copies.of_card(self._conn, self._card.card_id)
            if any(copy.place == place and copy.state in _TRIED for copy in copies):
                self._refused.append("the card could not be delivered")
                return False
            sent = self._source.mark_sent(self._conn, self._card.card_id, user_id, now)
            if sent:
                self._queue(user_id, place, copies, now)
        reached("desk.card_queued")
        self._on_end(HandedOver(user_id if sent else None))
        return True

    def _queue(self, user_id: str, place: Place, copies: list[CardCopy], now: datetime) -> None:
        card = self._card
        copy_id = f"card/{card.card_id}/{len(copies) + 1}"
        card_copies.insert(
            self._conn,
            NewCopy(copy_id, card.card_id, self._source.name, user_id, place, now + ESCALATE_AFTER),
            now,
        )
        deliveries.queue(
            self._conn,
            NewDelivery(
                delivery_id=copy_id,
                message_out_id=copy_id,
                instance=place.instance,
                platform_id=place.platform_id,
                kind=CARD_KIND if card.options else TEXT_KIND,
                content=card_content(card),
                source=DeliverySource.HOST,
                created_at=now,
                next_attempt_at=now,
                expires_at=max(card.expires_at, now),
            ),
        )


def card_content(card: CardToSend) -> str:
    """A question with buttons, or a plain text (H-309)."""
    if not card.options:
        return dump(ChatOut(text=card.question))
    return dump(
        QuestionCard(
            question_id=card.card_id,
            title=card.title,
            question=card.question,
            options=card.options,
        )
    )

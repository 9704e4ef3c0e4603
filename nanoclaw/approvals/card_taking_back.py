"""Shows copies of a card that is over as such, wherever they are (C-66).

Part of the desk. A channel that can change the message does; another one gets a short text. A
channel that is down is asked again for a day.
"""

import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

from contract.address import Address
from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.approvals.decide import (
    CLOSING_GIVEN_UP_AFTER,
    NothingToClose,
    SayOutcome,
    ShowOutcome,
    WaitForDelivery,
    decide_closing,
    retry_seconds,
)
from nanoclaw.db import card_copies, deliveries
from nanoclaw.db.card_copies import CardCopy, CopyState
from nanoclaw.db.connection import transaction
from nanoclaw.effects.base import Requests
from nanoclaw.events import DeadlinePassed, LinkDown, Ok, ResolveCard
from nanoclaw.link import Answer
from nanoclaw.sessions.host_text import HostText, queue_text

COPIES_PER_LOOK = 32
RESOLVE_SECONDS = 30.0
WAIT_SECONDS = (0.2, 30.0)
"""Shortest and longest delay between looks at a card that is still on its way."""

log = logging.getLogger(__name__)


class TakingBack:
    """Owned by the desk; ``on_queued`` is called when something was queued for sending."""

    def __init__(
        self, conn: sqlite3.Connection, requests: Requests, on_queued: Callable[[], None]
    ) -> None:
        self._conn = conn
        self._requests = requests
        self._on_queued = on_queued
        self._asked: set[str] = set()

    def look(self, now: datetime) -> None:
        for copy in card_copies.due(self._conn, CopyState.CLOSING, now, COPIES_PER_LOOK):
            if copy.copy_id not in self._asked:
                self._close(copy, now)

    def next_look(self) -> datetime | None:
        return card_copies.next_look(self._conn, CopyState.CLOSING)

    def _close(self, copy: CardCopy, now: datetime) -> None:
        delivery = deliveries.get(self._conn, copy.copy_id)
        decision = decide_closing(
            delivery.state if delivery is not None else None,
            delivery.platform_message_ids if delivery is not None else (),
        )
        match decision:
            case NothingToClose():
                self._end(copy, now)
            case WaitForDelivery():
                shortest, longest = WAIT_SECONDS
                age = (now - copy.updated_at).total_seconds()
                delay = timedelta(seconds=min(longest, max(shortest, age / 4)))
                card_copies.look_later(self._conn, copy.copy_id, now + delay, tried=False)
            case ShowOutcome(message_id):
                self._ask(copy, message_id, now)
            case SayOutcome():
                self._say(copy, now)
            case _:
                assert_never(decision)

    def _ask(self, copy: CardCopy, message_id: str, now: datetime) -> None:
        """The time of the next look is moved first: one question at a time, also after a crash."""
        card_copies.look_later(
            self._conn, copy.copy_id, now + timedelta(seconds=2 * RESOLVE_SECONDS), tried=True
        )
        self._asked.add(copy.copy_id)
        frame = ResolveCard(
            copy.copy_id, copy.place.platform_id, message_id, copy.closing_text or ""
        )
        self._requests.to_channel(
            copy.place.instance, frame, RESOLVE_SECONDS, lambda answer: self._answered(copy, answer)
        )

    def _answered(self, copy: CardCopy, answer: Answer) -> None:
        self._asked.discard(copy.copy_id)
        now = utc_now()
        if isinstance(answer, Ok):
            self._end(copy, now)
        elif not isinstance(answer, LinkDown | DeadlinePassed):
            self._say(copy, now)
        elif now - copy.updated_at > CLOSING_GIVEN_UP_AFTER:
            log.warning("card stays open", extra={"channel": copy.place.instance})
            self._end(copy, now)
        else:
            delay = timedelta(seconds=retry_seconds(copy.attempts))
            card_copies.look_later(self._conn, copy.copy_id, now + delay, tried=False)

    def _say(self, copy: CardCopy, now: datetime) -> None:
        """In words, through the ordinary way out; with it the copy is done."""
        address = Address(copy.place.instance, copy.place.platform_id)
        said = HostText(f"{copy.copy_id}/closed", copy.closing_text or "", address)
        with transaction(self._conn):
            card_copies.set_state(
                self._conn, copy.copy_id, CopyState.CLOSING, CopyState.CLOSED, now
            )
            queue_text(self._conn, said, now)
        reached("desk.outcome_said")
        self._on_queued()

    def _end(self, copy: CardCopy, now: datetime) -> None:
        card_copies.set_state(self._conn, copy.copy_id, CopyState.CLOSING, CopyState.CLOSED, now)
        reached("desk.copy_closed")

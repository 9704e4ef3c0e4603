"""The desk of the delivery process: brings cards to people, and takes them back.

Finds requests whose card is only written down, looks for somebody entitled who can be reached
(cold direct messages included), queues the card, expires what nobody answered, and shows every
copy of a decided card as decided. A ``delivery.companion.Companion``. Nothing ever waits because a
card was not sent (W-39): a channel that is down is tried again until the request expires, a
refused card goes to the next approver, and when there is nobody left the request ends.
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.approvals import requests
from nanoclaw.approvals.card_search import CardSearch, HandedOver, SearchEnd
from nanoclaw.approvals.card_sources import CardSource, CardToSend
from nanoclaw.approvals.card_taking_back import TakingBack
from nanoclaw.approvals.decide import (
    GiveUp,
    LeaveIt,
    LookAgain,
    decide_after_search,
    retry_seconds,
)
from nanoclaw.approvals.direct_messages import DirectMessages, forget_chat
from nanoclaw.approvals.sources import SOURCES
from nanoclaw.bell import DELIVERY, ROUTER, ring
from nanoclaw.config import HostConfig
from nanoclaw.db import card_copies
from nanoclaw.db.card_copies import CopyState, SettledCopy
from nanoclaw.db.connection import transaction
from nanoclaw.effects.base import Requests
from nanoclaw.model import DeliveryState
from nanoclaw.reactor import Reactor, Timer

MAX_SEARCHES = 16
COPIES_PER_LOOK = 64
ESCALATE_AGAIN_AFTER = timedelta(minutes=5)
FULL_SECONDS = 1.0
"""After so long a search that found no room is begun again."""
SHORTEST_DELAY_SECONDS = 0.02
LONGEST_DELAY_SECONDS = 30.0
"""The timer is set anew at every look; a far one would stay behind in the reactor until its day."""
FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 5.0
"""How often receipts of cards on their way are looked at: soon after sending, then ever less."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wait:
    """A card that is looked at again later; forgotten with the process, which looks at once."""

    source: CardSource
    attempts: int
    due: float


class CardDesk:
    """Owned by the ``delivery`` process; every method runs on its reactor."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        config: HostConfig,
        asking: Requests,
        sources: Sequence[CardSource] = SOURCES,
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = config.paths
        self._sources = {source.name: source for source in sources}
        self._direct = DirectMessages(conn, config.paths, asking)
        self._taking_back = TakingBack(conn, asking, lambda: ring(self._paths, DELIVERY))
        self._searching: set[str] = set()
        self._waits: dict[str, _Wait] = {}
        self._timer: Timer | None = None
        self._poll_seconds = FIRST_POLL_SECONDS
        self._closed = False

    def start(self) -> None:
        """Takes up what an earlier process left: cards that everybody had refused, old requests."""
        with transaction(self._conn):
            requests.expire_unbound(self._conn, utc_now())
        for card_id, source in card_copies.left_alone(self._conn):
            if source in self._sources:
                self._wait(card_id, self._sources[source], attempts=-1)
        self.look()

    def look(self) -> None:
        if self._closed:
            return
        now = utc_now()
        self._expire(now)
        self._settle_copies(now)
        self._escalate(now)
        self._search_for_new()
        self._search_again()
        self._taking_back.look(now)
        self._set_timer()

    def close(self) -> None:
        self._closed = True
        self._direct.close()
        if self._timer is not None:
            self._timer.cancel()

    # --- time -------------------------------------------------------------------------------------

    def _expire(self, now: datetime) -> None:
        for source in self._sources.values():
            due = source.next_expiry(self._conn)
            if due is None or due > now:
                continue
            with transaction(self._conn):
                source.expire(self._conn, now)
            reached("desk.expired")
            self._ring()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, monotonic = utc_now(), self._reactor.now()
        moments = [source.next_expiry(self._conn) for source in self._sources.values()]
        moments.append(self._taking_back.next_look())
        delays = [(moment - now).total_seconds() for moment in moments if moment is not None]
        delays += [wait.due - monotonic for wait in self._waits.values()]
        if card_copies.next_look(self._conn, _QUEUED) is not None:
            delays.append(self._poll_seconds)
            self._poll_seconds = min(2 * self._poll_seconds, LONGEST_POLL_SECONDS)
        if delays:
            delay = min(max(SHORTEST_DELAY_SECONDS, min(delays)), LONGEST_DELAY_SECONDS)
            self._timer = self._reactor.call_later(delay, self.look)

    # --- finding somebody -------------------------------------------------------------------------

    def _search_for_new(self) -> None:
        waiting = len(self._waits) + len(self._searching)
        for source in self._sources.values():
            for card in source.created(self._conn, MAX_SEARCHES + waiting):
                if card.card_id not in self._waits:
                    self._search(source, card)

    def _search_again(self) -> None:
        now = self._reactor.now()
        for card_id, wait in list(self._waits.items()):
            if wait.due > now:
                continue
            card = wait.source.find(self._conn, card_id)
            if card is None:
                del self._waits[card_id]
            else:
                self._search(wait.source, card)

    def _escalate(self, now: datetime) -> None:
        """Cards that are still on their way after a while are shown to somebody else as well."""
        for copy in card_copies.due(self._conn, _QUEUED, now, COPIES_PER_LOOK):
            card_copies.look_later(self._conn, copy.copy_id, now + ESCALATE_AGAIN_AFTER, tried=True)
            self._find_next(copy.card_id, copy.source)

    def _find_next(self, card_id: str, source_name: str) -> None:
        source = self._sources.get(source_name)
        card = source.find(self._conn, card_id) if source is not None else None
        if source is not None and card is not None:
            self._search(source, card)

    def _search(self, source: CardSource, card: CardToSend) -> None:
        if card.card_id in self._searching:
            return
        if len(self._searching) >= MAX_SEARCHES:
            self._wait(card.card_id, source, attempts=-1)
            return
        self._searching.add(card.card_id)

        def ended(end: SearchEnd) -> None:
            # Never within ``look``: what ends at once is looked at again in the next round.
            self._reactor.post(lambda: self._search_ended(source, card, end))

        CardSearch(self._conn, self._direct, source, card, ended).start()

    def _search_ended(self, source: CardSource, card: CardToSend, end: SearchEnd) -> None:
        self._searching.discard(card.card_id)
        if self._closed:
            return
        if isinstance(end, HandedOver):
            self._waits.pop(card.card_id, None)
            if end.user_id is not None:
                self._poll_seconds = FIRST_POLL_SECONDS
                log.info(
                    "card queued",
                    extra={"message_id": card.card_id, "reason": f"for {end.user_id}"},
                )
                ring(self._paths, DELIVERY)
            self._set_timer()
            return
        copies = card_copies.of_card(self._conn, card.card_id)
        count = sum(copy.state in (_QUEUED, CopyState.SHOWN) for copy in copies)
        decision = decide_after_search(replace(end, open_copies=count))
        match decision:
            case LeaveIt():
                self._waits.pop(card.card_id, None)
            case LookAgain(reason):
                self._wait_longer(source, card, reason)
            case GiveUp(reason):
                self._give_up(source, card, reason)
            case _:
                assert_never(decision)
        self._set_timer()

    def _give_up(self, source: CardSource, card: CardToSend, reason: str) -> None:
        now = utc_now()
        with transaction(self._conn):
            source.nobody_reachable(self._conn, card.card_id, reason, now)
        reached("desk.given_up")
        self._ring()
        if source.find(self._conn, card.card_id) is None:
            self._waits.pop(card.card_id, None)
            log.warning("card given up", extra={"message_id": card.card_id, "reason": reason})
        else:
            self._wait_longer(source, card, reason)

    def _wait_longer(self, source: CardSource, card: CardToSend, reason: str) -> None:
        wait = self._waits.get(card.card_id)
        attempts = wait.attempts + 1 if wait is not None else 0
        if attempts == 0:
            log.warning("card waits", extra={"message_id": card.card_id, "reason": reason})
        self._wait(card.card_id, source, attempts)

    def _wait(self, card_id: str, source: CardSource, attempts: int) -> None:
        """``attempts`` -1: it was not looked for yet."""
        delay = retry_seconds(attempts) if attempts >= 0 else FULL_SECONDS
        self._waits[card_id] = _Wait(source, attempts, self._reactor.now() + delay)

    # --- what became of the copies ----------------------------------------------------------------

    def _settle_copies(self, now: datetime) -> None:
        settled = card_copies.settled(self._conn, COPIES_PER_LOOK)
        if not settled:
            return
        with transaction(self._conn):
            for item in settled:
                self._settle(item, now)
        reached("desk.copies_settled")
        for item in settled:
            if not _arrived(item):
                log.warning(
                    "card was refused",
                    extra={"channel": item.copy.place.instance, "reason": item.error},
                )
                self._find_next(item.copy.card_id, item.copy.source)

    def _settle(self, item: SettledCopy, now: datetime) -> None:
        copy = item.copy
        if not _arrived(item):
            card_copies.set_state(self._conn, copy.copy_id, _QUEUED, CopyState.FAILED, now)
            forget_chat(self._conn, *copy.place)
            return
        source = self._sources.get(copy.source)
        card = source.find(self._conn, copy.card_id) if source is not None else None
        waits = card is not None and card.options
        state = CopyState.SHOWN if waits else CopyState.CLOSED
        card_copies.set_state(self._conn, copy.copy_id, _QUEUED, state, now)

    def _ring(self) -> None:
        """Effects may have been recorded, and events released."""
        ring(self._paths, DELIVERY)
        ring(self._paths, ROUTER)


_QUEUED = CopyState.QUEUED


def _arrived(item: SettledCopy) -> bool:
    """Nobody knows of an uncertain one; that it is there is the safer guess."""
    return item.delivery_state in (DeliveryState.SENT, DeliveryState.UNCERTAIN)

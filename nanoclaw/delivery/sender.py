"""Hands receipts to channel workers and records the answers.

Owned by ``delivery.loop``. A receipt is marked ``sending`` on disk before its frame leaves and
gets its final state in the same group commit as the others that were answered in that round.
Several receipts of one chat are under way at once only where the platform recognises a repeated
message (``idempotent_send=key``); elsewhere it is one at a time (design section 4).
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from contract.clock import to_text, utc_now
from contract.killpoint import reached
from nanoclaw.capabilities import IdempotentSend
from nanoclaw.db import deliveries
from nanoclaw.db.connection import transaction
from nanoclaw.delivery.decide import (
    WAIT_SECONDS,
    FailureDecision,
    GiveUp,
    HoldUncertain,
    TryAgain,
    decide_after_failure,
)
from nanoclaw.delivery.lanes import WINDOW, Lanes
from nanoclaw.delivery.links import Links
from nanoclaw.events import Deliver, Delivered, DeliveryFailed
from nanoclaw.link import Answer
from nanoclaw.model import Delivery, SentReceipt
from nanoclaw.reactor import Reactor

DELIVER_SECONDS = 120.0
MAX_IN_FLIGHT = 256
"""Receipts under way to one worker; each frame is bounded, so this bounds the memory."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    delivery: Delivery
    answer: Answer


class Sender:
    """Sends what the lanes hold; ``on_settled`` gets the sessions whose receipts changed."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        links: Links,
        lanes: Lanes,
        on_settled: Callable[[set[str]], None],
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._links = links
        self._lanes = lanes
        self._on_settled = on_settled
        self._results: list[_Result] = []

    def pump(self) -> None:
        """Sends every message that may go now."""
        batch = self._take()
        if not batch:
            return
        with transaction(self._conn):
            self._mark_sending(batch)
        self._send_all(batch)

    def _take(self) -> list[Delivery]:
        now = utc_now()
        batch: list[Delivery] = []
        for key in self._lanes.sendable():
            link = self._links.worker(key.instance)
            if not link.ready or link.capabilities is None:
                continue
            room = MAX_IN_FLIGHT - self._lanes.in_flight(key.instance)
            by_key = link.capabilities.idempotent_send is IdempotentSend.KEY
            batch += self._lanes.take(key, now, min(room, WINDOW) if by_key else min(room, 1))
        return batch

    def _mark_sending(self, batch: list[Delivery]) -> None:
        deliveries.mark_sending(self._conn, [item.delivery_id for item in batch], utc_now())

    def _send_all(self, batch: list[Delivery]) -> None:
        reached("delivery.marked_sending")
        for delivery in batch:
            self._send(delivery)
        reached("delivery.frame_sent")

    def _send(self, delivery: Delivery) -> None:
        frame = Deliver(
            delivery_id=delivery.delivery_id,
            attempt=delivery.attempts + 1,
            platform_id=delivery.platform_id,
            thread_id=delivery.thread_id,
            kind=delivery.kind,
            content=delivery.content,
            reply_hint=delivery.reply_hint,
            reply_to_message_id=delivery.reply_to_message_id,
            completes=delivery.completes,
            sent_at=to_text(delivery.created_at),
        )
        self._links.worker(delivery.instance).client.request(
            frame, DELIVER_SECONDS, lambda answer: self._answered(delivery, answer)
        )

    def _answered(self, delivery: Delivery, answer: Answer) -> None:
        if not self._results:
            self._reactor.post(self._settle)
        self._results.append(_Result(delivery, answer))

    def _settle(self) -> None:
        """One commit for everything answered in this round and for what follows it."""
        results, self._results = self._results, []
        now = utc_now()
        again: list[Delivery] = []
        sent = [item for item in results if isinstance(item.answer, Delivered)]
        with transaction(self._conn):
            deliveries.mark_sent_many(self._conn, [_receipt(item) for item in sent], now)
            for result in results:
                later = self._record_unsent(result, now)
                if later is None:
                    self._lanes.finish(result.delivery)
                else:
                    again.append(later)
            self._lanes.put_back(again)
            batch = self._take()
            if batch:
                self._mark_sending(batch)
        reached("delivery.settled")
        if batch:
            self._send_all(batch)
        for item in sent:
            log.info("message delivered", extra=_fields(item.delivery))
        self._on_settled({item.delivery.session_id for item in results if item.delivery.session_id})

    def _record_unsent(self, result: _Result, now: datetime) -> Delivery | None:
        """Stores a failure; returns the receipt as it waits now, or None when it is final."""
        delivery, answer = result.delivery, result.answer
        if isinstance(answer, Delivered):
            return None
        if not isinstance(answer, DeliveryFailed):
            # No connection or no answer: the worker's journal knows, so the same id is safe.
            at = now + timedelta(
                seconds=WAIT_SECONDS if self._links.is_ready(delivery.instance) else 0
            )
            return deliveries.mark_retry(
                self._conn, delivery.delivery_id, at, counts=False, error=str(answer), now=now
            )
        decision = decide_after_failure(
            answer, attempts=delivery.attempts, expires_at=delivery.expires_at, now=now
        )
        return self._record_failure(delivery, answer, decision, now)

    def _record_failure(
        self, delivery: Delivery, answer: DeliveryFailed, decision: FailureDecision, now: datetime
    ) -> Delivery | None:
        error = f"{answer.failure}: {answer.detail}"
        fields = {**_fields(delivery), "reason": error}
        match decision:
            case TryAgain(at, counts):
                log.info("message will be tried again", extra=fields)
                return deliveries.mark_retry(
                    self._conn, delivery.delivery_id, at, counts=counts, error=error, now=now
                )
            case GiveUp():
                log.error("message given up", extra=fields)
                deliveries.mark_failed(self._conn, delivery.delivery_id, error, now)
                return None
            case HoldUncertain():
                log.warning("message uncertain", extra=fields)
                deliveries.mark_uncertain(self._conn, delivery.delivery_id, error, now)
                return None
            case _:
                assert_never(decision)


def _receipt(result: _Result) -> SentReceipt:
    ids = result.answer.ids if isinstance(result.answer, Delivered) else ()
    return SentReceipt(result.delivery.delivery_id, ids)


def _fields(delivery: Delivery) -> dict[str, object]:
    return {
        "channel": delivery.instance,
        "session": delivery.session_id,
        "message_id": delivery.message_out_id or delivery.delivery_id,
        "attempt": delivery.attempts + 1,
    }

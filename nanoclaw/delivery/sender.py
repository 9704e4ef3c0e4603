"""Hands receipts to channel workers and records the answers.

Owned by ``delivery.loop``. A receipt is marked ``sending`` on disk before its frame leaves and
gets its final state in the same group commit as the others that were answered in that round.
Several receipts of one chat are under way at once only where the platform recognises a repeated
message (``idempotent_send=key``); elsewhere it is one at a time (design section 4).
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from contract.clock import to_text, utc_now
from contract.killpoint import reached
from nanoclaw.capabilities import Capabilities, IdempotentSend
from nanoclaw.db import deliveries, delivery_steps
from nanoclaw.db.connection import transaction
from nanoclaw.db.deliveries import Failure
from nanoclaw.delivery.backlog import KEPT, is_backlog, plan_joins
from nanoclaw.delivery.decide import (
    WAIT_SECONDS,
    FailureDecision,
    GiveUp,
    HoldUncertain,
    TryAgain,
    decide_after_failure,
)
from nanoclaw.delivery.lanes import WINDOW, LaneKey, Lanes, key_of
from nanoclaw.delivery.leak_guard import LeakGuard
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.references import Never, NotYet, Resolved, resolve_own
from nanoclaw.events import Deliver, Delivered, DeliveryFailed, SpoolFile
from nanoclaw.link import Answer
from nanoclaw.model import Delivery, SentReceipt
from nanoclaw.reactor import Reactor

DELIVER_SECONDS = 120.0
MAX_IN_FLIGHT = 256
"""Receipts under way to one worker; each frame is bounded, so this bounds the memory."""
MAX_EXPIRED = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    delivery: Delivery
    answer: Answer


@dataclass(frozen=True, slots=True)
class Settled:
    """Receipts that have reached their end, on disk; ``delivered`` are those that arrived."""

    ended: tuple[Delivery, ...] = ()
    delivered: tuple[Delivery, ...] = ()


class Sender:
    """Sends what the lanes hold; ``on_settled`` hears of everything that came to its end."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that the loop joins
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        links: Links,
        lanes: Lanes,
        on_settled: Callable[[Settled], None],
        guard: LeakGuard,
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._links = links
        self._lanes = lanes
        self._on_settled = on_settled
        self._guard = guard
        self._results: list[_Result] = []
        self._shortened: dict[LaneKey, int] = {}

    def pump(self) -> None:
        """Sends every message that may go now."""
        self._shorten_backlogs()
        batch = self._take()
        if not batch:
            return
        ended: list[Delivery] = []
        with transaction(self._conn):
            ready = self._prepare(batch, ended)
        self._send_all(ready)
        if ended:
            self._on_settled(Settled(ended=tuple(ended)))

    def expire(self) -> None:
        """Ends what was in vain for a day, also where no channel is there to fail (C-37)."""
        now = utc_now()
        expired = deliveries.expired(self._conn, now, MAX_EXPIRED)
        if not expired:
            return
        with transaction(self._conn):
            for delivery in expired:
                error = delivery.last_error or "its channel was not there"
                deliveries.mark_failed(
                    self._conn, delivery.delivery_id, error, now, Failure.EXPIRED
                )
        reached("delivery.expired")
        for delivery in expired:
            log.error("message given up", extra={**_fields(delivery), "reason": "expired"})
            self._lanes.drop(key_of(delivery), {delivery.delivery_id})
        self._on_settled(Settled(ended=tuple(expired)))

    def _shorten_backlogs(self) -> None:
        """After an outage; a lane that is long for a moment only is left alone (C-39)."""
        now = utc_now()
        for key in self._lanes.sendable():
            length = self._lanes.length(key)
            if key not in self._shortened and length <= KEPT:
                continue
            link = self._links.worker(key.instance)
            waiting = self._lanes.waiting(key)
            if not waiting or not is_backlog(waiting[0], now):
                self._shortened.pop(key, None)
            elif link.ready and link.capabilities is not None:
                self._shorten(key, waiting, link.capabilities.text_limit)

    def _shorten(self, key: LaneKey, waiting: tuple[Delivery, ...], limit: int) -> None:
        """Each message is looked at once: the first ones of the backlog stay as they are."""
        seen = self._shortened.get(key)
        late = [item for item in waiting if item.row_number > seen] if seen else waiting[KEPT:]
        self._shortened[key] = waiting[-1].row_number
        joins = plan_joins(late, limit)
        if not joins:
            return
        with transaction(self._conn):
            for join in joins:
                delivery_steps.join(self._conn, join)
        reached("delivery.joined")
        for join in joins:
            leader = deliveries.get(self._conn, join.leader)
            if leader is not None:
                self._lanes.replace(leader)
            self._lanes.drop(key, join.followers)
        log.info("backlog shortened", extra={"channel": key.instance, "count": len(late)})

    def _take(self) -> list[Delivery]:
        now = utc_now()
        batch: list[Delivery] = []
        for key in self._lanes.sendable():
            link = self._links.worker(key.instance)
            if not link.ready or link.capabilities is None:
                continue
            room = MAX_IN_FLIGHT - self._lanes.in_flight(key.instance)
            by_key = link.capabilities.idempotent_send is IdempotentSend.KEY
            most = min(room, WINDOW) if by_key else min(room, 1)
            # Of a backlog nothing is taken before it was looked at.
            batch += self._lanes.take(key, now, most, refill=key not in self._shortened)
        return batch

    def _prepare(self, batch: list[Delivery], ended: list[Delivery]) -> list[Delivery]:
        """Inside a transaction: marks what can be sent now; the rest waits or has ended."""
        now = utc_now()
        ready: list[Delivery] = []
        leaking = self._guard.end_leaking(batch, now)
        stopped = {delivery.delivery_id for delivery in leaking}
        for delivery in leaking:
            self._lanes.finish(delivery)
        ended += leaking
        for delivery in batch:
            if delivery.delivery_id in stopped:
                continue
            if delivery.refers_to is None:
                ready.append(delivery)
                continue
            match resolve_own(self._conn, delivery):
                case Resolved(content):
                    ready.append(replace(delivery, content=content))
                case NotYet():
                    at = now + timedelta(seconds=WAIT_SECONDS)
                    error = "the message that it is about is still on its way"
                    later = deliveries.mark_retry(
                        self._conn, delivery.delivery_id, at, counts=False, error=error, now=now
                    )
                    self._lanes.put_back([later])
                case Never(reason):
                    deliveries.mark_failed(
                        self._conn, delivery.delivery_id, reason, now, Failure.REFUSED
                    )
                    self._lanes.finish(delivery)
                    ended.append(delivery)
        if ready:
            deliveries.mark_sending(self._conn, [item.delivery_id for item in ready], now)
        return ready

    def _send_all(self, batch: list[Delivery]) -> None:
        if not batch:
            return
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
            files=delivery.files,
            uncertain_policy=delivery.uncertain_policy,
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
        self._shorten_backlogs()
        results, self._results = self._results, []
        now = utc_now()
        again: list[Delivery] = []
        ended: list[Delivery] = []
        sent = [item for item in results if isinstance(item.answer, Delivered)]
        with transaction(self._conn):
            deliveries.mark_sent_many(self._conn, [_receipt(item) for item in sent], now)
            for result in sent:
                self._note_unsent_files(result.delivery, now)
            for result in results:
                later = self._record_unsent(result, now)
                if later is None:
                    self._lanes.finish(result.delivery)
                    ended.append(result.delivery)
                else:
                    again.append(later)
            self._lanes.put_back(again)
            ready = self._prepare(self._take(), ended)
        reached("delivery.settled")
        self._send_all(ready)
        for item in sent:
            log.info("message delivered", extra=_fields(item.delivery))
        delivered = tuple(item.delivery for item in sent)
        self._on_settled(Settled(self._as_they_are(ended), delivered))

    def _as_they_are(self, ended: list[Delivery]) -> tuple[Delivery, ...]:
        """Those with files once more from the books: whether they arrived decides what is kept."""
        return tuple(
            (deliveries.get(self._conn, item.delivery_id) or item) if item.files else item
            for item in ended
        )

    def _note_unsent_files(self, delivery: Delivery, now: datetime) -> None:
        """The worker puts a remark into the text; the agent has to know as well (C-62)."""
        capabilities = self._links.worker(delivery.instance).capabilities
        if not delivery.files or capabilities is None:
            return
        problem = unsent_files(delivery.files, capabilities)
        if problem is not None:
            both = "; ".join(text for text in (delivery.files_problem, problem) if text)
            delivery_steps.add_files_problem(self._conn, delivery.delivery_id, both, now)

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
            case GiveUp(expired):
                log.error("message given up", extra=fields)
                failure = Failure.EXPIRED if expired else Failure.PERMANENT
                deliveries.mark_failed(self._conn, delivery.delivery_id, error, now, failure)
                return None
            case HoldUncertain():
                log.warning("message uncertain", extra=fields)
                deliveries.mark_uncertain(self._conn, delivery.delivery_id, error, now)
                return None
            case _:
                assert_never(decision)


def unsent_files(files: Sequence[SpoolFile], capabilities: Capabilities) -> str | None:
    """What a channel with these capabilities leaves out, in words for the agent."""
    if capabilities.max_files == 0:
        return f"{', '.join(file.name for file in files)}: this channel takes no files"
    large = [file.name for file in files if file.size > capabilities.max_file_bytes]
    if not large:
        return None
    return f"{', '.join(large)}: too large, at most {capabilities.max_file_bytes} bytes"


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

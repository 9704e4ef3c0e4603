"""Outgoing messages of one worker: plan, journal, order, pacing, outcome (C section 1.9).

Driven by frames and by results from the pool, always on the reactor's thread. Everything that one
round of the loop brought is written to the journal with a single fsync, and only then do answers
leave and platform calls start. Uses ``plan``, ``lane``, ``pacing``; the calls are ``sending``'s.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.capabilities import Capabilities, IdempotentSend
from nanoclaw.channels.failure import ChannelFailure, RateScope
from nanoclaw.channels.journal import SendJournal
from nanoclaw.channels.lane import Chat, Job, Lane, Waiter
from nanoclaw.channels.pacing import Pacer
from nanoclaw.channels.plan import Revision, plan_parts, revise
from nanoclaw.channels.pool import Pool
from nanoclaw.channels.sending import (
    PASSED_BY,
    Sending,
    Step,
    StepFailed,
    StepResult,
    StepSent,
    holds_uncertain,
)
from nanoclaw.events import Deliver, Delivered, DeliveryFailed, FailureClass, Frame
from nanoclaw.reactor import Reactor, Timer

BATCH = 64
"""Parts handed over at once where the platform knows a repeated one (design section 4)."""
HOLD_SECONDS = 3.0
"""How long messages wait here for a connection that is being made, before they are sent back."""
BEHIND = DeliveryFailed(
    FailureClass.RATE_LIMITED, "an earlier message of this chat has to go first", retry_after_ms=1
)
"""Sent back behind a failed message: no attempt is counted, and order is kept by the host."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutboxParts:
    """What the outbox works with."""

    instance: str
    install_id: str
    capabilities: Capabilities
    journal: SendJournal
    pool: Pool
    sending: Sending
    on_sent: Callable[[Job], None]
    """Called once for every message that arrived, after the journal knows."""


class Outbox:
    """All messages that the host has handed over and that are not settled."""

    def __init__(self, reactor: Reactor, parts: OutboxParts) -> None:
        self._reactor = reactor
        self._parts = parts
        self._journal = parts.journal
        self._pacer = Pacer(parts.capabilities)
        self._lanes: dict[Chat, Lane] = {}
        self._jobs: dict[str, Job] = {}
        self._answers: list[tuple[Job, Frame]] = []
        self._scheduled = False
        self._planned = False
        self._stopping = False
        self._down: ChannelFailure | None = ChannelFailure(FailureClass.OFFLINE, "connecting")
        self._hold_timer: Timer | None = None
        self._pace_timer: Timer | None = None
        by_key = parts.capabilities.idempotent_send is IdempotentSend.KEY
        self._by_key = by_key
        self._most = BATCH if by_key and self._pacer.unlimited else 1

    @property
    def length(self) -> int:
        return len(self._jobs)

    @property
    def calls_under_way(self) -> bool:
        return any(lane.busy for lane in self._lanes.values())

    def accept(self, peer_request: Waiter, frame: Deliver) -> None:
        """Takes a message over; the answer comes when its fate is known."""
        ids = self._journal.finished_ids(frame.delivery_id)
        if ids is not None:
            peer_request.peer.answer(peer_request.request_id, Delivered(ids))
            return
        job = self._jobs.get(frame.delivery_id)
        if job is not None:
            job.waiters.append(peer_request)
            return
        refusal = self._refusal()
        if refusal is not None:
            peer_request.peer.answer(peer_request.request_id, refusal)
            return
        try:
            job = self._make_job(frame, peer_request)
        except ChannelFailure as failure:
            log.error("message refused", extra={**self._fields(frame), "reason": failure.detail})
            peer_request.peer.answer(peer_request.request_id, _answer(failure, 0))
            return
        self._jobs[frame.delivery_id] = job
        chat = (frame.platform_id, frame.thread_id)
        self._lanes.setdefault(chat, Lane(chat)).jobs.append(job)
        self._schedule()

    def connection_changed(self, down: ChannelFailure | None) -> None:
        """``None``: sending works. Otherwise why it does not."""
        self._down = down
        if down is None:
            if self._hold_timer is not None:
                self._hold_timer.cancel()
                self._hold_timer = None
            self._schedule()
        elif self._hold_timer is None:
            self._hold_timer = self._reactor.call_later(HOLD_SECONDS, self._send_back)

    def stop(self) -> None:
        """Starts no further call; what is under way may still end."""
        self._stopping = True

    def flush(self) -> None:
        """One journal commit, then the answers and calls that depend on it."""
        self._scheduled = False
        runs = [] if self._stopping or self._down is not None else self._take_runs()
        self._journal.commit()
        if self._planned:
            self._planned = False
            reached("worker.send_planned")
        self._give_answers()
        for steps in runs:
            self._parts.pool.put(partial(self._parts.sending.run, steps, self._report))
        if self._journal.wants_compaction:
            self._journal.compact(utc_now())

    def _refusal(self) -> DeliveryFailed | None:
        if self._stopping:
            return DeliveryFailed(FailureClass.OFFLINE, "the channel is stopping")
        if self._down is not None and self._hold_timer is None:
            return _answer(self._down, 0)
        wait = self._pacer.paused_until - self._reactor.now()
        if wait > 0:
            detail = "the platform asked for a pause"
            return DeliveryFailed(FailureClass.RATE_LIMITED, detail, int(wait * 1000) + 1)
        return None

    def _make_job(self, frame: Deliver, waiter: Waiter) -> Job:
        send = self._journal.open_send(frame.delivery_id)
        if send is None:
            parts = plan_parts(frame, self._parts.capabilities, self._parts.install_id)
            send = self._journal.plan(frame.delivery_id, parts, utc_now())
            self._planned = True
        index = len(send.ids)
        return Job(frame, send.parts, index, index in send.tried, [waiter])

    def _take_runs(self) -> list[list[Step]]:
        now = self._reactor.now()
        runs: list[list[Step]] = []
        earliest: float | None = None
        for lane in list(self._lanes.values()):
            if not lane.jobs:
                del self._lanes[lane.chat]
                continue
            if lane.busy:
                continue
            free_at = self._pacer.free_at(lane.chat, now)
            if free_at > now:
                earliest = free_at if earliest is None else min(earliest, free_at)
                continue
            steps = lane.next_steps(self._most)
            self._pacer.note_call(lane.chat, now)
            if not self._by_key:
                self._journal.tried(steps[0].delivery_id, steps[0].index)
            runs.append(steps)
        self._wait_until(earliest)
        return runs

    def _wait_until(self, due: float | None) -> None:
        if self._pace_timer is not None:
            self._pace_timer.cancel()
            self._pace_timer = None
        if due is not None:
            self._pace_timer = self._reactor.call_at(due, self.flush)

    def _report(self, results: Sequence[StepResult]) -> None:
        """Called on a thread of the pool."""
        self._reactor.post(lambda: self._on_results(results))

    def _on_results(self, results: Sequence[StepResult]) -> None:
        failed: list[Lane] = []
        for result in results:
            step = result.step
            job = self._jobs[step.delivery_id]
            job.under_way -= 1
            if isinstance(result, StepSent):
                self._part_sent(job, result)
            elif isinstance(result, StepFailed) and self._part_failed(job, result):
                failed.append(self._lanes[step.platform_id, step.thread_id])
        for lane in failed:
            for job in list(lane.jobs):
                self._settle(job, BEHIND)
        self._schedule()

    def _part_sent(self, job: Job, result: StepSent) -> None:
        job.index = result.step.index + 1
        job.doubtful = False
        if self._journal.sent(job.delivery_id, result.step.index, result.message_id, utc_now()):
            ids = self._journal.finished_ids(job.delivery_id) or ()
            self._settle(job, Delivered(ids))

    def _part_failed(self, job: Job, result: StepFailed) -> bool:
        """True if the lane must not go on."""
        failure, index = result.failure, result.step.index
        log.warning("send failed", extra={**self._fields(job.frame), "reason": str(failure)})
        self._journal.failed(job.delivery_id, index, failure.failure, failure.detail)
        revision = revise(job.parts, index, failure, job.cuts, self._parts.capabilities)
        if isinstance(revision, Revision):
            job.parts, job.cuts = revision.parts, revision.cuts
            job.doubtful = False
            self._journal.plan(job.delivery_id, revision.parts, utc_now())
            return False
        failure = revision
        if failure.failure is FailureClass.UNCERTAIN and not holds_uncertain(
            self._parts.capabilities, job.frame.uncertain_policy
        ):
            # Our own retry resolves it: by key, by asking, or by the policy to repeat.
            failure = ChannelFailure(FailureClass.TRANSIENT, failure.detail)
        if failure.failure is FailureClass.RATE_LIMITED and failure.scope is RateScope.ACCOUNT:
            self._pacer.pause(self._reactor.now() + (failure.retry_after_ms or 0) / 1000)
        self._settle(job, _answer(failure, job.index))
        return failure.failure not in PASSED_BY

    def _settle(self, job: Job, answer: Frame) -> None:
        """The answer leaves with the next commit."""
        self._answers.append((job, answer))
        del self._jobs[job.delivery_id]
        self._lanes[job.frame.platform_id, job.frame.thread_id].jobs.remove(job)

    def _give_answers(self) -> None:
        answers, self._answers = self._answers, []
        sent = [job for job, answer in answers if isinstance(answer, Delivered)]
        if sent:
            reached("worker.send_done")
        for job, answer in answers:
            for waiter in job.waiters:
                waiter.peer.answer(waiter.request_id, answer)
        if sent:
            reached("worker.send_answered")
            self._parts.sending.recorded([part.key for job in sent for part in job.parts])
            for job in sent:
                self._parts.on_sent(job)

    def _send_back(self) -> None:
        """The connection did not come: the host keeps the messages and tries again."""
        self._hold_timer = None
        if self._down is None:
            return
        for job in list(self._jobs.values()):
            if not self._lanes[job.frame.platform_id, job.frame.thread_id].busy:
                self._settle(job, _answer(self._down, job.index))
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._reactor.post(self.flush)

    def _fields(self, frame: Deliver) -> dict[str, object]:
        return {
            "channel": self._parts.instance,
            "message_id": frame.delivery_id,
            "attempt": frame.attempt,
        }


def _answer(failure: ChannelFailure, parts_done: int) -> DeliveryFailed:
    return DeliveryFailed(failure.failure, failure.detail, failure.retry_after_ms, parts_done)

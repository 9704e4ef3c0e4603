"""One open stream of a provider, and the rows that wait for its results.

Opened by the loop, which also pushes follow-ups into it; consumes the events in a task of its
own. A result settles exactly the rows of the tickets it covers, together with the messages it
led to, in one transaction (R-83, R-189). Between turns the stream stays open and costs nothing.
An answer that reached nobody keeps its rows, until the agent has been told and has answered again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from contract.clock import utc_now
from contract.inbound.row import InboundRow
from contract.killpoint import reached
from contract.outbound.row import NewOutbound
from runner.answer import (
    STILL_TRYING_TEXT,
    UNDELIVERED_TEXT,
    Source,
    Told,
    answer_rows,
    batch_taint,
    current_batch,
    notice_row,
    sent_blocks,
    settled,
    trouble_row,
)
from runner.change import Change
from runner.complaints import Complaints
from runner.decide import routing_row
from runner.errors import ENDS_THE_PROCESS, ProviderError, QueryEndedError, Trouble
from runner.incoming import Incoming
from runner.log import fields
from runner.providers.base import (
    Activity,
    AgentQuery,
    Began,
    Compacted,
    Event,
    Failure,
    Init,
    Progress,
    Prompt,
    Result,
    Said,
    Sent,
)
from runner.reply import Next
from runner.store import CURRENT_BATCH, Store
from runner.turn.beat import Beat, Holder
from runner.turn.conversation import Conversation
from runner.turn.current import CurrentTurn, DeskView
from runner.turn.dispatch import Dispatcher, Spoken
from runner.turn.notes import PendingNotes
from runner.turn.retrying import Retrying

_log = logging.getLogger(__name__)

MAX_WAITING = 3
"""Batches handed to the provider and not yet answered; further rows stay pending meanwhile."""
CLOSE_SECONDS = 3.0
LOGGED_TEXT = 200
FINISHED = frozenset({"end_turn", "stop_sequence"})
"""Reasons to stop after which an unclosed last block is taken as complete (R-136)."""


@dataclass(frozen=True, slots=True)
class QueryContext:
    """What a query needs of the loop; ``ring`` wakes it."""

    store: Store
    beat: Beat
    ring: Callable[[], None]
    complaints: Complaints
    conversation: Conversation
    current: CurrentTurn
    notes: PendingNotes
    desk: DeskView | None = None


class OpenQuery:
    """Made by the loop after the first rows are claimed."""

    def __init__(
        self, query: AgentQuery, items: tuple[Incoming, ...], context: QueryContext
    ) -> None:
        self._query = query
        self._context = context
        self._dispatcher = Dispatcher(context.store, context.notes)
        self._tickets: dict[int, tuple[Incoming, ...]] = {0: items}
        self._own_turn = False
        self._failed: Failure | None = None
        self._settling = False
        self._nudged = False
        self._said = False
        self._deliveries = self._deliveries_now()
        self._retrying = Retrying(asyncio.get_running_loop().time)
        self.failure: Exception | None = None
        self.ending = False
        self._hand(items)
        self._task = asyncio.create_task(self._consume())
        self._turn_began()

    @property
    def turn_running(self) -> bool:
        return bool(self._tickets) or self._own_turn

    @property
    def has_room(self) -> bool:
        return len(self._tickets) < MAX_WAITING

    @property
    def closed(self) -> bool:
        return self._task.done()

    def waiting_items(self) -> tuple[Incoming, ...]:
        """Rows whose turn has not ended, oldest first."""
        return tuple(item for ticket in sorted(self._tickets) for item in self._tickets[ticket])

    def push(self, prompt: Prompt, items: tuple[Incoming, ...]) -> None:
        """Raises QueryEndedError; the rows are then still the caller's."""
        if self.closed or self.ending:
            raise QueryEndedError("the stream is ending")
        idle = not self.turn_running
        self._tickets[self._query.push(prompt)] = items
        self._nudged = False
        self._hand(items)
        if idle:
            self._turn_began()

    def end(self) -> None:
        """What is queued is finished, then the stream closes."""
        self.ending = True
        self._query.end()

    def interrupt(self) -> None:
        self._query.interrupt()

    def expire(self, seconds: float) -> bool:
        """Breaks a turn off that runs longer than this; True when it did."""
        running_for = asyncio.get_running_loop().time() - self._began_at
        if not self.turn_running or self._settling or self.closed or running_for < seconds:
            return False
        self.failure = ProviderError(Trouble.OVERTIME, f"the turn ran for {running_for:.0f} s")
        self._query.abort()
        self._task.cancel()
        return True

    async def finish(self) -> None:
        """After ``closed``: raises what went wrong on our side; see ``failure`` for theirs."""
        self._context.beat.drop(Holder.TURN)
        self._context.current.set((), None)
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def abort(self) -> None:
        """Stops at once; claims stay as they are, for the next container."""
        self._context.beat.drop(Holder.TURN)
        self._query.abort()
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        if self._task.done() and not self._task.cancelled() and self._task.exception():
            _log.info(
                "query ended badly while leaving", extra=fields(reason=self._task.exception())
            )

    def _hand(self, items: tuple[Incoming, ...]) -> None:
        """Answers refer to the newest rows from now on (R-85)."""
        current, waiting = self._context.current, self.waiting_items()
        rows = tuple(item.row for item in waiting)
        current.set(rows, routing_row(items) or current.routing, batch_taint(waiting))

    def _turn_began(self) -> None:
        self._began_at = asyncio.get_running_loop().time()
        self._context.beat.hold(Holder.TURN)

    async def _consume(self) -> None:
        try:
            async for event in self._query.events():
                self._context.beat.note_sign()
                self._settling = True  # a transaction of ours is not broken off by ``expire``
                try:
                    await self._on_event(event)
                finally:
                    self._settling = False
        except ENDS_THE_PROCESS:
            raise
        except Exception as error:  # noqa: BLE001 foreign code; the loop tells the user
            self.failure = error
        finally:
            self._context.ring()

    async def _on_event(self, event: Event) -> None:
        match event:
            case Init(continuation):
                await self._remember(continuation)
            case Began():
                self._own_turn = True
                self._turn_began()
            case Said():
                self._retrying.reset()
                await self._on_said(event)
            case Result():
                self._retrying.reset()
                await self._on_result(event)
            case Failure():
                await self._on_failure(event)
            case Progress(message):
                self._retrying.reset()
                _log.debug("progress", extra=fields(reason=message[:LOGGED_TEXT]))
            case Compacted(before, after):
                _log.info("conversation compacted", extra=fields(reason=f"{before} -> {after}"))
            case Activity():
                pass

    async def _remember(self, continuation: str) -> None:
        conversation = self._context.conversation
        if continuation == conversation.continuation:
            return
        await self._context.store.apply(conversation.remembering(continuation, Change()))
        conversation.remember(continuation)

    async def _on_failure(self, failure: Failure) -> None:
        reason = f"{failure.trouble}: {failure.message[:LOGGED_TEXT]}"
        _log.warning("provider error", extra=fields(reason=reason))
        if not failure.retryable:
            self._failed = failure
        elif self._retrying.is_worth_a_word():
            messages = self._notice(STILL_TRYING_TEXT, routing_row(self.waiting_items()))
            await self._context.store.apply(Change(messages=messages))

    async def _on_said(self, said: Said) -> None:
        """Complete blocks in mid-turn are sent at once; what they answer stays open (R-241)."""
        items = self.waiting_items()
        spoken = Spoken(said.text, finished=False, commentary=True)
        plan = (await self._dispatcher.dispatch(spoken, items)).plan
        self._said = self._said or plan.handled
        messages = answer_rows(plan, items, utc_now(), Source(said.origin, said.taint))
        if messages:
            await self._context.store.apply(Change(messages=messages))
            reached("runner.said")
            self._query.note_sent(said.origin, sent_blocks(plan, messages))

    async def _on_result(self, result: Result) -> None:
        reached("runner.turn_done")
        covered = sorted(ticket for ticket in self._tickets if ticket <= result.covers)
        items = tuple(item for ticket in covered for item in self._tickets[ticket])
        answer = await self._answer(result, items)
        if answer.nudge:
            if self._nudge(answer.nudge, covered, items):
                return
            answer = await self._answer(result, items)  # the stream takes no more: as it is
        left = tuple(
            item
            for ticket in sorted(self._tickets)
            if ticket not in covered
            for item in self._tickets[ticket]
        )
        if answer.start_anew:
            await self._start_anew(answer, items, left)
            return
        await self._context.store.apply(_settling_change(answer, items, left))
        reached("runner.answered")
        if result.origin is not None:
            self._query.note_sent(result.origin, answer.sent)
        for ticket in covered:
            del self._tickets[ticket]
        self._turn_ended()

    async def _answer(self, result: Result, items: tuple[Incoming, ...]) -> "_Answer":
        failed, self._failed = self._failed, None
        routing = routing_row(items)
        if not result.text:
            if failed is None:
                return _Answer()
            messages = self._complaint(failed, routing)
            return _Answer(messages, start_anew=failed.trouble is Trouble.TOO_LARGE)
        self._context.complaints.turn_went_well()
        dispatched = await self._dispatcher.dispatch(
            Spoken(
                result.text,
                finished=result.stop_reason in FINISHED,
                delivered=self._said or self._deliveries_now() != self._deliveries,
                nudged=self._nudged or self.ending,
                bare_ok=result.bare_ok,
            ),
            items,
        )
        plan = dispatched.plan
        messages = answer_rows(plan, items, utc_now(), Source(result.origin, result.taint))
        sent = sent_blocks(plan, messages)
        if plan.next is Next.UNDELIVERABLE:
            messages += self._notice(UNDELIVERED_TEXT, routing)
        return _Answer(messages, dispatched.nudge, sent=sent)

    def _nudge(self, note: str, covered: list[int], items: tuple[Incoming, ...]) -> bool:
        """The rows stay open until the agent has answered once more (R-86)."""
        try:
            ticket = self._query.push(Prompt(text="", words="", notes=(note,)))
        except QueryEndedError:
            self.ending = True
            return False
        _log.info("agent told that nothing was delivered", extra=fields(count=len(items)))
        for answered in covered:
            del self._tickets[answered]
        self._tickets[ticket] = items
        self._nudged = True
        reached("runner.nudged")
        return True

    async def _start_anew(
        self, answer: "_Answer", items: tuple[Incoming, ...], left: tuple[Incoming, ...]
    ) -> None:
        """The conversation is too large for any turn: the other rows go into a new one."""
        conversation = self._context.conversation
        await conversation.archive()
        change = _settling_change(answer, items, ())
        release = tuple(item.row.id for item in left)
        await self._context.store.apply(conversation.forgetting(replace(change, release=release)))
        reached("runner.answered")
        conversation.forget()
        self._tickets.clear()
        self.ending = True
        self._query.abort()
        self._turn_ended()

    def _turn_ended(self) -> None:
        left = self.waiting_items()
        rows = tuple(item.row for item in left)
        self._context.current.set(rows, routing_row(left), batch_taint(left))
        self._own_turn = self._said = self._nudged = False
        self._deliveries = self._deliveries_now()
        self._retrying.turn_ended()
        if self._tickets:
            self._turn_began()
        else:
            self._context.beat.drop(Holder.TURN)
        self._context.ring()

    def _complaint(self, failed: Failure, routing: InboundRow | None) -> tuple[NewOutbound, ...]:
        """A turn without text is told of only when the provider named a trouble (R-90)."""
        complaints = self._context.complaints
        complaints.turn_failed(failed.trouble)
        if routing is None or complaints.is_tiresome(routing.address):
            return ()
        complaints.note(routing.address)
        return (trouble_row(Told(failed.trouble, shown=failed.shown), routing, utc_now()),)

    def _notice(self, text: str, routing: InboundRow | None) -> tuple[NewOutbound, ...]:
        complaints = self._context.complaints
        if routing is None or routing.address.is_empty or complaints.is_tiresome(routing.address):
            return ()
        complaints.note(routing.address)
        return (notice_row(text, routing, utc_now()),)

    def _deliveries_now(self) -> int:
        return 0 if self._context.desk is None else self._context.desk.deliveries


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a result leads to. ``start_anew``: the conversation cannot go on."""

    messages: tuple[NewOutbound, ...] = ()
    nudge: str = ""
    start_anew: bool = False
    sent: tuple[Sent, ...] = ()


def _settling_change(
    answer: _Answer, items: tuple[Incoming, ...], left: tuple[Incoming, ...]
) -> Change:
    """Messages and the end of what they answer, as one transaction."""
    change = settled(items)
    return replace(
        change,
        messages=answer.messages,
        state=(*change.state, (CURRENT_BATCH, current_batch(left) if left else None)),
        forget_effects=not left,
    )

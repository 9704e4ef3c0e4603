"""One open stream of a provider, and the rows that wait for its results.

Opened by the loop, which also pushes follow-ups into it; consumes the events in a task of its
own. A result settles exactly the rows of the tickets it covers, together with the messages it
led to, in one transaction (R-83, R-189). Between turns the stream stays open and costs nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from contract.clock import utc_now
from contract.inbound.row import InboundRow
from contract.killpoint import reached
from contract.outbound.row import NewOutbound
from runner.answer import answer_rows, current_batch, trouble_row
from runner.change import Change
from runner.complaints import Complaints
from runner.decide import routing_row
from runner.errors import ENDS_THE_PROCESS, ProviderError, QueryEndedError, Trouble
from runner.heartbeat import Heartbeat
from runner.incoming import Incoming
from runner.log import fields
from runner.providers.base import (
    Activity,
    AgentQuery,
    Compacted,
    Event,
    Failure,
    Init,
    Progress,
    Prompt,
    Result,
)
from runner.reply import ReplyFacts, addressed, decide_reply, parse_reply
from runner.store import CURRENT_BATCH, Store

_log = logging.getLogger(__name__)

MAX_WAITING = 3
"""Batches handed to the provider and not yet answered; further rows stay pending meanwhile."""
CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class QueryContext:
    """What a query needs of the loop; ``ring`` wakes it."""

    store: Store
    heartbeat: Heartbeat
    continuation_key: str
    ring: Callable[[], None]
    complaints: Complaints


class OpenQuery:
    """Made by the loop after the first rows are claimed."""

    def __init__(
        self,
        query: AgentQuery,
        items: tuple[Incoming, ...],
        continuation: str | None,
        context: QueryContext,
    ) -> None:
        self._query = query
        self._context = context
        self._tickets: dict[int, tuple[Incoming, ...]] = {0: items}
        self._trouble: Trouble | None = None
        self._settling = False
        self.continuation = continuation
        self.failure: Exception | None = None
        self.ending = False
        self._task = asyncio.create_task(self._consume())
        self._turn_began()

    @property
    def turn_running(self) -> bool:
        return bool(self._tickets)

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
        idle = not self._tickets
        self._tickets[self._query.push(prompt)] = items
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
        if not self._tickets or self._settling or self.closed or running_for < seconds:
            return False
        self.failure = ProviderError(Trouble.OVERTIME, f"the turn ran for {running_for:.0f} s")
        self._query.abort()
        self._task.cancel()
        return True

    async def finish(self) -> None:
        """After ``closed``: raises what went wrong on our side; see ``failure`` for theirs."""
        self._context.heartbeat.end()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def abort(self) -> None:
        """Stops at once; claims stay as they are, for the next container."""
        self._context.heartbeat.end()
        self._query.abort()
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        if self._task.done() and not self._task.cancelled() and self._task.exception():
            _log.info(
                "query ended badly while leaving", extra=fields(reason=self._task.exception())
            )

    def _turn_began(self) -> None:
        self._began_at = asyncio.get_running_loop().time()
        self._context.heartbeat.begin()

    async def _consume(self) -> None:
        try:
            async for event in self._query.events():
                self._context.heartbeat.note_sign()
                await self._on_event(event)
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
            case Result():
                self._settling = True
                try:
                    await self._on_result(event)
                finally:
                    self._settling = False
            case Failure(trouble, message, retryable):
                _log.warning("provider error", extra=fields(reason=f"{trouble}: {message[:200]}"))
                if not retryable:
                    self._trouble = trouble
            case Progress(message):
                _log.debug("progress", extra=fields(reason=message[:200]))
            case Compacted(before, after):
                _log.info("conversation compacted", extra=fields(reason=f"{before} -> {after}"))
            case Activity():
                pass

    async def _remember(self, continuation: str) -> None:
        if continuation == self.continuation:
            return
        key = self._context.continuation_key
        await self._context.store.apply(Change(state=((key, continuation),)))
        self.continuation = continuation

    async def _on_result(self, result: Result) -> None:
        reached("runner.turn_done")
        covered = sorted(ticket for ticket in self._tickets if ticket <= result.covers)
        items = tuple(item for ticket in covered for item in self._tickets[ticket])
        left = tuple(
            item for item in self.waiting_items() if all(item is not taken for taken in items)
        )
        messages = await self._messages(result, items)
        await self._context.store.apply(
            Change(
                complete=tuple(item.row.id for item in items),
                messages=messages,
                state=((CURRENT_BATCH, current_batch(left) if left else None),),
            )
        )
        reached("runner.answered")
        for ticket in covered:
            del self._tickets[ticket]
        if self._tickets:
            self._turn_began()
        else:
            self._context.heartbeat.end()
        self._context.ring()

    async def _messages(
        self, result: Result, items: tuple[Incoming, ...]
    ) -> tuple[NewOutbound, ...]:
        trouble, self._trouble = self._trouble, None
        routing = routing_row(items)
        if not result.text:
            return self._complaint(trouble, routing)
        reply = parse_reply(result.text)
        destinations = await self._context.store.destinations() if reply.blocks else ()
        newest = {
            address: row
            for address in addressed(reply, destinations)
            if (row := await self._context.store.newest_from(address)) is not None
        }
        plan = decide_reply(
            reply,
            ReplyFacts(destinations, routing, tuple(item.row for item in items), newest),
        )
        if plan.unknown or plan.unsaid:
            reason = f"unknown: {', '.join(plan.unknown)}" if plan.unknown else "outside of blocks"
            _log.info("text not delivered", extra=fields(reason=reason, count=len(plan.unsaid)))
        return answer_rows(plan, items, utc_now())

    def _complaint(
        self, trouble: Trouble | None, routing: InboundRow | None
    ) -> tuple[NewOutbound, ...]:
        """A turn without text is told of only when the provider named a trouble (R-90)."""
        complaints = self._context.complaints
        if trouble is None or routing is None or complaints.is_tiresome(routing.address):
            return ()
        complaints.note(routing.address)
        return (trouble_row(trouble, routing, utc_now()),)

"""The runner's loop: read what is due, decide, claim, hand to the provider, settle.

Called by ``program``; decisions are in ``decide``, a stream's events in ``query``, files
in ``store``. Everything that happens rings one bell, and every ``tick`` looks at everything, so a
lost or doubled hint changes nothing. Claims that a killed runner leaves are freed by the next
one, which has another lease.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from contract.address import Address
from contract.clock import utc_now
from contract.errors import SessionFileBusy, SessionFileMissing
from contract.inbound.reader import PendingBatch
from contract.killpoint import reached
from runner.answer import claim_change
from runner.change import Change
from runner.complaints import Complaints
from runner.decide import BatchFacts, EndQuery, Stream, TurnPlan, Wait, decide_batch
from runner.errors import (
    ENDS_THE_PROCESS,
    GiveUpError,
    ProviderError,
    QueryEndedError,
    Trouble,
)
from runner.failure import FailureDesk
from runner.heartbeat import Heartbeat
from runner.incoming import Incoming, read_incoming
from runner.log import fields
from runner.patience import Patience
from runner.prompt import PromptFacts, build_prompt
from runner.providers.base import Prompt, Provider, QueryInput
from runner.query import OpenQuery, QueryContext
from runner.settings import Settings
from runner.store import Store, continuation_key
from runner.wakeup import Wakeup
from runner.zone import find_zone

_log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 60.0
"""Clocks jump; a due time is compared again at least this often."""
CLEAN_AFTER_SECONDS = 3.0
RETRY_SECONDS = 0.25
ROWS_SEARCHED_FOR_STOP = 200
"""While nothing else can be taken, /stop is heard even behind so many waiting messages."""
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class LoopParts:
    """What ``program`` has built."""

    settings: Settings
    store: Store
    provider: Provider
    wakeup: Wakeup
    heartbeat: Heartbeat


class Loop:
    """``run`` returns on an idle end and after ``request_stop``; everything else is raised."""

    def __init__(self, parts: LoopParts) -> None:
        clock = asyncio.get_running_loop().time
        self._settings = parts.settings
        self._store = parts.store
        self._provider = parts.provider
        self._wakeup = parts.wakeup
        self._heartbeat = parts.heartbeat
        self._clock = clock
        self._patience = Patience(clock)
        key = continuation_key(self._settings.provider)
        complaints = Complaints(clock)
        self._failures = FailureDesk(self._store, self._provider, key, complaints)
        self._context = QueryContext(
            self._store, self._heartbeat, key, self._wakeup.ring, complaints
        )
        self._open: OpenQuery | None = None
        self._continuation: str | None = None
        self._first_poll = True
        self._next_due: datetime | None = None
        self._last_activity = clock()
        self._clean_wanted = True
        self._stopping = False

    async def run(self) -> None:
        self._heartbeat.touch()
        try:
            self._continuation = await self._store.start(self._settings.provider)
            while not self._stopping:
                self._wakeup.clear()
                wait_seconds = await self._guarded_tick()
                if wait_seconds is None:
                    _log.info("idle for long enough, leaving")
                    return
                await self._wakeup.wait(wait_seconds)
        except GiveUpError:
            if not self._stopping:
                raise
        finally:
            await self._close()

    def request_stop(self) -> None:
        """Claims stay as they are (R-4); the next container takes the rows up again."""
        self._stopping = True
        self._store.stop_retrying()
        self._wakeup.ring()

    async def _guarded_tick(self) -> float | None:
        try:
            wait_seconds = await self._tick()
        except (SessionFileBusy, SessionFileMissing) as error:
            self._patience.transient(error)
            return RETRY_SECONDS
        except ENDS_THE_PROCESS:
            raise
        except Exception as error:  # noqa: BLE001 the loop's door: bounded by Patience
            _log.exception("a pass of the loop failed")
            self._patience.failure(error)
            return RETRY_SECONDS
        self._patience.good()
        return wait_seconds

    async def _tick(self) -> float | None:
        """One look at everything; how long nothing needs us, None for "leave"."""
        await self._settle_closed_query()
        self._expire_turn()
        stream = self._stream_state()
        batch = await self._read_batch(stream)
        decision = decide_batch(
            BatchFacts(
                items=read_incoming(batch.rows),
                omitted=batch.omitted,
                stream=stream,
                turn_running=self._turn_running,
            )
        )
        match decision:
            case Wait():
                return await self._rest()
            case EndQuery():
                assert self._open is not None
                self._open.end()
                return self._wait_seconds()
            case TurnPlan():
                await self._carry_out(decision)
                return 0.0 if batch.more or decision.left else self._wait_seconds()
            case _:
                assert_never(decision)

    def _stream_state(self) -> Stream:
        if self._open is None:
            return Stream.NONE
        if self._open.ending:
            return Stream.ENDING
        return Stream.OPEN if self._open.has_room else Stream.FULL

    async def _read_batch(self, stream: Stream) -> PendingBatch:
        limit = self._settings.config.max_messages_per_prompt
        if stream in (Stream.FULL, Stream.ENDING):
            limit = max(limit, ROWS_SEARCHED_FOR_STOP)
        batch = await self._store.read_batch(limit, first_poll=self._first_poll)
        self._first_poll = False
        self._next_due = batch.next_due_at
        reached("runner.polled")
        return batch

    async def _carry_out(self, plan: TurnPlan) -> None:
        self._last_activity = self._clock()
        self._clean_wanted = True
        await self._store.apply(claim_change(plan, self._context.continuation_key, utc_now()))
        reached("runner.claimed")
        if plan.forget:
            self._continuation = None
        if plan.interrupt and self._open is not None:
            self._open.interrupt()
        if plan.items:
            await self._hand_over(plan)

    async def _hand_over(self, plan: TurnPlan) -> None:
        """The rows are claimed: they reach the provider, are freed, or are settled as failed."""
        ids = tuple(item.row.id for item in plan.items)
        try:
            prompt = await self._prompt(plan)
            if self._open is None:
                self._open = self._open_query(prompt, plan.items)
            else:
                self._open.push(prompt, plan.items)
        except QueryEndedError:
            await self._store.apply(Change(release=ids))
            self._wakeup.ring()
        except ENDS_THE_PROCESS:
            raise
        except Exception as error:  # noqa: BLE001 the loop's door: these rows fail, not the agent
            self._continuation = await self._failures.settle(error, plan.items, self._continuation)
        reached("runner.turn_started")

    def _open_query(self, prompt: Prompt, items: tuple[Incoming, ...]) -> OpenQuery:
        query = self._provider.query(
            QueryInput(prompt, self._continuation, self._settings.paths.workspace)
        )
        return OpenQuery(query, items, self._continuation, self._context)

    async def _prompt(self, plan: TurnPlan) -> Prompt:
        destinations = await self._store.destinations()
        zone_name, zone = find_zone(self._settings.session.timezone)
        facts = PromptFacts(
            zone_name=zone_name,
            zone=zone,
            omitted=plan.omitted,
            names={
                Address(d.address.channel_type, d.address.platform_id): d.name
                for d in reversed(destinations)  # of several names, the first one counts
            },
            files_dir=str(self._settings.paths.in_dir),
        )
        return build_prompt(plan.items, facts)

    async def _settle_closed_query(self) -> None:
        """A stream that is over: its rows are answered, or the reason is told."""
        ended = self._open
        if ended is None or not ended.closed:
            return
        self._open = None
        self._last_activity = self._clock()
        self._continuation = ended.continuation
        await ended.finish()
        items = ended.waiting_items()
        failure = ended.failure
        if failure is None and items:
            failure = ProviderError(Trouble.UNEXPECTED, "the stream ended without a result")
        if failure is not None:
            self._continuation = await self._failures.settle(failure, items, self._continuation)

    def _expire_turn(self) -> None:
        limit = self._settings.session.limits.turn_seconds
        if limit is not None and self._open is not None and self._open.expire(limit):
            _log.warning("turn broken off", extra=fields(reason="limit of the session"))

    async def _rest(self) -> float | None:
        """Nothing to do: clean up once per quiet spell, and leave when it lasts."""
        if self._turn_running:
            self._last_activity = self._clock()
            return self._wait_seconds()
        quiet_for = self._clock() - self._last_activity
        idle_exit = self._settings.idle_exit_seconds
        if idle_exit > 0 and quiet_for >= idle_exit:
            return None
        if self._clean_wanted and quiet_for >= CLEAN_AFTER_SECONDS:
            self._clean_wanted = False
            await self._store.clean()
        return self._wait_seconds()

    def _wait_seconds(self) -> float:
        waits = [LONGEST_WAIT_SECONDS]
        if self._next_due is not None:
            waits.append((self._next_due - utc_now()).total_seconds() + 0.001)
        quiet_for = self._clock() - self._last_activity
        if self._turn_running:
            limit = self._settings.session.limits.turn_seconds
            waits += [1.0] if limit is not None else []
        else:
            idle_exit = self._settings.idle_exit_seconds
            waits += [idle_exit - quiet_for] if idle_exit > 0 else []
            waits += [CLEAN_AFTER_SECONDS - quiet_for] if self._clean_wanted else []
        return max(min(waits), 0.0)

    @property
    def _turn_running(self) -> bool:
        return self._open is not None and self._open.turn_running

    async def _close(self) -> None:
        """Bounded: whatever does not end in time ends with the process."""
        if self._open is not None:
            await self._open.abort()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._provider.close()
        except Exception as error:  # noqa: BLE001 foreign code, and we are leaving anyway
            _log.warning("provider did not close", extra=fields(reason=repr(error)))

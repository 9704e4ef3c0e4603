"""The runner's loop: read what is due, decide, claim, hand to the provider, settle.

Called by ``program``; decisions are in ``decide``, a stream's events in ``query``, files
in ``store``. Everything that happens rings one bell, and every ``tick`` looks at everything, so a
lost or doubled hint changes nothing. Claims that a killed runner leaves are freed by the next
one, which has another lease.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from contract.address import AGENT_CHANNEL, NOWHERE
from contract.clock import utc_now
from contract.errors import SessionFileBusy, SessionFileMissing
from contract.inbound.reader import PendingBatch
from contract.inbound.row import InboundRow
from contract.killpoint import reached
from runner.answer import claim_change
from runner.change import Change
from runner.complaints import Complaints
from runner.decide import (
    BatchDecision,
    BatchFacts,
    EndQuery,
    Stream,
    TurnPlan,
    Wait,
    decide_batch,
)
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
from runner.providers.base import Prompt, Provider, QueryInput
from runner.query import OpenQuery, QueryContext
from runner.settings import Settings
from runner.store import Store
from runner.toolbox.base import Toolbox
from runner.turn.beat import Beat
from runner.turn.beside import Beside, BesideParts
from runner.turn.conversation import Conversation, quietly
from runner.turn.current import CurrentTurn, DeskView, SkillBody
from runner.turn.notes import PendingNotes
from runner.turn.prompting import PromptMaker
from runner.turn.system_rows import SystemRows
from runner.wakeup import Wakeup

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
    """What ``program`` has built. Without the optional ones there are no tools and no skills."""

    settings: Settings
    store: Store
    provider: Provider
    wakeup: Wakeup
    heartbeat: Heartbeat
    current: CurrentTurn = field(default_factory=CurrentTurn)
    desk: DeskView | None = None
    toolbox: Toolbox | None = None
    skill_body: SkillBody | None = None
    environment: Mapping[str, str] | None = None
    """What scripts of tasks get (R-101); None: what this process has."""


class Loop:
    """``run`` returns on an idle end and after ``request_stop``; everything else is raised."""

    def __init__(self, parts: LoopParts) -> None:
        clock = asyncio.get_running_loop().time
        self._parts = parts
        self._settings = parts.settings
        self._store = parts.store
        self._provider = parts.provider
        self._clock = clock
        self._patience = Patience(clock)
        self._beat = Beat(parts.heartbeat)
        self._conversation = Conversation(parts.provider, self._settings.provider)
        complaints = Complaints(clock)
        notes = PendingNotes()
        self._failures = FailureDesk(self._store, self._provider, self._conversation, complaints)
        self._context = QueryContext(
            store=self._store,
            beat=self._beat,
            ring=parts.wakeup.ring,
            complaints=complaints,
            conversation=self._conversation,
            current=parts.current,
            notes=notes,
            desk=parts.desk,
        )
        self._prompts = PromptMaker(
            self._settings, self._store, notes, parts.skill_body, self._provider.commands
        )
        self._system = SystemRows(self._store, parts.desk, self._settings.paths.inbound_db, clock)
        self._beside = Beside(
            BesideParts(
                self._settings.paths,
                parts.environment,
                self._provider,
                self._store,
                self._beat,
                self._conversation,
                parts.wakeup.ring,
            )
        )
        self._open: OpenQuery | None = None
        self._first_poll = True
        self._next_due: datetime | None = None
        self._last_activity = clock()
        self._clean_wanted = True
        self._stopping = False

    async def run(self) -> None:
        self._parts.heartbeat.touch()
        wakeup = self._parts.wakeup
        try:
            self._conversation.adopt(await self._store.start(self._settings.provider))
            while not self._stopping:
                wakeup.clear()
                wait_seconds = await self._guarded_tick()
                if wait_seconds is None:
                    _log.info("idle for long enough, leaving")
                    return
                await wakeup.wait(wait_seconds)
        except GiveUpError:
            if not self._stopping:
                raise
        finally:
            await self._close()

    def request_stop(self) -> None:
        """Claims stay as they are (R-4); the next container takes the rows up again."""
        self._stopping = True
        self._store.stop_retrying()
        self._parts.wakeup.ring()

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
        await self._look_beside()
        self._expire_turn()
        stream = self._stream_state()
        batch = await self._read_batch(stream)
        decision = self._decide(await self._incoming(batch.rows), batch.omitted, stream)
        if isinstance(decision, Wait) and stream in (Stream.NONE, Stream.OPEN):
            late = await self._system.late_answers()
            decision = self._decide(await self._incoming(late), (), stream)
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

    async def _incoming(self, rows: tuple[InboundRow, ...]) -> tuple[Incoming, ...]:
        noted = any(row.address.channel_type == AGENT_CHANNEL for row in rows)
        home = await self._store.home() if noted else NOWHERE
        return read_incoming(rows, self._settings.session.agent_group_id, home)

    def _decide(
        self, items: tuple[Incoming, ...], omitted: tuple[str, ...], stream: Stream
    ) -> BatchDecision:
        return decide_batch(
            BatchFacts(
                items=items,
                omitted=omitted,
                stream=stream,
                turn_running=self._turn_running or self._beside.compacting,
                commands=self._provider.commands,
            )
        )

    def _stream_state(self) -> Stream:
        if self._beside.compacting:
            return Stream.ENDING
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
        change = claim_change(plan, utc_now())
        if plan.forget:
            await self._conversation.archive()
            change = self._conversation.forgetting(change)
        await self._store.apply(change)
        reached("runner.claimed")
        if plan.forget:
            self._conversation.forget()
            await self._reset_toolbox()
        if plan.interrupt:
            self._interrupt()
        if plan.commands:
            self._beside.take_commands(plan.commands)
        passed = self._beside.hold_back(plan)
        await self._hand_over(passed.items, passed.omitted)

    async def _look_beside(self) -> None:
        """Hands over what scripts have let through, as soon as the stream takes it."""
        self._beside.raise_failure()
        for error, items in self._beside.failed():
            if isinstance(error, ENDS_THE_PROCESS):
                raise error
            await self._failures.settle(error, items)
        if self._stream_state() in (Stream.NONE, Stream.OPEN):
            passed = self._beside.passed()
            await self._hand_over(passed.items, passed.omitted)

    async def _hand_over(self, items: tuple[Incoming, ...], omitted: int) -> None:
        """The rows are claimed: they reach the provider, are freed, or are settled as failed."""
        if not items:
            return
        try:
            made = await self._prompts.make(items, omitted)
            if self._open is None:
                self._open = self._open_query(made.prompt, items)
            else:
                self._open.push(made.prompt, items)
            self._prompts.note_told(made)
        except QueryEndedError:
            await self._store.apply(Change(release=tuple(item.row.id for item in items)))
            self._parts.wakeup.ring()
        except ENDS_THE_PROCESS:
            raise
        except Exception as error:  # noqa: BLE001 the loop's door: these rows fail, not the agent
            await self._failures.settle(error, items)
        reached("runner.turn_started")

    def _open_query(self, prompt: Prompt, items: tuple[Incoming, ...]) -> OpenQuery:
        known = self._conversation
        query = self._provider.query(
            QueryInput(prompt, known.continuation, self._settings.paths.workspace, known.foreign)
        )
        return OpenQuery(query, items, self._context)

    def _interrupt(self) -> None:
        if self._open is not None and self._open.turn_running:
            self._open.interrupt()
        self._beside.stop()

    async def _reset_toolbox(self) -> None:
        if self._parts.toolbox is not None:
            await quietly(self._parts.toolbox.reset(), CLOSE_SECONDS, "reset of the tools")

    async def _settle_closed_query(self) -> None:
        """A stream that is over: its rows are answered, or the reason is told."""
        ended = self._open
        if ended is None or not ended.closed:
            return
        self._open = None
        self._last_activity = self._clock()
        await ended.finish()
        items = ended.waiting_items()
        failure = ended.failure
        if failure is None and items:
            failure = ProviderError(Trouble.UNEXPECTED, "the stream ended without a result")
        if failure is not None:
            await self._failures.settle(failure, items)

    def _expire_turn(self) -> None:
        limit = self._turn_seconds
        if limit is not None and self._open is not None and self._open.expire(limit):
            _log.warning("turn broken off", extra=fields(reason=f"limit of {limit} s"))

    async def _rest(self) -> float | None:
        """Nothing to do: clean up once per quiet spell, and leave when it lasts."""
        if self._busy:
            self._last_activity = self._clock()
            if self._turn_running and self._has_patient_tool:
                self._beat.note_sign()
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
        system = self._system.wait_seconds()
        if system is not None and self._stream_state() in (Stream.NONE, Stream.OPEN):
            waits.append(system)
        quiet_for = self._clock() - self._last_activity
        if self._turn_running:
            waits += [1.0] if self._turn_seconds is not None else []
        else:
            idle_exit = self._settings.idle_exit_seconds
            waits += [idle_exit - quiet_for] if idle_exit > 0 else []
            waits += [CLEAN_AFTER_SECONDS - quiet_for] if self._clean_wanted else []
        return max(min(waits), 0.0)

    @property
    def _turn_seconds(self) -> float | None:
        """The session's limit, or the shorter one of the group (R-332)."""
        limits = (
            self._settings.session.limits.turn_seconds,
            self._settings.config.max_turn_seconds,
        )
        return min((limit for limit in limits if limit), default=None)

    @property
    def _turn_running(self) -> bool:
        return self._open is not None and self._open.turn_running

    @property
    def _has_patient_tool(self) -> bool:
        """A question is open or a background command runs; both have a time limit of their own."""
        return self._parts.toolbox is not None and self._parts.toolbox.busy

    @property
    def _busy(self) -> bool:
        """Reasons not to leave (R-94)."""
        return (
            self._turn_running or self._provider.busy or self._has_patient_tool or self._beside.busy
        )

    async def _close(self) -> None:
        """Bounded: whatever does not end in time ends with the process."""
        if self._open is not None:
            await self._open.abort()
        closing = [
            quietly(self._beside.close(), CLOSE_SECONDS, "ending scripts and commands"),
            quietly(self._provider.close(), CLOSE_SECONDS, "closing the provider"),
        ]
        if self._parts.toolbox is not None:
            closing.append(quietly(self._parts.toolbox.close(), CLOSE_SECONDS, "closing the tools"))
        await asyncio.gather(*closing)

"""One turn: from an input to its result, over as many model calls and tools as it takes (R-240).

Run by ``engine`` in a task of its own, so that an interrupt can cancel it at any await; everything
that must not be torn (appending a record and what follows from it) happens without one. A turn ends
in exactly one Result or in an exception (R-331).
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from runner.errors import ProviderError, Trouble
from runner.log import fields
from runner.providers.base import Activity, EffectMemory, Failure, Origin, Result, Said
from runner.providers.claude.calls import Called, Emit, ModelCalls
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.decide import (
    CompactAndRetry,
    ContinueTruncated,
    Counters,
    Fail,
    Finish,
    Refused,
    Resume,
    RunTools,
    decide_answer,
)
from runner.providers.claude.errors import CallClass, CallError
from runner.providers.claude.intake import Intake
from runner.providers.claude.ledger import Ledger
from runner.providers.claude.limits import Spent, TurnLimits, decide_limit
from runner.providers.claude.mainline import Mainline
from runner.providers.claude.message import Block, Response
from runner.providers.claude.records import Record, TurnStatus, UserKind
from runner.providers.claude.redelivery import (
    AlreadyAnswered,
    Fresh,
    Interrupted,
    Overlap,
    decide_redelivery,
)
from runner.providers.claude.repair import INTERRUPTED, result_block
from runner.providers.claude.request import note_block
from runner.providers.claude.settle import settle_open_calls
from runner.providers.claude.steering import Input, InputQueue
from runner.providers.claude.toolrun import CUT_OFF, NOT_RUN, ToolRunner, in_order
from runner.providers.claude.usage import UsageKind
from runner.providers.claude.window import Window

_log = logging.getLogger(__name__)

_MESSAGE_BLOCK = re.compile(r"<message\s[^>]*\bto\s*=.*?</message\s*>", re.DOTALL)
GO_ON = (
    "Your answer was cut off at its length limit. Message blocks that were complete have been "
    "sent; write a block that was cut off again as a whole, and continue where you stopped."
)
DECLINED = (
    "An earlier message at this place was declined by the model's safety system and has been "
    "removed. Do not try to answer it."
)
STOPPED = "The user stopped you here. Do not continue this work unless you are asked to."


@dataclass(frozen=True, slots=True)
class TurnParts:
    """What turns share."""

    mainline: Mainline
    inbox: InputQueue
    intake: Intake
    calls: ModelCalls
    tools: ToolRunner
    window: Window
    ledger: Ledger
    effects: EffectMemory
    limits: TurnLimits
    emit: Emit


@dataclass(slots=True)
class _State:
    ids: list[str] = field(default_factory=list)
    covers: int = 0
    calls: int = 0
    pauses: int = 0
    truncations: int = 0
    window_exceeded: int = 0
    progress_at: float = 0.0
    compacted: bool = False
    media_replaced: bool = False
    results: dict[str, Block] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()


class Turn:
    """``covers`` is what the stream has seen before this turn."""

    def __init__(self, parts: TurnParts, inputs: Sequence[Input], covers: int) -> None:
        self._parts = parts
        self._inputs = inputs
        self._stored = False
        self._state = _State(
            ids=[item for given in inputs for item in given.prompt.ids],
            covers=max([covers, *(given.ticket for given in inputs)]),
        )
        self._clock = asyncio.get_running_loop().time

    @property
    def covers(self) -> int:
        return self._state.covers

    @property
    def _conversation(self) -> Conversation:
        return self._parts.mainline.conversation

    async def run(self) -> None:
        """Raises CallError when the stored conversation is to blame, StorageError always."""
        now = self._clock()
        self._state.progress_at = now
        self._parts.emit(Activity())
        await settle_open_calls(self._conversation, self._parts.effects)
        self._parts.mainline.begin_turn(now)
        try:
            if self._open():
                return
            while not await self._step():
                pass
        except CallError as error:
            if error.blames_history:
                raise
            self._fail(error)
        except ProviderError as error:
            self._fail(error)

    async def stop(self) -> None:
        """After a cancelled ``run``: the history is made whole and the turn ended (R-245)."""
        conversation = self._conversation
        blocks = [await self._known_result(call.id) for call in conversation.open_calls]
        if blocks:
            self._append(blocks)
        if not self._stored:
            self._parts.intake.append(self._inputs, self._state.ids)
        self._append([note_block(STOPPED)], UserKind.NOTE)
        conversation.turn_end(self._state.ids, TurnStatus.STOPPED)
        self._parts.intake.forget_tail()
        self._parts.emit(Result(None, self._state.covers, "interrupted"))

    async def _known_result(self, call_id: str) -> Block:
        done = self._state.results.get(call_id)
        if done is not None:
            return done
        text = await self._parts.effects.recall(call_id)
        if text is not None:
            return result_block(call_id, text)
        return result_block(call_id, INTERRUPTED, is_error=True)

    # --- input ------------------------------------------------------------------------------------

    def _open(self) -> bool:
        """Stores the input; True: it was answered before, and the answer was said again."""
        ids = tuple(self._state.ids)
        parts = self._parts
        self._stored = True
        decision = decide_redelivery(ids, self._conversation.turns)
        match decision:
            case AlreadyAnswered(final):
                if self._conversation.unfinished is not None:
                    self._conversation.turn_end(ids, TurnStatus.OK)
                parts.emit(Result(final.text or None, self._state.covers, origin=final.origin))
                return True
            case Interrupted(note):
                parts.intake.append((), ids, notes=(note,))
            case Overlap(final, note):
                if final is not None:
                    parts.emit(Said(final.text, final.origin))
                parts.intake.append(self._inputs, ids, notes=(note,))
            case Fresh():
                parts.intake.append(self._inputs, ids)
            case _:
                assert_never(decision)
        return False

    def _cover(self, inputs: Sequence[Input]) -> tuple[str, ...]:
        ids = tuple(item for given in inputs for item in given.prompt.ids)
        self._state.ids += ids
        self._state.covers = max([self._state.covers, *(given.ticket for given in inputs)])
        return ids

    # --- one model call and what follows ----------------------------------------------------------

    async def _step(self) -> bool:
        """True: the turn is over."""
        state, parts = self._state, self._parts
        parts.ledger.check_day()
        if await parts.window.make_room():
            parts.intake.forget_tail()
        called = await self._call()
        response = called.response
        state.calls += 1
        await parts.ledger.note(called, UsageKind.MAIN, state.ids)
        parts.window.note(response)
        self._count(response.stop_reason)
        counters = Counters(state.calls, state.pauses, state.truncations, state.window_exceeded)
        decision = decide_answer(
            response.stop_reason, response.content, counters, response.stop_details
        )
        _log.debug("model answered", extra=fields(reason=type(decision).__name__))
        match decision:
            case RunTools(calls):
                return await self._run_tools(calls, response)
            case Resume():
                self._store(response)
                return False
            case Finish(reason):
                return self._finish(response, reason)
            case ContinueTruncated(cut_calls):
                return self._continue(response, cut_calls)
            case Refused(category, explanation):
                return self._refuse(response, category, explanation)
            case CompactAndRetry():
                await self._compact(Trouble.TOO_LARGE, "the context window is full")
                return False
            case Fail(trouble, reason):
                raise ProviderError(trouble, reason)
            case _:
                assert_never(decision)

    def _count(self, stop_reason: str | None) -> None:
        state = self._state
        state.pauses = state.pauses + 1 if stop_reason == "pause_turn" else 0
        if stop_reason == "model_context_window_exceeded":
            state.window_exceeded += 1
        elif stop_reason == "tool_use":
            state.truncations = 0
        elif stop_reason != "pause_turn":
            state.truncations += 1

    async def _call(self) -> Called:
        """One call, repeated once where something in our own hands can be changed (R-313)."""
        while True:
            try:
                return await self._parts.calls.call(self._parts.mainline, self._parts.emit)
            except CallError as error:
                if not await self._adapted(error):
                    raise

    async def _adapted(self, error: CallError) -> bool:
        """Something was changed, so that another try makes sense."""
        match error.kind:
            case CallClass.TOO_LARGE if not self._state.compacted:
                await self._compact(error.trouble, error.detail)
                return True
            case CallClass.MEDIA if not self._state.media_replaced:
                self._state.media_replaced = True
                return self._parts.intake.replace_media(error.detail)
            case CallClass.PREFIX:
                return self._parts.mainline.drop_thinking()
            case _:
                return False

    async def _compact(self, trouble: Trouble, detail: str) -> None:
        """Raises ProviderError when there is nothing to shorten, or it was tried before."""
        if self._state.compacted:
            raise ProviderError(trouble, detail)
        self._state.compacted = True
        if not await self._parts.window.compact():
            raise ProviderError(trouble, detail)
        self._parts.intake.forget_tail()

    # --- what an answer leads to ------------------------------------------------------------------

    def _store(self, response: Response) -> Record:
        message: dict[str, object] = {"role": "assistant", "content": list(response.content)}
        record = self._conversation.append_assistant(
            message,
            stop_reason=response.stop_reason,
            response_id=response.id,
            model=response.model,
        )
        self._parts.intake.forget_tail()
        return record

    def _say(self, response: Response, record: Record) -> None:
        """Complete blocks are sent at once; the rest is commentary (R-241)."""
        if _MESSAGE_BLOCK.search(response.text):
            self._parts.emit(Said(response.text, self._origin(record)))

    def _origin(self, record: Record) -> Origin:
        return self._conversation.origin_of(record)

    async def _run_tools(self, calls: Sequence[Mapping[str, object]], response: Response) -> bool:
        state, parts = self._state, self._parts
        state.results.clear()
        self._say(response, self._store(response))
        if not parts.mainline.final:
            await parts.tools.run(calls, response.broken_calls, state.results, self._sign)
        state.progress_at = self._clock()
        blocks = in_order(calls, state.results)
        if parts.mainline.final:
            self._append(blocks, UserKind.TOOL_RESULTS)
            return self._end(response, None, "limit")
        self._append_with_news(blocks)
        return False

    def _sign(self) -> None:
        self._parts.emit(Activity())

    def _append_with_news(self, blocks: list[Block]) -> None:
        """Results first, then what people said meanwhile, then our own words (R-244)."""
        inputs = self._parts.inbox.take()
        ids = self._cover(inputs)
        notes: tuple[str, ...] = ()
        reached = decide_limit(self._spent(), self._parts.limits)
        if reached is not None:
            _log.warning("turn limit reached", extra=fields(reason=reached.reason))
            self._parts.mainline.final = True
            notes = (reached.note,)
        self._parts.intake.append(inputs, ids, leading=blocks, notes=notes)

    def _spent(self) -> Spent:
        state, ledger = self._state, self._parts.ledger
        return Spent(state.calls, self._clock() - state.progress_at, ledger.spent_in_turn)

    def _finish(self, response: Response, reason: str) -> bool:
        record = self._store(response)
        parts = self._parts
        if parts.inbox.has_input and not parts.mainline.final:
            self._say(response, record)
            inputs = parts.inbox.take()
            parts.intake.append(inputs, self._cover(inputs))
            return False
        cut = [call.id for call in self._conversation.open_calls]
        if cut:
            self._append([result_block(call, NOT_RUN, is_error=True) for call in cut])
        return self._end(response, self._origin(record), reason)

    def _end(self, response: Response, origin: Origin | None, reason: str) -> bool:
        self._conversation.turn_end(self._state.ids, TurnStatus.OK)
        text = response.text if origin is not None else ""
        self._parts.emit(Result(text or None, self._state.covers, reason, origin))
        return True

    def _continue(self, response: Response, cut_calls: tuple[str, ...]) -> bool:
        self._say(response, self._store(response))
        if self._parts.mainline.final:
            return self._give_up_on_calls(response, cut_calls)
        if cut_calls:
            blocks = [result_block(call, CUT_OFF, is_error=True) for call in cut_calls]
            self._append_with_news(blocks)
        else:
            self._parts.intake.append((), (), notes=(GO_ON,))
        return False

    def _give_up_on_calls(self, response: Response, calls: tuple[str, ...]) -> bool:
        if calls:
            self._append([result_block(call, NOT_RUN, is_error=True) for call in calls])
        return self._end(response, None, "limit")

    def _refuse(self, response: Response, category: str, explanation: str) -> bool:
        if response.content:
            self._store(response)
        conversation = self._conversation
        conversation.retract_turn(f"refusal {category}".strip())
        self._append([note_block(DECLINED)], UserKind.NOTE)
        conversation.turn_end(self._state.ids, TurnStatus.REFUSED)
        self._parts.intake.forget_tail()
        self._parts.emit(
            Failure(
                Trouble.REFUSAL,
                f"declined: {category or 'no category'}",
                retryable=False,
                shown=explanation,
            )
        )
        self._parts.emit(Result(None, self._state.covers, "refusal"))
        return True

    def _fail(self, error: ProviderError) -> None:
        """The stream goes on; the input stays in the history, unanswered (R-316)."""
        conversation = self._conversation
        conversation.log_error(error.trouble, error.detail)
        conversation.turn_end(self._state.ids, TurnStatus.ERROR)
        parts = self._parts
        parts.emit(Failure(error.trouble, error.detail, retryable=False, shown=error.shown))
        parts.emit(Result(None, self._state.covers, "error"))

    def _append(self, blocks: list[Block], kind: UserKind = UserKind.TOOL_RESULTS) -> None:
        self._conversation.append_user({"role": "user", "content": blocks}, (), kind)

"""Keeps the context below its limit: counts, decides, and carries a compaction through (R-280).

One per stream, used by ``turn`` before requests and by ``engine`` between turns. An interrupt ends
the request for a summary, never the storing of it: the steps that write are not cancelled. Between
turns the summary is made in the background, while the conversation goes on, and is put in place at
the next boundary (R-281, R-283).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace

from runner.errors import ProviderError, Trouble
from runner.log import fields
from runner.providers.base import Compacted, Event, Failure
from runner.providers.claude.archive import ArchiveStyle
from runner.providers.claude.cachewatch import CacheWatch
from runner.providers.claude.calls import Called, Emit, ModelCalls
from runner.providers.claude.client import ApiRequest
from runner.providers.claude.compaction import (
    Compacting,
    Compactor,
    CompactorParts,
    Draft,
    Situation,
)
from runner.providers.claude.errors import CallClass, CallError
from runner.providers.claude.estimate import (
    Budget,
    Moment,
    compaction_threshold,
    estimate_json,
    estimate_messages,
    should_compact,
    used_tokens,
)
from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.ledger import Ledger
from runner.providers.claude.mainline import Mainline
from runner.providers.claude.message import Response
from runner.providers.claude.records import Json, Message, TurnStatus
from runner.providers.claude.request import COMPACTION_BETA, RequestPlan, build_request
from runner.providers.claude.usage import UsageKind

_log = logging.getLogger(__name__)

INTERRUPTED = "the compaction was interrupted"
LOST = "the conversation could not be summarised and was begun anew"


@dataclass(frozen=True, slots=True)
class WindowParts:
    """``instructions`` makes the words for the summariser, with the wish of ``/compact``."""

    mainline: Mainline
    calls: ModelCalls
    features: FeatureSet
    ledger: Ledger
    archive: ArchiveStyle
    instructions: Callable[[], Awaitable[Callable[[str], str]]]
    situation: Callable[[], Awaitable[Situation]]
    emit: Emit
    ring: Callable[[], None] = lambda: None
    """Called when a summary from the background waits for ``settle``."""
    configured_window: str | None = None


class Window:
    def __init__(self, parts: WindowParts) -> None:
        self._parts = parts
        self._used: int | None = None
        self._cache = CacheWatch(time.monotonic)
        self._running = False
        self._background: asyncio.Task[Draft | None] | None = None
        self._gave_up = False
        """A summary could not be had. Each try reads the whole list, so the next waits for need."""

    @property
    def is_compacting(self) -> bool:
        return self._running or self._background is not None

    @property
    def threshold(self) -> int:
        head = self._parts.mainline.head
        return compaction_threshold(
            head.capabilities, head.max_tokens, self._parts.configured_window
        )

    def note(self, response: Response) -> None:
        self._used = used_tokens(response.usage)
        if self._parts.features.has(Feature.CACHE):
            self._cache.note(self._parts.mainline.epoch.prefix, response.usage)

    async def make_room(self) -> bool:
        """Before a request; True: the conversation was shortened."""
        return await self.compact() if self._is_full else False

    def rest(self, *, input_waiting: bool) -> None:
        """After a turn: begins with a summary if it is time. Not when the turn was broken off or
        failed: nobody who has said stop wants anything done, and trouble would only repeat itself.
        """
        turns = self._parts.mainline.conversation.turns
        if self._background is not None or self._gave_up:
            return
        if not turns or turns[-1].status is not TurnStatus.OK:
            return
        budget = replace(self._budget(Moment.TURN_ENDED), input_waiting=input_waiting)
        if should_compact(budget):
            _log.info("summary begun in the background", extra=fields(count=budget.used))
            self._background = asyncio.create_task(self._draft())
            self._background.add_done_callback(lambda _: self._parts.ring())

    async def settle(self, *, wait: bool = False) -> bool:
        """Puts a summary from the background in place, if there is one; True: it was done.

        ``wait``: also one that is still being made.
        """
        task = self._background
        if task is None or not (wait or task.done()):
            return False
        await asyncio.wait({task})
        self._background = None
        draft = task.result()
        if draft is None:
            self._gave_up = True
            return False
        caller = self._caller()
        conversation = self._parts.mainline.conversation
        work = self._compactor(caller).put_in_place(conversation, draft, self._used or 0)
        if await self._undisturbed(work, caller) is None:
            _log.info("summary from the background does not fit any more")
            return False
        return True

    async def stop(self) -> None:
        """Nothing goes on in the background when this returns."""
        task, self._background = self._background, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains

    async def compact(self, wish: str = "") -> bool:
        """False: there is nothing to shorten. Raises ProviderError; nothing is changed then."""
        if await self.settle(wait=True) and not self._is_full:
            return True
        done = await self.carry_out(wish)
        if done is None:
            return False
        if done.lost:
            self._parts.emit(Failure(Trouble.TOO_LARGE, LOST, retryable=False))
        return True

    async def carry_out(self, wish: str = "") -> Compacting | None:
        await self.stop()
        words, caller = await self._parts.instructions(), self._caller()
        conversation = self._parts.mainline.conversation
        work = self._compactor(caller, words).compact(conversation, self._used or 0, wish)
        return await self._undisturbed(work, caller)

    async def _undisturbed(
        self, work: Coroutine[object, object, Compacting | None], caller: "_SummaryCaller"
    ) -> Compacting | None:
        """An interrupt ends the request in it, if one is running, and waits for the rest."""
        task = asyncio.create_task(work)
        self._running = True
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            caller.interrupt()
            await asyncio.wait({task})
            raise
        finally:
            self._running = False
            if task.done() and not task.cancelled() and task.exception() is None:
                self._note_shortened(task.result())
        return task.result()

    async def finish_interrupted(self) -> None:
        """A kill came between the summary and the new head."""
        conversation = self._parts.mainline.conversation
        if conversation.needs_finishing:
            await self._compactor(self._caller()).finish(conversation)

    async def _draft(self) -> Draft | None:
        """A failure waits for the next turn, where it is told."""
        caller = self._caller(_to_nobody)
        try:
            words = await self._parts.instructions()
            return await self._compactor(caller, words).draft(self._parts.mainline.conversation)
        except ProviderError as error:
            _log.warning("compaction put off", extra=fields(reason=error))
            return None

    def _caller(self, emit: Emit | None = None) -> "_SummaryCaller":
        return _SummaryCaller(self._parts, emit or self._parts.emit)

    def _note_shortened(self, done: Compacting | None) -> None:
        if done is None:
            return
        self._used, self._gave_up = None, False
        self._cache.forget()
        self._parts.mainline.list_changed()
        self._parts.emit(Compacted(done.pre_tokens, done.post_tokens))

    def _compactor(
        self, caller: "_SummaryCaller", words: Callable[[str], str] = lambda wish: wish
    ) -> Compactor:
        parts = self._parts
        head = parts.mainline.head
        return Compactor(
            CompactorParts(
                caller=caller,
                instructions=words,
                rebuild=parts.mainline.rebuild,
                situation=parts.situation,
                archive=parts.archive,
                max_tokens=head.max_tokens,
                use_server=lambda: (
                    head.capabilities.server_compaction
                    and parts.features.has(Feature.SERVER_COMPACTION)
                ),
            )
        )

    @property
    def _is_full(self) -> bool:
        return should_compact(self._budget(Moment.BEFORE_REQUEST))

    def _budget(self, moment: Moment) -> Budget:
        conversation = self._parts.mainline.conversation
        messages = conversation.messages
        if self._used is None:
            prefix = self._parts.mainline.epoch.prefix
            used = estimate_json(list(prefix.system)) + estimate_json(list(prefix.tools))
            return Budget(used, estimate_messages(messages), self.threshold, moment)
        added = estimate_messages(_after_last_answer(messages))
        return Budget(self._used, added, self.threshold, moment)


def _after_last_answer(messages: list[Message]) -> list[Message]:
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "assistant":
            return messages[index + 1 :]
    return messages


def _to_nobody(_: Event) -> None:
    """What is done in the background is no sign of life of a turn."""


class _SummaryCaller:
    """The compaction's way to the API; see ``compaction.Caller``."""

    def __init__(self, parts: WindowParts, emit: Emit) -> None:
        self._parts = parts
        self._emit = emit
        self._task: asyncio.Task[Called] | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    async def complete(self, request: Json, *, kind: str) -> Mapping[str, object]:
        """``kind`` is always that of a compaction."""
        if self._interrupted:
            raise ProviderError(Trouble.NETWORK, INTERRUPTED)
        self._parts.ledger.check_day()
        call = _SummaryCall(self._parts, request)
        self._task = asyncio.create_task(self._parts.calls.call(call, self._emit))
        try:
            called = await self._task
        except asyncio.CancelledError:
            if not self._interrupted:
                self._task.cancel()
                raise
            raise ProviderError(Trouble.NETWORK, INTERRUPTED) from None
        finally:
            self._task = None
        await self._parts.ledger.note(called, UsageKind(kind))
        response = called.response
        return {
            "content": list(response.content),
            "stop_reason": response.stop_reason,
            "usage": response.usage,
        }


class _SummaryCall:
    """A ``calls.Caller`` for one request of the compaction."""

    def __init__(self, parts: WindowParts, request: Json) -> None:
        self._parts = parts
        self._request = request
        if "compaction" in request and not parts.features.has(Feature.SERVER_COMPACTION):
            raise CallError(CallClass.REQUEST, "server compaction is not known here")

    def request(self) -> ApiRequest:
        mainline = self._parts.mainline
        messages = self._request["messages"]
        assert isinstance(messages, list)
        plan = RequestPlan(
            prefix=mainline.epoch.prefix,
            messages=messages,
            max_tokens=mainline.head.max_tokens,
            drop_block=mainline.epoch.drop_block,
            final="tool_choice" in self._request,
            system_role=mainline.head.capabilities.system_role,
        )
        made = build_request(plan, self._parts.features)
        if "compaction" not in self._request:
            return made
        body = {**made.body, "compaction": self._request["compaction"]}
        betas = tuple(dict.fromkeys((*made.betas, COMPACTION_BETA)))
        return ApiRequest(body, betas, made.features | {Feature.SERVER_COMPACTION})

    async def lost(self, feature: Feature) -> None:
        if feature is Feature.SERVER_COMPACTION:
            raise CallError(CallClass.REQUEST, "server compaction is not known here")

    async def fall_back(self) -> bool:
        return False

"""Keeps the context below its limit: counts, decides, and carries a compaction through (R-280).

One per stream, used by ``turn`` before requests and by ``engine`` between turns. An interrupt ends
the request for a summary, never the storing of it: the steps that write are not cancelled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from runner.errors import ProviderError, Trouble
from runner.log import fields
from runner.providers.base import Compacted, Failure
from runner.providers.claude.archive import ArchiveStyle
from runner.providers.claude.calls import Called, Emit, ModelCalls
from runner.providers.claude.client import ApiRequest
from runner.providers.claude.compaction import Compacting, Compactor, CompactorParts, Situation
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
from runner.providers.claude.records import Json, Message
from runner.providers.claude.request import COMPACTION_BETA, RequestPlan, build_request
from runner.providers.claude.usage import UsageKind

_log = logging.getLogger(__name__)

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
    configured_window: str | None = None


class Window:
    def __init__(self, parts: WindowParts) -> None:
        self._parts = parts
        self._caller = _SummaryCaller(parts)
        self._used: int | None = None
        self._running = False

    @property
    def is_compacting(self) -> bool:
        return self._running

    @property
    def threshold(self) -> int:
        head = self._parts.mainline.head
        return compaction_threshold(
            head.capabilities, head.max_tokens, self._parts.configured_window
        )

    def note(self, response: Response) -> None:
        self._used = used_tokens(response.usage)

    async def make_room(self) -> bool:
        """Before a request; True: the conversation was shortened."""
        if not should_compact(self._budget(Moment.BEFORE_REQUEST)):
            return False
        return await self.compact()

    async def rest(self, *, input_waiting: bool) -> None:
        """Between turns; a failure waits for the next turn, where it is told."""
        budget = replace(self._budget(Moment.TURN_ENDED), input_waiting=input_waiting)
        if not should_compact(budget):
            return
        try:
            await self.compact()
        except ProviderError as error:
            _log.warning("compaction put off", extra=fields(reason=error))

    async def compact(self, wish: str = "") -> bool:
        """False: there is nothing to shorten. Raises ProviderError; nothing is changed then."""
        done = await self.carry_out(wish)
        if done is None:
            return False
        self._used = None
        self._parts.emit(Compacted(done.pre_tokens, done.post_tokens))
        if done.lost:
            self._parts.emit(Failure(Trouble.TOO_LARGE, LOST, retryable=False))
        return True

    async def carry_out(self, wish: str = "") -> Compacting | None:
        words = await self._parts.instructions()
        conversation = self._parts.mainline.conversation
        task = asyncio.create_task(
            self._compactor(words).compact(conversation, self._used or 0, wish)
        )
        self._running = True
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._caller.interrupt()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains
            raise
        finally:
            self._running = False

    async def finish_interrupted(self) -> None:
        """A kill came between the summary and the new head."""
        conversation = self._parts.mainline.conversation
        if conversation.needs_finishing:
            await self._compactor(lambda wish: wish).finish(conversation)

    def _compactor(self, words: Callable[[str], str]) -> Compactor:
        parts = self._parts
        head = parts.mainline.head
        return Compactor(
            CompactorParts(
                caller=self._caller,
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


class _SummaryCaller:
    """The compaction's way to the API; see ``compaction.Caller``."""

    def __init__(self, parts: WindowParts) -> None:
        self._parts = parts
        self._task: asyncio.Task[Called] | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    async def complete(self, request: Json, *, kind: str) -> Mapping[str, object]:
        """``kind`` is always that of a compaction."""
        self._parts.ledger.check_day()
        call = _SummaryCall(self._parts, request)
        self._task = asyncio.create_task(self._parts.calls.call(call, self._parts.emit))
        try:
            called = await self._task
        except asyncio.CancelledError:
            if not self._interrupted:
                self._task.cancel()
                raise
            self._interrupted = False
            raise ProviderError(Trouble.NETWORK, "the compaction was interrupted") from None
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

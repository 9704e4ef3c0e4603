"""The conversation's side of a model call: its head, its requests, and what changes them.

Made by ``engine`` for each stream. The head in force is the stored one; a freshly built one is
compared with it when the stream opens, and what differs becomes a note or a new epoch (R-262). In
between, only the list of destinations is looked at anew, so that names do not age.
"""

import logging
from dataclasses import replace

from runner.instructions.model import InstructionSource
from runner.log import fields
from runner.providers.claude.caching import TURNS_FOR_LONG, Markers
from runner.providers.claude.client import ApiRequest
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.epoch import (
    Epoch,
    KeepWithNote,
    NewEpoch,
    Prefix,
    decide_epoch,
)
from runner.providers.claude.features import SERVER_TOOLS, Feature, FeatureSet
from runner.providers.claude.head import Head, HeadBuilder
from runner.providers.claude.request import RequestPlan, build_request

_log = logging.getLogger(__name__)

HOUR_SECONDS = 3600.0
MAX_TURN_TIMES = 16
ADDENDUM = "addendum"


class Mainline:
    """A ``Caller``. ``model_note`` waits to be told after a change of model."""

    def __init__(
        self,
        conversation: Conversation,
        builder: HeadBuilder,
        features: FeatureSet,
        fallback_model: str | None = None,
    ) -> None:
        self.conversation = conversation
        self.final = False
        self._builder = builder
        self._features = features
        self._fallback_model = fallback_model
        self._head: Head | None = None
        self._turn_start = 0
        self._turn_times: list[float] = []
        self.has_rhythm = False
        """A recurring task will find an entry that is kept for an hour (R-266)."""

    @property
    def head(self) -> Head:
        """Of the last build; the stored prefix may be an older one."""
        assert self._head is not None
        return self._head

    @property
    def takes_notes(self) -> bool:
        known = self._head is not None and self._head.capabilities.system_role
        return known and self._features.has(Feature.SYSTEM_ROLE)

    @property
    def epoch(self) -> Epoch:
        epoch = self.conversation.epoch
        assert epoch is not None
        return epoch

    async def prepare(self) -> KeepWithNote | None:
        """Settles which head is in force; the note that is to be told, if any."""
        self._head = await self._builder.build()
        stored = self.conversation.epoch
        fresh = self._head.prefix
        decision = decide_epoch(stored, fresh, has_history=self.conversation.has_history)
        if isinstance(decision, NewEpoch):
            self.conversation.start_epoch(
                fresh, reason=decision.reason, drop_block=decision.drop_block
            )
            _log.info("new epoch", extra=fields(reason=decision.reason))
        return decision if isinstance(decision, KeepWithNote) else None

    async def look_again(self, instructions: InstructionSource) -> KeepWithNote | None:
        """At the beginning of a later turn: did the destinations change?"""
        read = await instructions.read()
        stored = self.epoch
        fresh = _with_addendum(stored.prefix, read.addendum)
        decision = decide_epoch(stored, fresh, has_history=True)
        return decision if isinstance(decision, KeepWithNote) else None

    async def rebuild(self) -> Prefix:
        """For a new epoch that somebody else starts (compaction)."""
        self._head = await self._builder.build(self._model_override)
        return self._head.prefix

    def list_changed(self) -> None:
        """The conversation was shortened, so nothing in it is where it was."""
        self._turn_start = 0

    def drop_thinking(self) -> bool:
        """Old thinking does not match its prefix any more; False: that was tried before."""
        stored = self.epoch
        if stored.drop_block or not stored.prefix.thinking:
            return False
        self.conversation.start_epoch(stored.prefix, reason="thinking dropped", drop_block=True)
        return True

    def begin_turn(self, now: float) -> None:
        self.final = False
        self._turn_start = len(self.conversation.messages)
        recent = [time for time in self._turn_times if now - time < HOUR_SECONDS]
        self._turn_times = [*recent, now][-MAX_TURN_TIMES:]

    def request(self) -> ApiRequest:
        stored = self.epoch
        plan = RequestPlan(
            prefix=stored.prefix,
            messages=self.conversation.messages,
            max_tokens=self.head.max_tokens,
            markers=Markers(self._turn_start, long=self._pays_for_long),
            drop_block=stored.drop_block,
            final=self.final,
            fallback=self._refusal_fallback(stored.prefix.model),
            system_role=self.head.capabilities.system_role,
        )
        return build_request(plan, self._features)

    @property
    def _pays_for_long(self) -> bool:
        return self.has_rhythm or len(self._turn_times) >= TURNS_FOR_LONG

    async def lost(self, feature: Feature) -> None:
        """Tools of the server are replaced by ours, which changes the list of tools."""
        if feature not in SERVER_TOOLS:
            return
        self._head = await self._builder.build(self._model_override)
        prefix = replace(self.epoch.prefix, tools=self._head.prefix.tools)
        self.conversation.start_epoch(
            prefix, reason=f"without {feature}", drop_block=self.conversation.has_history
        )

    async def fall_back(self) -> bool:
        """``fallbackModel`` after repeated overload (R-313)."""
        wanted = self._fallback_model
        if wanted is None or self._model_override is not None:
            return False
        head = await self._builder.build(wanted)
        if head.prefix.model == self.epoch.prefix.model:
            return False
        _log.warning("model overloaded, using another", extra=fields(reason=head.prefix.model))
        self._head, self._model_override = head, wanted
        self.conversation.start_epoch(
            head.prefix, reason="overload", drop_block=self.conversation.has_history
        )
        return True

    _model_override: str | None = None

    @property
    def fell_back_to(self) -> str | None:
        """The model that answers instead of the configured one."""
        return self.epoch.prefix.model if self._model_override is not None else None

    def _refusal_fallback(self, model: str) -> str | None:
        wanted = self._fallback_model
        supported = self.head.capabilities.server_tools  # of the vendor's own endpoint only
        return wanted if supported and wanted != model else None


def _with_addendum(prefix: Prefix, addendum: str) -> Prefix:
    texts = prefix.parts
    if addendum.strip():
        texts[ADDENDUM] = addendum
    else:
        texts.pop(ADDENDUM, None)
    system = tuple[dict[str, object], ...]({"type": "text", "text": t} for t in texts.values())
    return replace(prefix, system=system, labels=tuple(texts))

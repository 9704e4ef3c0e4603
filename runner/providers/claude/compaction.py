"""Shortens a conversation before its window is full (R-280 to R-285).

Called by ``window`` before a request, between turns and for ``/compact``. The API call goes through
a ``Caller``. Order: archive, summary, record, new head, note; a kill between any two leaves a
conversation that goes on. Preferred is the server's signed block; else our own summary call; and
when both fail twice, the newest exchanges as plain text, so that the session stays usable. In the
background only the summary is made (``draft``); it is put in place later (``put_in_place``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from contract.killpoint import reached
from runner.errors import ProviderError, Trouble
from runner.log import fields
from runner.providers.claude.archive import ArchiveStyle, write_archive
from runner.providers.claude.conversation import Compaction, Conversation
from runner.providers.claude.epoch import Epoch, Prefix
from runner.providers.claude.estimate import estimate_messages, used_tokens
from runner.providers.claude.records import Json, UserKind
from runner.providers.claude.spoken import last_exchanges, spoken_in
from runner.providers.claude.summary import (
    Cut,
    Summary,
    client_request,
    compaction_note,
    find_cut,
    fresh_start,
    holds_block,
    is_worth_retrying,
    read_block,
    read_summary,
    server_request,
)

TRIES = 2
"""Of each way to a summary."""

_log = logging.getLogger(__name__)


class Caller(Protocol):
    """The engine's way to the API: retries, streaming, usage rows and cache markers are there."""

    async def complete(self, request: Json, *, kind: str) -> Mapping[str, object]:
        """One response: ``content`` (list of blocks), ``stop_reason``, ``usage``.

        ``request`` holds model, system, tools, messages, max_tokens and, as it may be, thinking,
        output_config, tool_choice, compaction, betas. Raises ProviderError when it gave up.
        """


@dataclass(frozen=True, slots=True)
class Situation:
    """What the note after a compaction tells, read when it is needed."""

    destinations: str
    open_questions: tuple[str, ...] = ()
    background: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompactorParts:
    """``instructions`` gets the wish of ``/compact`` (or ""); ``rebuild`` builds the new head."""

    caller: Caller
    instructions: Callable[[str], str]
    rebuild: Callable[[], Awaitable[Prefix]]
    situation: Callable[[], Awaitable[Situation]]
    archive: ArchiveStyle
    max_tokens: int
    use_server: Callable[[], bool]
    """Whether model and endpoint know server compaction, as far as is known now (R-279)."""


@dataclass(frozen=True, slots=True)
class Compacting:
    """What was done. ``lost``: no summary could be had; only the newest exchanges are left."""

    pre_tokens: int
    post_tokens: int
    archive: str | None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A summary of the first entries, made while the conversation went on (R-283)."""

    cut: Cut
    summary: Summary
    epoch: int


class Compactor:
    """One per provider; one compaction at a time."""

    def __init__(self, parts: CompactorParts) -> None:
        self._parts = parts

    async def compact(
        self, conversation: Conversation, used: int, wish: str = ""
    ) -> Compacting | None:
        """None: there is nothing to shorten. ``used``: tokens of the context as last counted.

        Open calls must have been answered. With ``lost`` the caller says so (class too_large).
        Raises ProviderError for troubles that have nothing to do with the conversation (network,
        auth, billing ...): nothing is changed then.
        """
        cut = find_cut(conversation.entries)
        epoch = conversation.epoch
        if cut is None or epoch is None:
            return None
        archive = await self._archive(conversation)
        summary = await self._summary(conversation, epoch, cut, wish)
        lost = summary is None
        if summary is None:
            text = last_exchanges(spoken_in(conversation.entries[: cut.count]))
            summary = Summary(fresh_start(text, archive), 0)
        done = await self._replace(conversation, Draft(cut, summary, epoch.number), used, archive)
        return replace(done, lost=lost)

    async def draft(self, conversation: Conversation) -> Draft | None:
        """Changes nothing; None: there is nothing to shorten, or no summary could be had."""
        cut, epoch = find_cut(conversation.entries), conversation.epoch
        if cut is None or epoch is None:
            return None
        summary = await self._summary(conversation, epoch, cut, "")
        return None if summary is None else Draft(cut, summary, epoch.number)

    async def put_in_place(
        self, conversation: Conversation, draft: Draft, used: int
    ) -> Compacting | None:
        """What came after the summary stays behind it. None: it does not fit any more."""
        entries, epoch = conversation.entries, conversation.epoch
        summarised = [entry for entry in entries if entry.n <= draft.cut.up_to]
        if epoch is None or epoch.number != draft.epoch or len(summarised) != draft.cut.count:
            return None
        return await self._replace(conversation, draft, used, await self._archive(conversation))

    async def _archive(self, conversation: Conversation) -> str | None:
        spoken = spoken_in(conversation.entries)
        archive = await asyncio.to_thread(write_archive, spoken, self._parts.archive)
        reached("runner.conversation_archived")
        return archive

    async def _replace(
        self, conversation: Conversation, draft: Draft, used: int, archive: str | None
    ) -> Compacting:
        cut, summary = draft.cut, draft.summary
        kept = estimate_messages([entry.message for entry in conversation.entries[cut.count :]])
        pre = used or estimate_messages(conversation.messages)
        post = (summary.tokens or estimate_messages([summary.message])) + kept
        compaction = Compaction(cut.up_to, summary.message, pre, post, archive)
        await asyncio.to_thread(conversation.replace_by_compaction, compaction)
        await self.finish(conversation)
        _log.info("conversation compacted", extra=fields(count=pre, reason=f"now {post} tokens"))
        return Compacting(pre, post, archive)

    async def finish(self, conversation: Conversation) -> None:
        """New head and note. Also for a conversation whose compaction was cut off by a kill
        (``needs_finishing``).

        Answers that stay behind the summary are bound to their head, so it stays too (R-285).
        """
        await self._renew_head(conversation)
        situation = await self._parts.situation()
        note = compaction_note(
            situation.destinations,
            conversation.todo,
            situation.open_questions,
            situation.background,
            conversation.interrupted_input,
        )
        message: Json = {"role": "user", "content": [{"type": "text", "text": note}]}
        await asyncio.to_thread(conversation.append_user, message, (), UserKind.NOTE)
        reached("runner.conversation_compacted")

    async def _renew_head(self, conversation: Conversation) -> None:
        epoch = conversation.epoch
        first, *kept = conversation.entries
        if epoch is None or all(entry.message.get("role") != "assistant" for entry in kept):
            prefix = await self._parts.rebuild()
            await asyncio.to_thread(conversation.start_epoch, prefix, reason="compaction")
        elif not holds_block([first.message]) and not epoch.drop_block:
            # A summary of our own is another beginning; old thinking does not fit it.
            await asyncio.to_thread(
                conversation.start_epoch, epoch.prefix, reason="compaction", drop_block=True
            )

    async def _summary(
        self, conversation: Conversation, epoch: Epoch, cut: Cut, wish: str
    ) -> Summary | None:
        instructions = self._parts.instructions(wish)
        base = self._base(epoch, conversation, cut)
        if self._parts.use_server():
            request = server_request(base, instructions)
            summary = await self._ask(request, read_block)
            if summary is not None:
                return summary
            _log.warning("server compaction failed, summarising ourselves")
        return await self._ask(client_request(base, instructions), read_summary)

    async def _ask(
        self, request: Json, read: Callable[[Mapping[str, object]], Json | None]
    ) -> Summary | None:
        for attempt in range(1, TRIES + 1):
            try:
                response = await self._parts.caller.complete(request, kind="compaction")
            except ProviderError as error:
                if error.trouble not in (Trouble.UNEXPECTED, Trouble.TOO_LARGE, Trouble.REFUSAL):
                    raise
                _log.warning("compaction failed", extra=fields(attempt=attempt, reason=error))
                if error.trouble is Trouble.TOO_LARGE or not is_worth_retrying(error.detail):
                    return None
                continue
            message = read(response)
            if message is not None:
                return Summary(message, _output_tokens(response))
            _log.warning("compaction gave no summary", extra=fields(attempt=attempt))
        return None

    def _base(self, epoch: Epoch, conversation: Conversation, cut: Cut) -> Json:
        prefix = epoch.prefix
        base: Json = {
            "model": prefix.model,
            "max_tokens": self._parts.max_tokens,
            "system": list(prefix.system),
            "tools": list(prefix.tools),
            "messages": conversation.first_messages(cut.count),
        }
        if prefix.thinking:
            base["thinking"] = dict(prefix.thinking)
        if prefix.effort:
            base["output_config"] = {"effort": prefix.effort}
        return base


def _output_tokens(response: Mapping[str, object]) -> int:
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return 0
    output = usage.get("output_tokens")
    return output if isinstance(output, int) else used_tokens(usage)

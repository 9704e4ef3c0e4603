"""Carries out the tool calls of one answer and turns results into blocks (R-250).

Called by ``turn`` and ``subagent``. Results are put into the given dictionary one by one, so that
an interrupt loses only what was not finished. Calls of sub-agents run side by side; all others go
to the toolbox, together if they only read and one after the other if not.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Protocol, assert_never

from runner.log import fields
from runner.providers.claude.message import Block
from runner.providers.claude.repair import result_block
from runner.toolbox.base import (
    DocumentPart,
    ImagePart,
    Part,
    TextPart,
    Toolbox,
    ToolResult,
    ToolUse,
)
from runner.toolbox.together import side_by_side

_log = logging.getLogger(__name__)

TASK = "task"
TASK_NAMES = frozenset({TASK, "Task"})
MAX_RESULT_CHARACTERS = 200_000
"""The last bound; tools keep to lower ones of their own."""
BROKEN_INPUT = (
    "Error: the arguments of this call were no valid JSON object, so it was not run. "
    "Repeat it, in smaller pieces if it was long."
)
NOT_RUN = "Error: the call was not run: the turn is being ended."
CUT_OFF = (
    "Error: the answer was cut off at its length limit while this call was being written, so it "
    "was not run. Repeat it in smaller pieces."
)


class TaskRunner(Protocol):
    """Runs a sub-agent."""

    async def run_task(self, use: ToolUse, activity: Callable[[], None]) -> ToolResult: ...


class ToolRunner:
    """``tasks`` None: inside a sub-agent, which has none of its own."""

    def __init__(self, toolbox: Toolbox, tasks: TaskRunner | None = None) -> None:
        self._toolbox = toolbox
        self._tasks = tasks

    async def run(
        self,
        calls: Iterable[Mapping[str, object]],
        broken: frozenset[str],
        results: dict[str, Block],
        activity: Callable[[], None],
    ) -> None:
        """Fills ``results`` by the id of the call."""
        uses = []
        for call in calls:
            use = ToolUse(str(call.get("id")), str(call.get("name")), call.get("input"))
            if use.id in broken:
                results[use.id] = result_block(use.id, BROKEN_INPUT, is_error=True)
            else:
                uses.append(use)
        readers = await self._readers(uses)
        for is_task, group in groupby(uses, key=self._is_task):
            if is_task:
                await self._run_tasks(list(group), results, activity)
            else:
                await self._run_group(list(group), readers, results, activity)

    def _is_task(self, use: ToolUse) -> bool:
        return self._tasks is not None and use.name in TASK_NAMES

    async def _readers(self, uses: Sequence[ToolUse]) -> frozenset[str]:
        """Names of tools that only read; asked only if it could matter."""
        if len(uses) < 2:
            return frozenset()
        specs = [one for spec in await self._toolbox.specs() for one in (spec, *spec.listed)]
        return frozenset(
            name for spec in specs if spec.read_only for name in (spec.name, *spec.aliases)
        )

    async def _run_group(
        self,
        uses: list[ToolUse],
        readers: frozenset[str],
        results: dict[str, Block],
        activity: Callable[[], None],
    ) -> None:
        together = all(use.name in readers for use in uses)
        for part in [uses] if together else [[use] for use in uses]:
            answers = await self._toolbox.run(part, activity)
            for use, answer in zip(part, answers, strict=True):
                results[use.id] = to_block(use.id, answer)

    async def _run_tasks(
        self, uses: list[ToolUse], results: dict[str, Block], activity: Callable[[], None]
    ) -> None:
        assert self._tasks is not None
        tasks = self._tasks

        async def run(use: ToolUse) -> None:
            results[use.id] = to_block(use.id, await tasks.run_task(use, activity))

        await side_by_side(run(use) for use in uses)


def to_block(call_id: str, result: ToolResult) -> Block:
    """The block of a result: at least one part, no empty text, bounded."""
    content = [made for part in _bounded(result.parts) if (made := _part(part)) is not None]
    if not content:
        content = [{"type": "text", "text": "(no output)"}]
    block: Block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return {**block, "is_error": True} if result.is_error else block


def in_order(calls: Iterable[Mapping[str, object]], results: Mapping[str, Block]) -> list[Block]:
    """One result per call, in the order of the calls."""
    ids = [str(call.get("id")) for call in calls]
    return [
        results.get(call_id) or result_block(call_id, NOT_RUN, is_error=True) for call_id in ids
    ]


def _bounded(parts: Iterable[Part]) -> Iterator[Part]:
    left = MAX_RESULT_CHARACTERS
    for part in parts:
        if not isinstance(part, TextPart):
            yield part
        elif len(part.text) <= left:
            left -= len(part.text)
            yield part
        else:
            _log.warning("tool result cut", extra=fields(count=len(part.text)))
            yield TextPart(f"{part.text[:left]}\n[cut: {len(part.text) - left} more characters]")
            left = 0


def _part(part: Part) -> Block | None:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text} if text.strip() else None
        case ImagePart(media_type, data):
            source: Block = {"type": "base64", "media_type": media_type, "data": data}
            return {"type": "image", "source": source}
        case DocumentPart(media_type, data, title):
            source = {"type": "base64", "media_type": media_type, "data": data}
            made: Block = {"type": "document", "source": source}
            return {**made, "title": title} if title else made
        case _:
            assert_never(part)

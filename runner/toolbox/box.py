"""All tools of one agent, and how the calls of one answer are carried out (R-248 to R-251).

Built by ``equipment``, used by providers. Arguments are checked first; calls run side by side only
when all of them merely read; each has an outer limit, so that a tool that never returns ends and
the turn goes on. Whatever a tool does, its call gets one result that the model can read.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from runner.errors import ENDS_THE_PROCESS
from runner.log import fields
from runner.toolbox.base import (
    Arguments,
    ImagePart,
    Part,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
    ToolSpec,
    ToolUse,
    error_result,
)
from runner.toolbox.marks import Marks
from runner.toolbox.pictures import problem_of_picture
from runner.toolbox.schema import problem_of
from runner.toolbox.source import Branch, InFlight, Keeper, McpSource, Resident
from runner.toolbox.together import side_by_side

DEFAULT_SECONDS = 900.0
"""For tools that declare no limit of their own."""
GRACE_SECONDS = 30.0
"""A tool ends itself at its own limit; this is how much later we do it."""
AT_ONCE = 8
MAX_CHARACTERS = 60_000
MAX_PARTS = 20
MAX_MEDIA_CHARACTERS = 28 * 1024 * 1024
"""Images and documents of one answer: a request may have 32 MB, and one PDF of 20 MB is this."""
CLOSE_SECONDS = 5.0

_TOO_MUCH = "(not shown: too much for one answer; look at it again by itself)"
_RENAMED = {
    "file_path": "path",
    "old_string": "old_text",
    "new_string": "new_text",
    "timeout": "timeout_ms",
    "bash_id": "id",
    "task_id": "id",
}
"""Arguments of the names in ``ToolSpec.aliases`` (R-249)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ToolSetParts:
    """``tools`` in their order of R-248; ``servers`` follow them. ``residents`` live on.

    ``branch`` makes what a sub-agent must not share: two of them in one shell would change each
    other's folder, and wait for each other.
    """

    tools: tuple[Tool, ...]
    in_flight: InFlight
    keeper: Keeper
    servers: McpSource | None = None
    residents: tuple[Resident, ...] = ()
    branch: Callable[[], Branch] | None = None
    disabled: frozenset[str] = frozenset()


class ToolSet:
    """See ``runner.toolbox.base.Toolbox``."""

    def __init__(self, parts: ToolSetParts, marks: Marks | None = None) -> None:
        kept = [tool for tool in parts.tools if tool.spec.name not in parts.disabled]
        self._parts = replace(parts, tools=tuple(kept))
        self._marks = marks or Marks(parts.in_flight)
        self._by_name = {tool.spec.name: tool for tool in kept}
        self._aliases = {alias: tool for tool in kept for alias in tool.spec.aliases}

    @property
    def busy(self) -> bool:
        servers = self._parts.servers
        return (
            self._parts.in_flight.open_questions
            or any(resident.busy for resident in self._parts.residents)
            or (servers is not None and servers.busy)
        )

    async def prepare(self) -> None:
        if self._parts.servers is not None:
            self._parts.servers.prepare()

    async def specs(self) -> tuple[ToolSpec, ...]:
        own = tuple(tool.spec for tool in self._parts.tools)
        if self._parts.servers is None:
            return own
        foreign = await self._parts.servers.specs()
        return (*own, *(spec for spec in foreign if not self._is_disabled(spec.name)))

    async def run(
        self, uses: Sequence[ToolUse], activity: Callable[[], None]
    ) -> tuple[ToolResult, ...]:
        jobs = [self._job(use, activity) for use in uses]
        if not jobs:
            return ()
        async with self.at_work(*_shown(jobs)):
            if len(jobs) > 1 and all(job.reads for job in jobs):
                places = asyncio.Semaphore(AT_ONCE)
                results = await side_by_side(self._placed(places, job) for job in jobs)
            else:
                results = [await self._carry_out(job) for job in jobs]
        return _with_bounded_media(results)

    def at_work(self, name: str, seconds: float | None) -> AbstractAsyncContextManager[None]:
        return self._marks.at_work(name, seconds)

    def subset(self, names: frozenset[str]) -> "ToolSet":
        fresh = Branch((), ()) if self._parts.branch is None else self._parts.branch()
        own = {tool.spec.name: tool for tool in fresh.tools}
        kept = tuple(
            own.get(tool.spec.name, tool) for tool in self._parts.tools if tool.spec.name in names
        )
        servers = self._parts.servers
        chosen = None if servers is None else _Chosen(servers, names)
        parts = replace(self._parts, tools=kept, servers=chosen, residents=fresh.residents)
        return ToolSet(parts, self._marks)

    def take_notes(self) -> tuple[str, ...]:
        notes = [note for resident in self._parts.residents for note in resident.take_notes()]
        servers = self._parts.servers
        return (*notes, *(servers.take_notes() if servers is not None else ()))

    def on_wake(self, wake: Callable[[], None]) -> None:
        for resident in self._parts.residents:
            resident.on_wake(wake)

    async def reset(self) -> None:
        for resident in self._parts.residents:
            await resident.reset()

    async def close(self) -> None:
        closing = [resident.close() for resident in self._parts.residents]
        if self._parts.servers is not None:
            closing.append(self._parts.servers.close())
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*closing, return_exceptions=True)
        except TimeoutError:
            _log.warning("tools did not end in time")

    def _job(self, use: ToolUse, activity: Callable[[], None]) -> "_Job":
        tool, arguments = self._by_name.get(use.name), use.arguments
        if tool is None and use.name in self._aliases:
            tool, arguments = self._aliases[use.name], _renamed(arguments)
        if tool is None and self._parts.servers is not None and not self._is_disabled(use.name):
            tool = self._parts.servers.find(use.name)
        call = ToolCall(use.id, activity)
        if tool is None:
            return _Job(use, call, refused=f"there is no tool {use.name[:100]!r}")
        if not isinstance(arguments, Mapping):
            return _Job(use, call, refused="the arguments must be an object")
        problem = problem_of(arguments, tool.spec.input_schema)
        return _Job(use, call, tool, arguments, problem)

    def _is_disabled(self, name: str) -> bool:
        return name in self._parts.disabled

    async def _placed(self, places: asyncio.Semaphore, job: "_Job") -> ToolResult:
        async with places:
            return await self._carry_out(job)

    async def _carry_out(self, job: "_Job") -> ToolResult:
        if job.refused or job.tool is None:
            return error_result(job.refused)
        seconds = job.seconds or DEFAULT_SECONDS
        limit = asyncio.timeout(seconds + GRACE_SECONDS)
        try:
            async with limit:
                result = await job.tool.run(job.arguments, job.call)
        except TimeoutError:
            if not limit.expired():
                return error_result("the tool gave up waiting; try again or do it differently")
            return error_result(f"{job.use.name} was ended because it did not return in time")
        except ENDS_THE_PROCESS:
            raise
        except Exception as error:  # noqa: BLE001 a tool's fault is its caller's to read
            _log.exception("tool failed", extra=fields(reason=job.use.name))
            return error_result(f"{job.use.name} failed: {type(error).__name__}: {error}"[:2000])
        return self._bounded(result)

    def _bounded(self, result: ToolResult) -> ToolResult:
        """The last line of defence; tools bound their results themselves."""
        left = MAX_CHARACTERS
        parts: list[Part] = []
        for part in result.parts[:MAX_PARTS]:
            if isinstance(part, TextPart):
                text = _sendable(part.text)
                shown = text if len(text) <= left else self._cut(text, left)
                left = max(left - len(text), 0)
                parts.append(TextPart(shown if shown.strip() else "(no output)"))
            elif isinstance(part, ImagePart) and (problem := problem_of_picture(part)):
                parts.append(TextPart(f"(an image that cannot be shown: {problem})"))
            else:
                parts.append(part)
        if len(result.parts) > MAX_PARTS:
            parts.append(TextPart(f"({len(result.parts) - MAX_PARTS} more parts left out)"))
        return replace(result, parts=tuple(parts) or (TextPart("(no output)"),))

    def _cut(self, text: str, left: int) -> str:
        path = self._parts.keeper.keep(text.encode(errors="replace"), ".txt")
        where = f"; all of it is in {path}" if path is not None else ""
        return f"{text[:left]}\n(cut: {len(text)} characters{where})"


@dataclass(frozen=True, slots=True)
class _Job:
    """A call whose tool is known, or what is wrong with it."""

    use: ToolUse
    call: ToolCall
    tool: Tool | None = None
    arguments: Arguments = field(default_factory=dict)
    refused: str = ""

    @property
    def reads(self) -> bool:
        return self.tool is not None and self.tool.spec.read_only

    @property
    def seconds(self) -> float | None:
        if self.tool is None or self.refused:
            return None
        return self.tool.declared_seconds(self.arguments)


def _shown(jobs: Sequence[_Job]) -> tuple[str, float | None]:
    """What the host is shown of several calls: the one that may take longest (R-251)."""
    longest = max(jobs, key=lambda job: job.seconds or 0.0)
    name = longest.use.name if longest.tool is None else longest.tool.spec.name
    return name, longest.seconds


def _with_bounded_media(results: Sequence[ToolResult]) -> tuple[ToolResult, ...]:
    """Each is within its limit; together they may be too much for one request."""
    left = MAX_MEDIA_CHARACTERS
    bounded: list[ToolResult] = []
    for result in results:
        parts: list[Part] = []
        for part in result.parts:
            size = 0 if isinstance(part, TextPart) else len(part.data)
            fits = size <= left
            left -= size if fits else 0
            parts.append(part if fits else TextPart(_TOO_MUCH))
        bounded.append(replace(result, parts=tuple(parts)))
    return tuple(bounded)


def _sendable(text: str) -> str:
    """Names of files may be bytes that are no text; no request could be made of them."""
    return text.encode("utf-8", "replace").decode()


def _renamed(arguments: object) -> object:
    if not isinstance(arguments, Mapping):
        return arguments
    return {_RENAMED.get(str(key), str(key)): value for key, value in arguments.items()}


class _Chosen:
    """A sub-agent's view of the servers: the same ones, fewer tools, nothing to end."""

    def __init__(self, servers: McpSource, names: frozenset[str]) -> None:
        self._servers = servers
        self._names = names

    @property
    def busy(self) -> bool:
        return False

    def prepare(self) -> None:
        """They are started for the agent itself."""

    async def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(spec for spec in await self._servers.specs() if spec.name in self._names)

    def find(self, name: str) -> Tool | None:
        return self._servers.find(name) if name in self._names else None

    def take_notes(self) -> tuple[str, ...]:
        return ()

    async def close(self) -> None:
        """They are ended with the agent itself."""

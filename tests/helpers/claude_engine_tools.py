"""A toolbox of made-up tools, for tests of the engine that need no real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runner.toolbox.base import Toolbox, ToolResult, ToolSpec, ToolUse, error_result, text_result

Work = Callable[[Mapping[str, object]], Awaitable[ToolResult]]
SCHEMA = {"type": "object", "properties": {}}


def spec(name: str, *, read_only: bool = False) -> ToolSpec:
    return ToolSpec(name, f"the tool {name}", SCHEMA, read_only=read_only)


async def echo(arguments: Mapping[str, object]) -> ToolResult:
    return text_result(f"echo: {arguments.get('text', '')}")


@dataclass
class FakeToolbox:
    """``works`` are the tools; ``ran`` the calls, in the order in which they ended."""

    works: dict[str, Work] = field(default_factory=lambda: {"echo": echo})
    readers: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    ran: list[ToolUse] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    resets: int = 0
    busy: bool = False
    marks: list[str] = field(default_factory=list)
    extra_specs: tuple[ToolSpec, ...] = ()
    _wake: Callable[[], None] = lambda: None

    async def prepare(self) -> None:
        return None

    async def specs(self) -> tuple[ToolSpec, ...]:
        own = tuple(spec(name, read_only=name in self.readers) for name in sorted(self.works))
        return (*own, *self.extra_specs)

    async def run(
        self, uses: Sequence[ToolUse], activity: Callable[[], None]
    ) -> tuple[ToolResult, ...]:
        activity()
        if all(use.name in self.readers for use in uses):
            return tuple(await asyncio.gather(*(self._one(use) for use in uses)))
        return tuple([await self._one(use) for use in uses])

    async def _one(self, use: ToolUse) -> ToolResult:
        work = self.works.get(use.name)
        if work is None:
            return error_result(f"there is no tool {use.name}")
        assert isinstance(use.arguments, Mapping)
        try:
            result = await work(use.arguments)
        except asyncio.CancelledError:
            self.cancelled.append(use.id)
            raise
        self.ran.append(use)
        return result

    @asynccontextmanager
    async def at_work(self, name: str, seconds: float | None) -> AsyncIterator[None]:
        self.marks.append(f"{name} {seconds}")
        try:
            yield
        finally:
            self.marks.append("-")

    def subset(self, names: frozenset[str]) -> Toolbox:
        kept = {name: work for name, work in self.works.items() if name in names}
        small = FakeToolbox(kept, self.readers)
        small.ran, small.marks = self.ran, self.marks
        return small

    def take_notes(self) -> tuple[str, ...]:
        notes = tuple(self.notes)
        self.notes.clear()
        return notes

    def on_wake(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def tell(self, note: str) -> None:
        """Something happened in the background, and it deserves a turn."""
        self.notes.append(note)
        self._wake()

    async def reset(self) -> None:
        self.resets += 1

    async def close(self) -> None:
        self.marks.append("closed")

"""Which foreign content the running turn has seen through tools: the web, servers of others.

One per process, kept by ``CurrentTurn``. Whoever gets such content adds a word before the model
reads it; the provider begins it anew with every turn; messages written meanwhile carry the words
to the host. ``TaintingToolbox`` stands before the real tools: it knows which of them are foreign,
and publishes what the turn has seen before a tool starts a program that writes rows itself.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager

from runner.toolbox.base import Toolbox, ToolResult, ToolSpec, ToolUse

WEB = "web"
MCP = "mcp"
WEB_TOOLS = frozenset({"web_fetch", "web_search", "WebFetch", "WebSearch"})
FOREIGN_TOOLS = "mcp_"
"""Tools of MCP servers and the generic ones that reach them."""
OWN_TOOLS = "mcp__nanoclaw__"

Keep = Callable[[frozenset[str]], None]
Publish = Callable[[frozenset[str]], Awaitable[None]]


def taint_of_tool(name: str) -> str | None:
    """What an answer of this tool brings into the turn; None for tools of our own."""
    if name in WEB_TOOLS:
        return WEB
    if name.startswith(FOREIGN_TOOLS) and not name.startswith(OWN_TOOLS):
        return MCP
    return None


class TurnTaint:
    """``words`` of the turn so far."""

    def __init__(self) -> None:
        self.published: frozenset[str] = frozenset()
        """What other processes were told last."""
        self._words: frozenset[str] = frozenset()
        self._keep: Keep | None = None

    @property
    def words(self) -> frozenset[str]:
        return self._words

    def keep_with(self, keep: Keep | None) -> None:
        """``keep`` is given every new word at once, so that it outlives this process."""
        self._keep = keep

    def begin(self, words: Iterable[str] = ()) -> None:
        """Another turn; ``words`` are those that it has already."""
        self._words = frozenset()
        self.add(words)

    def add(self, words: Iterable[str]) -> None:
        new = frozenset(words) - self._words
        if not new:
            return
        self._words |= new
        if self._keep is not None:
            self._keep(new)


class TaintingToolbox:
    """The same tools; those that bring foreign content leave their mark.

    ``words`` is everything that the turn has seen, its rows included.
    """

    def __init__(
        self,
        tools: Toolbox,
        taint: TurnTaint,
        words: Callable[[], frozenset[str]],
        publish: Publish,
    ) -> None:
        self._tools = tools
        self._taint = taint
        self._words = words
        self._publish = publish

    @property
    def busy(self) -> bool:
        return self._tools.busy

    async def prepare(self) -> None:
        await self._tools.prepare()

    async def specs(self) -> tuple[ToolSpec, ...]:
        return await self._tools.specs()

    async def run(
        self, uses: Sequence[ToolUse], activity: Callable[[], None]
    ) -> tuple[ToolResult, ...]:
        """Marked however it ends: what was cut off may have been read in part."""
        found = (taint_of_tool(use.name) for use in uses)
        words = frozenset(word for word in found if word is not None)
        seen = self._words()
        if seen != self._taint.published:
            await self._publish(seen)
            self._taint.published = seen
        try:
            return await self._tools.run(uses, activity)
        finally:
            self._taint.add(words)

    def at_work(self, name: str, seconds: float | None) -> AbstractAsyncContextManager[None]:
        return self._tools.at_work(name, seconds)

    def subset(self, names: frozenset[str]) -> Toolbox:
        small = self._tools.subset(names)
        return TaintingToolbox(small, self._taint, self._words, self._publish)

    def take_notes(self) -> tuple[str, ...]:
        return self._tools.take_notes()

    def on_wake(self, wake: Callable[[], None]) -> None:
        self._tools.on_wake(wake)

    async def reset(self) -> None:
        await self._tools.reset()

    async def close(self) -> None:
        await self._tools.close()

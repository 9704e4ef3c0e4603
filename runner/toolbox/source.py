"""What a toolbox is put together from, besides single tools.

``McpSource`` is the part whose tools are known only later; a ``Resident`` is anything that lives on
between calls, such as a shell with background commands; a ``Branch`` is what a sub-agent has for
itself; ``InFlight`` shows the host which tool is at work (R-251). Implemented elsewhere, joined by
``equipment``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from runner.toolbox.base import Tool, ToolSpec


class McpSource(Protocol):
    """Tools of servers that start, change and fail by themselves (R-271, R-275)."""

    @property
    def busy(self) -> bool: ...

    def prepare(self) -> None:
        """Begins to start the servers and returns at once. Safe to repeat."""

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What to offer now, servers by name; waits a bounded time for those that start."""

    def find(self, name: str) -> Tool | None:
        """By the name that a model uses, also of a tool that was offered and is gone."""

    def take_notes(self) -> tuple[str, ...]: ...

    async def close(self) -> None: ...


class Resident(Protocol):
    """Has a life between calls; told of everything that concerns a whole toolbox."""

    @property
    def busy(self) -> bool:
        """The process must not leave yet (R-94)."""

    def take_notes(self) -> tuple[str, ...]:
        """News for the agent since the last time."""

    def on_wake(self, wake: Callable[[], None]) -> None: ...

    async def reset(self) -> None: ...

    async def close(self) -> None: ...


class Branch(NamedTuple):
    """Fresh tools that take the places of those with the same names, and what lives with them."""

    tools: tuple[Tool, ...]
    residents: tuple[Resident, ...]


class InFlight(Protocol):
    """The host's view of the tool at work; its failures are its own matter (R-59)."""

    @property
    def open_questions(self) -> bool:
        """Somebody is waited for (R-94)."""

    async def started(self, tool: str, milliseconds: int | None) -> None: ...

    async def ended(self) -> None: ...


class Keeper(Protocol):
    """Where long results are kept whole, for a day (R-252)."""

    def keep(self, content: bytes, suffix: str) -> Path | None:
        """Where it is now; None when it could not be kept."""

"""What a tool is, for all who offer, call or show them.

Built-in tools, those of NanoClaw and those of MCP servers are all of this shape, so a provider
neither knows nor cares where one comes from. A tool never raises for bad input: it answers with
an error that names the input and the next step. Results are bounded by whoever makes them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

Arguments = Mapping[str, object]
"""As the model gave them, already valid for the tool's schema."""


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """``data`` is base64."""

    media_type: str
    data: str


@dataclass(frozen=True, slots=True)
class DocumentPart:
    """A PDF; ``data`` is base64."""

    media_type: str
    data: str
    title: str = ""


Part = TextPart | ImagePart | DocumentPart


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model reads. At least one part, and no empty text (R-250)."""

    parts: tuple[Part, ...]
    is_error: bool = False

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))


def text_result(text: str) -> ToolResult:
    return ToolResult((TextPart(text or "(no output)"),))


def error_result(text: str) -> ToolResult:
    """``text`` without prefix; what the model sees begins with "Error: " (R-151)."""
    return ToolResult((TextPart(f"Error: {text}"),), is_error=True)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """How a tool is shown to a model. ``read_only`` calls may run side by side (R-250)."""

    name: str
    description: str
    input_schema: Mapping[str, object]
    read_only: bool = False
    aliases: tuple[str, ...] = ()
    """Names that instructions written for other agent programs use (R-249)."""
    listed: "tuple[ToolSpec, ...]" = ()
    """Tools that are only listed, after the first paragraph of the description: they are too many
    to be declared. They can be called by their names all the same (R-274)."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call. ``activity`` is to be called at every sign of life (R-328)."""

    id: str
    activity: Callable[[], None] = field(default=lambda: None)


class Tool(Protocol):
    """Objects live as long as the process; one of them may run several calls at once only when
    it is read-only."""

    @property
    def spec(self) -> ToolSpec: ...

    def declared_seconds(self, arguments: Arguments) -> float | None:
        """The call's own time limit, shown to the host (R-251); None: it has none to show."""

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        """Cancellation is the interrupt: children are ended before it is passed on (R-245)."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A model's request for one call."""

    id: str
    name: str
    arguments: object


class Toolbox(Protocol):
    """All tools of this process, in their fixed order (R-248)."""

    @property
    def busy(self) -> bool:
        """A background command is alive, or a question is open (R-94)."""

    async def prepare(self) -> None:
        """Begins to start what takes long; returns at once. Safe to repeat."""

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What is offered in a new epoch; waits a bounded time for slow servers (R-271)."""

    async def run(
        self, uses: Sequence[ToolUse], activity: Callable[[], None]
    ) -> tuple[ToolResult, ...]:
        """One result per use, in their order; never raises for a tool's fault."""

    def at_work(self, name: str, seconds: float | None) -> AbstractAsyncContextManager[None]:
        """Shows the host a tool that is none of these, a sub-agent, for as long as it lasts."""

    def subset(self, names: frozenset[str]) -> "Toolbox":
        """These tools without the others, for a sub-agent (R-257): with a shell of its own, and to
        be closed by whoever asked for it."""

    def take_notes(self) -> tuple[str, ...]:
        """News for the agent since the last time: ended background commands, changed servers."""

    def on_wake(self, wake: Callable[[], None]) -> None:
        """``wake`` is called when a note deserves a turn of its own (``notify``, R-252)."""

    async def reset(self) -> None:
        """A new conversation begins: shell and read-file memory start afresh."""

    async def close(self) -> None:
        """Ends children, bounded in time; called once."""

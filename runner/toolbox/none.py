"""For agents that use no tools and read no instructions: a script, and nothing behind it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from contract.outbound.row import UsageEntry
from runner.instructions.model import Instructions
from runner.toolbox.base import ToolResult, ToolSpec, ToolUse, error_result


class NoTools:
    """See ``runner.toolbox.base.Toolbox``."""

    busy = False

    async def prepare(self) -> None:
        """Nothing takes long."""

    async def specs(self) -> tuple[ToolSpec, ...]:
        return ()

    async def run(
        self, uses: Sequence[ToolUse], activity: Callable[[], None]
    ) -> tuple[ToolResult, ...]:
        return tuple(error_result(f"there is no tool {use.name!r}") for use in uses)

    def at_work(self, name: str, seconds: float | None) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def subset(self, names: frozenset[str]) -> "NoTools":
        return self

    def take_notes(self) -> tuple[str, ...]:
        return ()

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Nothing ever happens."""

    async def reset(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""


class NoInstructions:
    """See ``runner.instructions.model.InstructionSource``."""

    async def read(self) -> Instructions:
        return Instructions("", "", "", "", "")


class Nothing:
    """See ``Books`` in ``runner.providers.base``: no call is remembered, none is paid for."""

    async def log_usage(self, entry: UsageEntry) -> None:
        """There is nothing to pay."""

    async def recall(self, call_id: str) -> str | None:
        return None

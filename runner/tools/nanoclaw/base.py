"""The shape that all tools of this package have.

A tool is a description and a handler. Bad input, and session files that are busy for a moment, are
told to the agent and leave no row; everything that ends the process passes through.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from contract.errors import BadContent, SessionFileBusy, SessionFileMissing
from runner.toolbox.base import Arguments, ToolCall, ToolResult, ToolSpec, error_result
from runner.tools.nanoclaw.given import BadArgumentError, Given

SERVER_NAME = "nanoclaw"
MODEL_PREFIX = f"mcp__{SERVER_NAME}__"
"""How a model and its instructions call these tools (R-148)."""

Handler = Callable[[Given, ToolCall], Awaitable[ToolResult]]


def _no_limit(_: Given) -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class NanoclawTool:
    """One tool; ``limit`` is the call's own time limit, if it has one to show."""

    spec: ToolSpec
    handle: Handler
    limit: Callable[[Given], float | None] = _no_limit

    def declared_seconds(self, arguments: Arguments) -> float | None:
        try:
            return self.limit(Given(arguments))
        except BadArgumentError:
            return None

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        try:
            return await self.handle(Given(arguments), call)
        except (BadArgumentError, BadContent) as error:
            return error_result(str(error))
        except (SessionFileBusy, SessionFileMissing):
            return error_result(
                "the session's files are busy, so nothing was done; try again in a moment"
            )

    def named(self, prefix: str) -> "NanoclawTool":
        return replace(self, spec=replace(self.spec, name=prefix + self.spec.name))


def object_schema(
    properties: Mapping[str, Mapping[str, object]], required: tuple[str, ...] = ()
) -> dict[str, object]:
    """The input schema; unknown fields are ignored, hence not forbidden."""
    return {
        "type": "object",
        "properties": {name: dict(value) for name, value in properties.items()},
        "required": list(required),
    }


def string(description: str) -> dict[str, object]:
    return {"type": "string", "description": description}


def strings(description: str) -> dict[str, object]:
    return {"type": "array", "items": {"type": "string"}, "description": description}

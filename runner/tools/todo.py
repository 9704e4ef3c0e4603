"""The tool ``todo_write``: the agent's own list, kept with the conversation (R-256)."""

from collections.abc import Callable, Mapping, Sequence

from runner.toolbox.base import (
    Arguments,
    ToolCall,
    ToolResult,
    ToolSpec,
    error_result,
    text_result,
)

MAX_ITEMS = 100
MAX_CHARACTERS = 1000
STATES = ("pending", "in_progress", "done")
_MARKS = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}
_SPEC = ToolSpec(
    "todo_write",
    "Replaces your list of things to do in this conversation (TodoWrite in other programs). Use "
    "it for work of several steps, and keep it true.",
    {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "status": {"type": "string", "enum": list(STATES)},
                    },
                    "required": ["text", "status"],
                },
            }
        },
        "required": ["items"],
    },
    aliases=("TodoWrite",),
)

Save = Callable[[Sequence[Mapping[str, object]]], None]


class TodoTool:
    """``save_with`` says where the list is kept; without it, it is only repeated."""

    spec = _SPEC

    def __init__(self) -> None:
        self._save: Save = lambda _: None

    def save_with(self, save: Save) -> None:
        self._save = save

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return None

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        items = arguments["items"]
        assert isinstance(items, list | tuple)
        if len(items) > MAX_ITEMS:
            return error_result(f"items: at most {MAX_ITEMS}; sum some of them up")
        kept = [{"text": _text(item["text"]), "status": item["status"]} for item in items]
        self._save(kept)
        lines = [f"{_MARKS[item['status']]} {item['text']}" for item in kept]
        return text_result("\n".join(lines) or "The list is empty.")


def _text(text: str) -> str:
    """Halves of characters, which no file and no request can hold, become question marks."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()

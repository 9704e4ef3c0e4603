"""The models that the test server knows, in the shape of the Models API."""

from typing import Any

YES, NO = {"supported": True}, {"supported": False}
CAPABILITIES: dict[str, Any] = {
    "batch": YES,
    "citations": YES,
    "code_execution": YES,
    "compaction": {"supported": True, "summarize": YES},
    "context_management": {"supported": True},
    "effort": {"supported": True, "low": YES, "medium": YES, "high": YES, "max": YES, "xhigh": YES},
    "image_input": YES,
    "pdf_input": YES,
    "server_tools": {"supported": True, "code_execution": YES, "web_search": YES},
    "structured_outputs": YES,
    "thinking": {
        "supported": True,
        "types": {"adaptive": YES, "between_tools": YES, "disabled": YES, "enabled": NO},
    },
}


def _model(
    name: str, line: str, created: str, context: int = 1_000_000, output: int = 64_000
) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": created,
        "line": line,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": context,
        "max_tokens": output,
        "capabilities": CAPABILITIES,
    }


MODELS = (
    _model("claude-opus-5-5", "opus", "2026-10-01T00:00:00Z"),
    _model("claude-sonnet-5-5", "sonnet", "2026-10-01T00:00:00Z"),
    _model("claude-sonnet-5", "sonnet", "2026-06-01T00:00:00Z"),
    _model("claude-haiku-5-5", "haiku", "2026-10-15T00:00:00Z", context=200_000),
    _model("claude-fable-5-2", "fable", "2026-11-01T00:00:00Z"),
)

"""What a server says about its tools, read with distrust.

``keep_usable`` runs on the raw answer, before the mcp package validates it as a whole, because
there one malformed tool would cost all others. ``read_tool`` makes our own value of what is left.
Both are pure. Everything is bounded: number of tools, names, descriptions, schemas.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from runner.mcp_client.schema import ANYTHING, usable_schema

MAX_TOOLS = 500
"""Per server; nobody needs more, and a page with 100,000 would otherwise fill the memory."""

MAX_NAME = 256
MAX_DESCRIPTION = 4_000
"""Of one tool where all tools are shown; a full one is kept for ``mcp_describe``."""

MAX_FULL_DESCRIPTION = 20_000
MAX_RAW_SCHEMA = 60_000
MAX_SCHEMA_HINT = 2_000
ONE_LINE = 160

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_RAW, _PROBLEM = "nanoclaw/schema", "nanoclaw/problem"
"""Notes of ``keep_usable`` for ``read_tool``, in the field that the protocol keeps for such."""

_HINTS = ("readOnlyHint", "idempotentHint", "destructiveHint", "openWorldHint")


@dataclass(frozen=True, slots=True)
class ServerTool:
    """``name`` is the server's own. ``schema`` is safe to declare; ``raw_schema`` is its text."""

    name: str
    full_description: str
    schema: Mapping[str, object]
    raw_schema: str
    read_only: bool = False
    repeatable: bool = False
    """A second call does no harm, so that one whose answer was lost may be made again."""

    @property
    def description(self) -> str:
        return cut(self.full_description, MAX_DESCRIPTION)

    @property
    def one_line(self) -> str:
        return cut(" ".join(self.full_description.split()), ONE_LINE)


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean(text: str) -> str:
    """Without control characters, except line ends and tabs."""
    return _CONTROL.sub("", text)


def keep_usable(
    result: Mapping[str, object], room: int = MAX_TOOLS
) -> tuple[dict[str, object], int]:
    """A page of tools with what can be used of it, and how many were left out."""
    offered = result.get("tools")
    items = offered if isinstance(offered, list) else []
    kept = [tool for item in items[:room] if (tool := _usable(item)) is not None]
    cursor = result.get("nextCursor")
    page = {key: value for key, value in result.items() if key not in ("tools", "nextCursor")}
    page["tools"] = kept
    if isinstance(cursor, str) and cursor and len(items) <= room:
        page["nextCursor"] = cursor
    return page, len(items) - len(kept)


def _usable(item: object) -> dict[str, object] | None:
    """The fields of a tool that we use; None without a usable name."""
    if not isinstance(item, dict):
        return None
    name = item.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not _encodable(name):
        return None
    declared = item.get("inputSchema")
    schema, problem = usable_schema(declared)
    usable: dict[str, object] = {
        "name": name,
        "inputSchema": dict(schema),
        "_meta": {_RAW: cut(_as_text(declared), MAX_RAW_SCHEMA), _PROBLEM: problem},
    }
    for key in ("title", "description"):
        value = item.get(key)
        if isinstance(value, str):
            usable[key] = cut(clean(value), MAX_FULL_DESCRIPTION)
    annotations = item.get("annotations")
    if isinstance(annotations, dict):
        usable["annotations"] = {
            hint: annotations[hint] for hint in _HINTS if isinstance(annotations.get(hint), bool)
        }
    return usable


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_tool(item: Mapping[str, object]) -> ServerTool:
    """``item`` as ``keep_usable`` left it."""
    meta = item.get("_meta")
    about = meta if isinstance(meta, dict) else {}
    raw, problem = str(about.get(_RAW, "")), about.get(_PROBLEM)
    schema = item.get("inputSchema")
    description = str(item.get("description") or item.get("title") or "").strip()
    if problem:
        shown = cut(raw, MAX_SCHEMA_HINT)
        description = cut(description, MAX_DESCRIPTION - MAX_SCHEMA_HINT)
        description += f"\n\nIts parameter schema {problem}; the server declares: {shown}"
    annotations = item.get("annotations")
    hints = annotations if isinstance(annotations, dict) else {}
    read_only = hints.get("readOnlyHint") is True
    return ServerTool(
        name=str(item["name"]),
        full_description=description.strip() or "(the server gives no description)",
        schema=schema if isinstance(schema, dict) else ANYTHING,
        raw_schema=raw,
        read_only=read_only,
        repeatable=read_only or hints.get("idempotentHint") is True,
    )


def _as_text(value: object) -> str:
    try:
        return clean(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True))
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"

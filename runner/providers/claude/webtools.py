"""The tools that the API itself carries out, and what they replace (R-258, R-274).

Pure. Called when the tools of an epoch are put together. While the server's ``web_fetch`` is
declared, the client tool of that name is hidden, because one name can stand for one tool only. Its
search among tools takes the place of a long list of those that are too many to be declared.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.message import Block
from runner.toolbox.base import ToolSpec

MAX_USES = 8
MAX_FETCH_TOKENS = 25_000
FETCH = "web_fetch"
SEARCH = "web_search"
_RESULTS = ("web_search_tool_result", "web_fetch_tool_result")
TOOL_SEARCH: Block = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
_TYPES = {
    "web_search_20260318": Feature.WEB_SEARCH,
    "web_fetch_20260318": Feature.WEB_FETCH,
    "tool_search_tool_bm25_20251119": Feature.TOOL_SEARCH,
}


def server_tools(
    setting: str, features: FeatureSet, timezone: str, disabled: frozenset[str]
) -> tuple[Block, ...]:
    """``setting`` is ``webTools`` of the configuration, "auto" or "server" for any at all."""
    if setting not in ("auto", "server"):
        return ()
    # ``direct`` alone: otherwise they bring code execution with them.
    search: Block = {
        "type": "web_search_20260318",
        "name": SEARCH,
        "allowed_callers": ["direct"],
        "max_uses": MAX_USES,
        "user_location": {"type": "approximate", "timezone": timezone},
    }
    fetch: Block = {
        "type": "web_fetch_20260318",
        "name": FETCH,
        "allowed_callers": ["direct"],
        "max_uses": MAX_USES,
        "max_content_tokens": MAX_FETCH_TOKENS,
        "citations": {"enabled": False},
    }
    return tuple(
        tool
        for tool, feature in ((fetch, Feature.WEB_FETCH), (search, Feature.WEB_SEARCH))
        if features.has(feature) and tool["name"] not in disabled
    )


def with_search(
    blocks: Sequence[Block], specs: Sequence[ToolSpec], features: FeatureSet
) -> tuple[Block, ...]:
    """Blocks of ``specs``, with those that are only listed declared for the server's search."""
    listed = {one.name: one for spec in specs for one in spec.listed}
    if not listed or not features.has(Feature.TOOL_SEARCH):
        return tuple(blocks)
    listing = {spec.name for spec in specs if spec.listed}
    shown = [_without_list(block) if block["name"] in listing else block for block in blocks]
    deferred = [{**tool_block(one), "defer_loading": True} for one in listed.values()]
    return (*shown, dict(TOOL_SEARCH), *deferred)


def tool_block(spec: ToolSpec) -> Block:
    """Schemas have sorted keys, so that the prefix is always the same (R-268)."""
    return {
        "name": spec.name,
        "description": spec.description,
        "input_schema": json.loads(json.dumps(spec.input_schema, sort_keys=True)),
    }


def _without_list(block: Block) -> Block:
    words, _, _ = str(block["description"]).partition("\n\n")
    return {**block, "description": words}


def has_web_content(content: Iterable[Mapping[str, object]]) -> bool:
    """The server has searched or fetched for this answer."""
    return any(
        str(block.get("type")).startswith(_RESULTS)
        or (block.get("type") == "server_tool_use" and block.get("name") in (FETCH, SEARCH))
        for block in content
    )


def feature_of(tool: Mapping[str, object]) -> Feature | None:
    """The feature that a declared tool needs; None for our own tools."""
    if tool.get("defer_loading") is True:
        return Feature.TOOL_SEARCH
    return _TYPES.get(str(tool.get("type")))

"""The web tools that the API itself carries out, and what they replace (R-258).

Pure. Called when the tools of an epoch are put together. While the server's ``web_fetch`` is
declared, the client tool of that name is hidden, because one name can stand for one tool only.
"""

from collections.abc import Iterable, Mapping

from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.message import Block

MAX_USES = 8
MAX_FETCH_TOKENS = 25_000
FETCH = "web_fetch"
SEARCH = "web_search"
_RESULTS = ("web_search_tool_result", "web_fetch_tool_result")
_TYPES = {
    "web_search_20260318": Feature.WEB_SEARCH,
    "web_fetch_20260318": Feature.WEB_FETCH,
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


def has_web_content(content: Iterable[Mapping[str, object]]) -> bool:
    """The server has searched or fetched for this answer."""
    return any(
        str(block.get("type")).startswith(_RESULTS)
        or (block.get("type") == "server_tool_use" and block.get("name") in (FETCH, SEARCH))
        for block in content
    )


def feature_of(tool: Mapping[str, object]) -> Feature | None:
    """The feature that a declared tool needs; None for our own tools."""
    return _TYPES.get(str(tool.get("type")))

"""What an endpoint turned out not to know, for the life of the process (R-258, R-279, R-313).

``find_feature`` is pure: it reads from the words of a refusal which of the things that were sent
is meant. A feature that was not sent is never blamed, so each is removed at most once and the
repetitions end.
"""

import re
from collections.abc import Iterable
from enum import StrEnum


class Feature(StrEnum):
    """In the order in which they are blamed: the narrow ones first."""

    WEB_SEARCH = "web_search"
    WEB_FETCH = "web_fetch"
    TOOL_SEARCH = "tool_search"
    SYSTEM_ROLE = "system_role"
    DROP_BLOCK = "drop_block"
    SERVER_COMPACTION = "server_compaction"
    FALLBACKS = "fallbacks"
    LONG_CACHE = "long_cache"
    CACHE = "cache"
    EFFORT = "effort"
    THINKING = "thinking"
    TOOL_CHOICE = "tool_choice"


WEB_TOOLS = frozenset({Feature.WEB_SEARCH, Feature.WEB_FETCH})

SERVER_TOOLS = WEB_TOOLS | {Feature.TOOL_SEARCH}
"""What is declared among the tools; without it other tools take its place."""

_NAMED_BY: dict[Feature, re.Pattern[str]] = {
    Feature.WEB_SEARCH: re.compile(r"web[_ ]search"),
    Feature.WEB_FETCH: re.compile(r"web[_ ]fetch"),
    Feature.TOOL_SEARCH: re.compile(r"tool[_ ]search|defer_loading|tool_reference"),
    Feature.SYSTEM_ROLE: re.compile(r"\brole\b|role 'system'|system messages?\b"),
    Feature.DROP_BLOCK: re.compile(r"block_binding|thinking-binding|prefix_mismatch"),
    Feature.SERVER_COMPACTION: re.compile(r"\bcompact"),
    Feature.FALLBACKS: re.compile(r"\bfallback"),
    Feature.LONG_CACHE: re.compile(r"\bttl\b|extended-cache"),
    Feature.CACHE: re.compile(r"cache_control|prompt[- ]caching"),
    Feature.EFFORT: re.compile(r"output_config|\beffort\b"),
    Feature.THINKING: re.compile(r"\bthinking\b"),
    Feature.TOOL_CHOICE: re.compile(r"tool_choice"),
}


def find_feature(words: str, sent: Iterable[Feature]) -> Feature | None:
    """The feature that ``words`` complain of, among those that were sent."""
    text, offered = words.lower(), frozenset(sent)
    for feature, pattern in _NAMED_BY.items():
        if feature in offered and pattern.search(text):
            return feature
    if offered & SERVER_TOOLS and re.search(r"\btools?\.\d+|\btools\[\d+\]|tool type", text):
        return next(feature for feature in Feature if feature in offered & SERVER_TOOLS)
    return None


class FeatureSet:
    """Everything is thought to be known until the endpoint says otherwise."""

    def __init__(self, missing: Iterable[Feature] = ()) -> None:
        self._missing = set(missing)

    def has(self, feature: Feature) -> bool:
        return feature not in self._missing

    def remove(self, feature: Feature) -> None:
        self._missing.add(feature)

    @property
    def web_tools(self) -> frozenset[Feature]:
        return WEB_TOOLS - self._missing

"""What tools of the provider's own that read the web may cost in one request, at most.

Pure. Asked by ``estimate`` before a request and by ``charge`` and ``meter`` for one that was cut
off. A use is a search or a page; how much text it brings nobody knows before, so every use is taken
at the same bounded allowance, which is more than most pages have.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nanoclaw.vault.prices import WEB_SEARCH

SEARCH, FETCH = "web_search", "web_fetch"
TOKENS_PER_USE = 5000
USES_UNSAID = 10
"""As many rounds as the API makes by itself before it answers."""
MAX_USES = 100_000
USES_PER_SECOND = 1
"""Faster than pages come; for a request of which nothing else is known."""


@dataclass(frozen=True, slots=True)
class WebTool:
    """As a request declares it; ``kind`` begins with SEARCH or FETCH."""

    kind: str
    max_uses: object = None
    max_content_tokens: object = None
    is_clear: bool = True
    """False: it names a key twice."""


@dataclass(frozen=True, slots=True)
class WebUse:
    """``tokens`` of text that comes in; only searches have a fee."""

    uses: int = 0
    searches: int = 0
    tokens: int = 0

    @property
    def fee(self) -> int:
        """Millionths of a dollar."""
        return self.searches * WEB_SEARCH


def tool_of(pairs: list[tuple[str, object]]) -> WebTool | None:
    """None: the object is no such tool."""
    kinds = [value for key, value in pairs if key == "type" and isinstance(value, str)]
    kind = next((kind for kind in kinds if kind.startswith((SEARCH, FETCH))), None)
    if kind is None:
        return None
    values = dict(pairs)
    return WebTool(
        kind,
        values.get("max_uses"),
        values.get("max_content_tokens"),
        is_clear=len(values) == len(pairs),
    )


def use_of(tools: Iterable[WebTool]) -> WebUse:
    """Raises ValueError with what is wrong with the body."""
    uses = searches = tokens = 0
    for tool in tools:
        if not tool.is_clear:
            raise ValueError("a tool names a key twice")
        count = min(_whole("max_uses", tool.max_uses, USES_UNSAID), MAX_USES)
        longest = _whole("max_content_tokens", tool.max_content_tokens, TOKENS_PER_USE)
        uses += count
        searches += count if tool.kind.startswith(SEARCH) else 0
        tokens += count * min(longest, TOKENS_PER_USE)
    return WebUse(uses, searches, tokens)


def unused_after(use: WebUse, seconds: float) -> WebUse:
    """What cannot have happened in that time."""
    if not use.uses:
        return use
    left = max(0, use.uses - round(seconds * USES_PER_SECOND))
    return WebUse(left, use.searches * left // use.uses, use.tokens * left // use.uses)


def _whole(name: str, value: object, unsaid: int) -> int:
    if value is None:
        return unsaid
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} is no whole number")  # noqa: TRY004 a value of a body
    return max(value, 0)

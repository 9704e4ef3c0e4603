"""Notices when the cache of the prompt does not work as it should (R-267).

Told of every answer of the conversation by ``window``. A second request soon after the first begins
with the same bytes, so it must find something; when it does not, somebody pays ten times as much
and nobody sees it. The hashes of the parts say in the log which of them has changed.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.log import fields
from runner.providers.claude.epoch import Prefix

_log = logging.getLogger(__name__)

LIFE_SECONDS = 300.0
"""Of the shorter of the two entries; one that lives longer only makes the warning rarer."""


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    model: str
    cached: bool


class CacheWatch:
    """One per stream; ``clock`` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: _Seen | None = None

    def note(self, prefix: Prefix, usage: Mapping[str, object]) -> None:
        """After an answer to a request that began with this head."""
        last, now = self._last, self._clock()
        read = _count(usage, "cache_read_input_tokens")
        written = _count(usage, "cache_creation_input_tokens")
        self._last = _Seen(now, prefix.model, cached=read + written > 0)
        if last is None or not last.cached or read > 0:
            return
        if last.model == prefix.model and now - last.at < LIFE_SECONDS:
            _log.warning(
                "nothing was found in the cache of the prompt",
                extra=fields(count=written, reason=part_hashes(prefix)),
            )

    def forget(self) -> None:
        """The list was shortened: the next request begins differently on purpose."""
        self._last = None


def part_hashes(prefix: Prefix) -> str:
    """Eight characters for each part of the head, to be compared between two lines of the log."""
    parts = {**prefix.parts, "tools": json.dumps(list(prefix.tools), sort_keys=True)}
    return " ".join(f"{label}={_short(text)}" for label, text in parts.items())


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def _count(usage: Mapping[str, object], key: str) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) else 0

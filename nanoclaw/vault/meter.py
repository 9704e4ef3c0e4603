"""Reads what an answer cost while it passes by, without holding it back or keeping it.

Fed by ``exchange`` with the bytes of one answer. Of a stream only the events that carry ``usage``
are parsed; of an answer in one piece a bounded copy is. An answer that was cut off is charged by
what can be known of it: by the length of what was seen, and by the time in which it was made, so
that nobody saves anything by hanging up just before the bill.
"""

import json
from dataclasses import dataclass, replace

from nanoclaw.vault.limits import METER_BODY_BYTES, METER_LINE_BYTES
from nanoclaw.vault.prices import Tokens
from nanoclaw.vault.web import FETCH, SEARCH, TOKENS_PER_USE

DELTA_FRAME_BYTES = 90
"""What an event of a few letters is wrapped in."""
BYTES_PER_TOKEN = 3
TOKENS_PER_SECOND = 100
"""Faster than models write; for text that was made but not sent, such as hidden thinking."""
SEARCH_RESULT, FETCH_RESULT = (f'"{name}_tool_result"'.encode() for name in (SEARCH, FETCH))
"""Types of blocks that a stream brings when the provider has read the web."""


NONE = Tokens()


@dataclass(frozen=True, slots=True)
class Reading:
    """``known`` False: nothing was learned, charge what was reserved."""

    known: bool
    tokens: Tokens = NONE
    model: str = ""


class Meter:
    """One answer. ``stream`` says whether it is one of server-sent events."""

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._pending = bytearray()
        self._skipping = False
        self._overfull = False
        self._tokens = Tokens()
        self._model = ""
        self._started = False
        self._stopped = False
        self._seen_output = 0
        self._seen_searches = self._seen_results = 0

    def feed(self, data: bytes) -> None:
        if not self._stream:
            self._overfull = self._overfull or len(self._pending) + len(data) > METER_BODY_BYTES
            if not self._overfull:
                self._pending += data
            return
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._take(data[start:end])
            if not self._skipping:
                self._line(bytes(self._pending))
            self._pending.clear()
            self._skipping = False
            start = end + 1
        self._take(data[start:])

    def read(self, seconds: float, max_output: int) -> Reading:
        """At the end, whichever way it came. ``seconds``: since the answer began."""
        if not self._stream:
            self._body()
        tokens = self._tokens
        if self._started and not self._stopped:
            guess = max(tokens.output, self._seen_output, round(seconds * TOKENS_PER_SECOND))
            tokens = replace(
                tokens,
                input=tokens.input + self._seen_results * TOKENS_PER_USE,
                output=max(tokens.output, min(guess, max_output)),
                searches=max(tokens.searches, self._seen_searches),
            )
        return Reading(self._started, tokens, self._model)

    def _take(self, piece: bytes) -> None:
        """A line longer than any that we need is passed over."""
        if len(self._pending) + len(piece) > METER_LINE_BYTES:
            self._skipping = True
            self._pending.clear()
        if not self._skipping:
            self._pending += piece

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        head = line[:120]
        if b"content_block_delta" in head:
            self._seen_output += max(1, (len(line) - DELTA_FRAME_BYTES) // BYTES_PER_TOKEN)
        elif b"content_block_start" in head:
            self._seen_searches += SEARCH_RESULT in line
            self._seen_results += SEARCH_RESULT in line or FETCH_RESULT in line
        elif b'"message_' in head or b'"usage"' in line:
            self._event(line[5:])

    def _event(self, text: bytes) -> None:
        value = _object(text)
        kind = value.get("type")
        if kind == "message_start":
            message = value.get("message")
            if isinstance(message, dict):
                self._started = True
                self._model = _name(message.get("model"))
                self._update(message.get("usage"))
        elif kind == "message_delta":
            self._update(value.get("usage"))
            self._seen_searches = self._seen_results = 0  # they are in these totals
        elif kind == "message_stop":
            self._stopped = True

    def _body(self) -> None:
        value = {} if self._overfull else _object(bytes(self._pending))
        if isinstance(value.get("usage"), dict):
            self._started = self._stopped = True
            self._model = _name(value.get("model"))
            self._update(value.get("usage"))

    def _update(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        parts = usage.get("iterations")
        if isinstance(parts, list) and parts:
            # Several model calls in one request: their sum is what is billed.
            tokens = _sum([_tokens(part, Tokens()) for part in parts if isinstance(part, dict)])
            self._tokens = replace(tokens, searches=_tokens(usage, self._tokens).searches)
        else:
            self._tokens = _tokens(usage, self._tokens)


def _tokens(usage: dict[str, object], before: Tokens) -> Tokens:
    """Counts of a stream are totals so far; what is not mentioned stays."""
    written, hour = before.write_5m, before.write_1h
    if (total := _count(usage.get("cache_creation_input_tokens"))) is not None:
        written = max(0, total - hour)
    creation = usage.get("cache_creation")
    if isinstance(creation, dict):
        hour = _count(creation.get("ephemeral_1h_input_tokens")) or 0
        short = _count(creation.get("ephemeral_5m_input_tokens")) or 0
        written = max(short, (total or 0) - hour)
    tools = usage.get("server_tool_use")
    searches = _count(tools.get("web_search_requests")) if isinstance(tools, dict) else None
    return Tokens(
        input=_or(_count(usage.get("input_tokens")), before.input),
        output=_or(_count(usage.get("output_tokens")), before.output),
        read=_or(_count(usage.get("cache_read_input_tokens")), before.read),
        write_5m=written,
        write_1h=hour,
        searches=_or(searches, before.searches),
    )


def _sum(parts: list[Tokens]) -> Tokens:
    return Tokens(
        input=sum(part.input for part in parts),
        output=sum(part.output for part in parts),
        read=sum(part.read for part in parts),
        write_5m=sum(part.write_5m for part in parts),
        write_1h=sum(part.write_1h for part in parts),
    )


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return min(max(value, 0), 10**12)


def _or(value: int | None, other: int) -> int:
    return other if value is None else value


def _name(value: object) -> str:
    return value[:128] if isinstance(value, str) else ""


def _object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

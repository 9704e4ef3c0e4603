"""Splits the bytes of an event stream into events; bounded and never surprised.

Pure. Fed by ``client`` with whatever chunks arrive. Only the fields ``event`` and ``data`` matter
here; comments, unknown fields and a last event without its blank line are dropped, the latter
because a cut connection must not pass for an end. Invalid UTF-8 becomes U+FFFD.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""A whole answer; the largest real ones are below two megabytes."""


class OversizedStreamError(Exception):
    """The response is larger than any real one."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """``name`` is the field ``event``, empty when it was not sent."""

    name: str
    data: str


class EventSplitter:
    """One response."""

    def __init__(self, limit: int = MAX_RESPONSE_BYTES) -> None:
        self._limit = limit
        self._seen = 0
        self._rest: list[bytes] = []
        self._name = ""
        self._data: list[str] = []
        self._after_return = False

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that ``chunk`` completes; raises OversizedStreamError."""
        self._seen += len(chunk)
        if self._seen > self._limit:
            raise OversizedStreamError(f"the response is over {self._limit} bytes")
        for line in self._lines(chunk):
            event = self._take(line)
            if event is not None:
                yield event

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        """Complete lines; CR, LF and CRLF end one, also when CRLF is torn apart."""
        if not chunk:
            return
        ends_torn = self._after_return and chunk.startswith(b"\n")
        self._after_return = chunk.endswith(b"\r")
        for piece in chunk[1:].splitlines(keepends=True) if ends_torn else chunk.splitlines(True):
            line = piece.rstrip(b"\r\n")
            self._rest.append(line)
            if len(line) != len(piece):
                yield b"".join(self._rest)
                self._rest.clear()

    def _take(self, line: bytes) -> ServerEvent | None:
        if not line:
            event = ServerEvent(self._name, "\n".join(self._data))
            empty = not self._name and not self._data
            self._name, self._data = "", []
            return None if empty else event
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None

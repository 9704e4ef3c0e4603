"""The doorkeeper between a server's wire and the mcp package's session.

Every message of every transport passes here. The package starts a task per notification and per
request of the server, without a limit; here a server gets a bounded number of them, and one that
keeps flooding is cut off. Answers that nobody asked for go nowhere, and a list of tools is cleaned
before the package judges it as a whole.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import mcp_types as types
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage

from runner.mcp_client.listing import MAX_TOOLS, keep_usable

WINDOW_SECONDS = 10.0
PASSED_PER_WINDOW = 500
"""Notifications and requests that reach the session; more are dropped. Progress is the only thing
that comes often, and it needs no more to show life."""

UNASKED_PER_WINDOW = 20_000
"""Messages that are no answer to us; a server that sends more is cut off."""

BYTES_PER_WINDOW = 160 * 1024 * 1024
"""Ten of the longest messages; a server that says more is cut off."""

MAX_OPEN_REQUESTS = 50
"""Requests of the server (ping, sampling ...) whose answer has not been written yet."""


Streams = tuple[ReadStream[SessionMessage | Exception], WriteStream[SessionMessage]]
"""What a transport of the package yields."""


class FloodError(ConnectionError):
    """The server sends so much that it is cut off."""


@dataclass(slots=True)
class _Window:
    """How much came within the current stretch of time."""

    until: float = 0.0
    seen: int = 0
    passed: int = 0
    bytes: int = 0


class Guard:
    """State of one connection. ``now`` is a monotonic clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._window = _Window()
        self._asked: dict[types.RequestId, str] = {}
        self._open_requests = 0
        self._tools_left = MAX_TOOLS
        self.dropped = 0
        self.tools_left_out = 0

    def begin_listing(self) -> None:
        """A new list of tools is about to be asked for, perhaps in several pages."""
        self._tools_left = MAX_TOOLS
        self.tools_left_out = 0

    def sending(self, message: types.JSONRPCMessage) -> None:
        """Remembers what is asked, so that an answer can be told from noise."""
        if isinstance(message, types.JSONRPCRequest):
            self._asked[message.id] = message.method
        elif isinstance(message, types.JSONRPCNotification):
            if message.method == "notifications/cancelled":
                self._asked.pop((message.params or {}).get("requestId", ""), None)
        else:
            self._open_requests = max(self._open_requests - 1, 0)

    def admits(self, message: types.JSONRPCMessage) -> bool:
        """Whether the session may see it; raises FloodError when it was one too many."""
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            method = self._answered(message.id)
            if method is None:
                self.garbage()
                return False
            if method == "tools/list" and isinstance(message, types.JSONRPCResponse):
                self._clean(message)
            return True
        if not self._may_pass():
            return False
        if isinstance(message, types.JSONRPCRequest):
            if self._open_requests >= MAX_OPEN_REQUESTS:
                self.dropped += 1
                return False
            self._open_requests += 1
        return True

    def _answered(self, answer_id: types.RequestId | None) -> str | None:
        """The method of our question; ids that come back as text are numbers of ours."""
        if answer_id is None:
            return None
        if answer_id not in self._asked and isinstance(answer_id, str) and answer_id.isdecimal():
            answer_id = int(answer_id[:18])
        return self._asked.pop(answer_id, None)

    def heard(self, size: int) -> None:
        """Counts bytes from the server; raises FloodError when there were too many."""
        window = self._current()
        window.bytes += size
        if window.bytes > BYTES_PER_WINDOW:
            raise FloodError("it floods the connection with more data than can be read")

    def _current(self) -> _Window:
        now = self._now()
        if now >= self._window.until:
            self._window = _Window(until=now + WINDOW_SECONDS)
        return self._window

    def garbage(self) -> None:
        """Counts what is no message, or answers nothing; raises FloodError when it was too much."""
        window = self._current()
        window.seen += 1
        if window.seen > UNASKED_PER_WINDOW:
            raise FloodError("it floods the connection with messages that nobody asked for")

    def _may_pass(self) -> bool:
        self.garbage()
        window = self._current()
        if window.passed >= PASSED_PER_WINDOW:
            self.dropped += 1
            return False
        window.passed += 1
        return True

    def _clean(self, message: types.JSONRPCResponse) -> None:
        message.result, left_out = keep_usable(message.result, self._tools_left)
        tools = message.result["tools"]
        self._tools_left -= len(tools) if isinstance(tools, list) else 0
        self.tools_left_out += left_out


class GuardedReader:
    """The session's read stream: what ``inner`` yields and ``guard`` admits.

    ``flooded`` is called once when the server is cut off; the session then sees the end.
    """

    def __init__(
        self,
        inner: ReadStream[SessionMessage | Exception],
        guard: Guard,
        flooded: Callable[[str], None],
    ) -> None:
        self._inner = inner
        self._guard = guard
        self._flooded = flooded

    @property
    def last_context(self) -> object:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """As the iterator, for whoever reads one message at a time."""
        return await self.__anext__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            async for item in self._inner:
                if self._passes(item):
                    return item
        except FloodError as error:
            self._flooded(str(error))
        raise StopAsyncIteration

    def _passes(self, item: SessionMessage | Exception) -> bool:
        if isinstance(item, Exception):
            self._guard.garbage()
            return False
        return self._guard.admits(item.message)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._inner.aclose()


class GuardedWriter:
    """The session's write stream; tells ``guard`` what is asked and answered."""

    def __init__(self, inner: WriteStream[SessionMessage], guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    async def send(self, item: SessionMessage, /) -> None:
        self._guard.sending(item.message)
        await self._inner.send(item)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._inner.aclose()


def guarded(streams: Streams, guard: Guard, flooded: Callable[[str], None]) -> Streams:
    """The same pair of streams, with the doorkeeper between."""
    read, write = streams
    return GuardedReader(read, guard, flooded), GuardedWriter(write, guard)

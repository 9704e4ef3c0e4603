"""A server at an address: streamable HTTP, or the older event stream, with limits (R-275).

Called by ``connection``. Goes through the same proxy and certificates as everything else. The mcp
package reads whole bodies into memory; the transport below it counts them, and asks for
uncompressed ones, because a few kilobytes can unpack to gigabytes. Redirects to another place are
never followed, since headers from the configuration may hold a secret.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType

import httpx2
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from contract.config import McpServer
from runner.mcp_client.failure import in_words
from runner.mcp_client.guard import FloodError, Guard, Streams, guarded
from runner.tools.web.route import proxy_for, tls_context

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
CONNECT_SECONDS = 15.0
READ_SECONDS = 660.0
"""Between two pieces of an answer; above the longest time limit that a call may have (R-273)."""

_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)
_COMPRESSED = "the server compresses its answer although asked not to"
_TOO_LONG = f"its answer is longer than {MAX_MESSAGE_BYTES // 2**20} MB"
_EVENT_STREAM = "text/event-stream"


class AnswerTooLargeError(httpx2.ReadError):
    """One answer of the server is longer than we read."""


class HttpTransport:
    """An async context manager as the package's ``Client`` wants it."""

    def __init__(
        self,
        server: McpServer,
        environment: Mapping[str, str],
        lost: Callable[[str], None],
    ) -> None:
        self._server = server
        self._environment = environment
        self._lost = lost
        self._stack = AsyncExitStack()
        self._refused = ""
        self.guard = Guard()
        self.unreachable = False

    @property
    def hint(self) -> str:
        """What the server's last refusal was, which the package does not tell."""
        return self._refused

    def has_died(self) -> bool:
        """Not to be known without asking."""
        return False

    async def __aenter__(self) -> Streams:
        """Raises what httpx2 raises, and OSError for unreadable certificates."""
        url = self._server.url or ""
        if is_event_stream(self._server):
            streams = await self._stack.enter_async_context(
                sse_client(
                    url,
                    timeout=CONNECT_SECONDS,
                    sse_read_timeout=READ_SECONDS,
                    httpx_client_factory=self._client,
                )
            )
        else:
            client = await self._stack.enter_async_context(self._client())
            streams = await self._stack.enter_async_context(
                streamable_http_client(
                    url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES
                )
            )
        return guarded(streams, self.guard, self._lost)

    def _client(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        """What the package asks for is ignored: the configuration and our limits decide."""
        url = self._server.url or ""
        inner = httpx2.AsyncHTTPTransport(
            verify=tls_context(self._environment),
            trust_env=False,
            proxy=proxy_for(url, self._environment),
        )
        return httpx2.AsyncClient(
            transport=BoundedTransport(inner, Watch(self._count, self._not_reached, self._broken)),
            event_hooks={"response": [self._look_at]},
            headers={**self._server.headers, "accept-encoding": "identity"},
            timeout=httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS),
            trust_env=False,
        )

    def _count(self, size: int) -> None:
        try:
            self.guard.heard(size)
        except FloodError as error:
            self._lost(str(error))
            raise

    def _not_reached(self, error: Exception) -> None:
        self.unreachable = True
        self._lost(f"it cannot be reached: {in_words(error)}")

    def _broken(self, error: Exception) -> None:
        self._lost(in_words(error))

    async def _look_at(self, response: httpx2.Response) -> None:
        posted = response.request.method == "POST"
        if posted and response.status_code >= httpx2.codes.MULTIPLE_CHOICES:
            self._refused = f"HTTP {response.status_code} {response.reason_phrase}".strip()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    def kill(self) -> None:
        """There is no process; the connections end with the tasks that hold them."""


def is_event_stream(server: McpServer) -> bool:
    """The transport of 2024; everything else is streamable HTTP."""
    return (server.type or "").lower() == "sse"


@dataclass(frozen=True, slots=True)
class Watch:
    """Whom the transport tells of what happens on the wire."""

    count: Callable[[int], None]
    not_reached: Callable[[Exception], None]
    broken: Callable[[Exception], None]


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Counts what comes in: per answer, and for event streams by the guard's window only.

    The package lets an error of a posted request end the connection without a word of why, so the
    reason is told from here.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        posted = request.method == "POST"
        try:
            response = await self._inner.handle_async_request(request)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                await response.aclose()
                raise httpx2.DecodingError(_COMPRESSED)
        except _NOT_SENT as error:
            self._watch.not_reached(error)
            raise
        except httpx2.HTTPError as error:
            if posted:
                self._watch.broken(error)
            raise
        endless = response.headers.get("content-type", "").lower().startswith(_EVENT_STREAM)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _CountedStream(response.stream, self._watch, endless=endless)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _CountedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, watch: Watch, *, endless: bool) -> None:
        self._inner = inner
        self._watch = watch
        self._endless = endless

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._inner:
                self._watch.count(len(chunk))
                size += len(chunk)
                if not self._endless and size > MAX_MESSAGE_BYTES:
                    raise AnswerTooLargeError(_TOO_LONG)
                yield chunk
        except httpx2.HTTPError as error:
            if not self._endless:
                self._watch.broken(error)
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()

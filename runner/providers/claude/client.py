"""The API client: one attempt at one request, ending in a complete answer or a classified error.

Called by ``calls``. Uses the ``anthropic`` package for connection, authentication and error
classes, imported late because that costs most of a second (R-333); the stream is taken apart by
``sse`` and ``message``, so that an answer is kept as it came and a broken or endless one is an
error of its class (R-235, R-236). It never retries: waiting must be visible to the heartbeat.
"""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from runner.providers.claude.access import Access
from runner.providers.claude.errors import (
    CallClass,
    CallError,
    Refusal,
    classify,
    read_body,
    retry_after,
)
from runner.providers.claude.features import Feature
from runner.providers.claude.message import MalformedStreamError, MessageBuilder, Response
from runner.providers.claude.sse import EventSplitter, OversizedStreamError, ServerEvent

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic

READ_SECONDS = 180.0
"""Pings arrive more often than that, so silence this long is a dead connection (R-236)."""
CONNECT_SECONDS = 15.0
MAX_ERROR_BYTES = 256 * 1024
STREAM_TYPE = "text/event-stream"
SERIES_HEADER = "x-nanoclaw-series"
_EXPLICIT = frozenset({"model", "max_tokens", "messages"})


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What is sent; every attempt sends the same (R-313)."""

    body: Mapping[str, object]
    betas: tuple[str, ...] = ()
    features: frozenset[Feature] = frozenset()
    """What of it an endpoint may not know."""


class ApiClient:
    """One per process. ``http_client`` is for tests."""

    def __init__(
        self,
        access: Access,
        *,
        read_seconds: float = READ_SECONDS,
        http_client: "httpx2.AsyncClient | None" = None,
    ) -> None:
        self._access = access
        self._read_seconds = read_seconds
        self._http_client = http_client
        self._client: AsyncAnthropic | None = None
        self.series: str | None = None
        """The task that is being worked on; the host's vault books under it."""

    @staticmethod
    def warm_up() -> None:
        """Begins the slow import beside whatever else has to be done first."""
        threading.Thread(target=_import_package, name="warm-up", daemon=True).start()

    async def attempt(self, request: ApiRequest, activity: Callable[[], None]) -> Response:
        """Raises CallError; ``activity`` is called at every event."""
        import httpx2

        client = await self._connected()
        # The package's types for parameters say nothing about dictionaries that came from a file.
        body: dict[str, Any] = dict(request.body)
        headers = {"anthropic-beta": ",".join(request.betas)} if request.betas else {}
        if self.series and self.series.isascii() and self.series.isprintable():
            headers[SERIES_HEADER] = self.series
        try:
            async with client.messages.with_streaming_response.create(
                model=body["model"],
                max_tokens=body["max_tokens"],
                messages=body["messages"],
                stream=True,
                extra_headers={"accept": STREAM_TYPE, **headers},
                extra_body={key: body[key] for key in body if key not in _EXPLICIT},
            ) as response:
                activity()
                return await _read_answer(response.http_response, activity)
        except (OversizedStreamError, MalformedStreamError, UnicodeError) as error:
            raise CallError(CallClass.SERVER, f"the answer makes no sense: {error}") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise CallError(CallClass.NETWORK, _name(error)) from error
        except _package().AnthropicError as error:
            raise _classified(error) from error

    async def get(self, path: str, betas: tuple[str, ...] = ()) -> object:
        """The JSON answer of another address of the API, for example the list of models."""
        return await self._plain("get", path, None, betas)

    async def post(
        self, path: str, body: Mapping[str, object], betas: tuple[str, ...] = ()
    ) -> object:
        """The same with a body, for example to count tokens."""
        return await self._plain("post", path, body, betas)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _plain(
        self, method: str, path: str, body: Mapping[str, object] | None, betas: tuple[str, ...]
    ) -> object:
        client = await self._connected()
        headers = {"anthropic-beta": ",".join(betas)} if betas else {}
        try:
            if method == "get":
                return await client.get(path, cast_to=object, options={"headers": headers})
            return await client.post(
                path, cast_to=object, body=dict(body or {}), options={"headers": headers}
            )
        except (_package().AnthropicError, ValueError) as error:
            raise _classified(error) from error

    async def _connected(self) -> "AsyncAnthropic":
        if self._client is None:
            package = await asyncio.to_thread(_import_package)
            import httpx2

            http_client = self._http_client or package.DefaultAsyncHttpxClient(
                event_hooks={"response": [_bound_error]}
            )
            self._client = package.AsyncAnthropic(
                api_key=self._access.key,
                auth_token=self._access.token,
                base_url=self._access.base_url,
                max_retries=0,
                timeout=httpx2.Timeout(self._read_seconds, connect=CONNECT_SECONDS),
                http_client=http_client,
            )
        return self._client


def _import_package() -> ModuleType:
    import anthropic
    import anthropic.resources.messages  # imported late by the package itself

    # One line per request is noise at INFO; our own lines say more.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return anthropic


def _package() -> ModuleType:
    import anthropic

    return anthropic


async def _bound_error(response: "httpx2.Response") -> None:
    """An error page is read whole by the package, so its length is bounded here."""
    if response.status_code >= 400:
        import httpx2

        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _short_stream(response.stream)


def _short_stream(stream: "httpx2.AsyncByteStream") -> "httpx2.AsyncByteStream":
    import httpx2

    class ShortStream(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = MAX_ERROR_BYTES
            async for chunk in stream:
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return

        async def aclose(self) -> None:
            await stream.aclose()

    return ShortStream()


async def _read_answer(response: "httpx2.Response", activity: Callable[[], None]) -> Response:
    if STREAM_TYPE not in response.headers.get("content-type", ""):
        raise await _no_stream(response)
    splitter, builder = EventSplitter(), MessageBuilder()
    async for chunk in response.aiter_bytes():
        for event in splitter.feed(chunk):
            activity()
            value = _parse(event)
            if value is not None:
                builder.add(value)
    answer = builder.finish()
    if answer is None:
        raise CallError(CallClass.NETWORK, "the connection was cut before the answer was complete")
    return answer


def _parse(event: ServerEvent) -> dict[str, object] | None:
    """The event's object, None for one without meaning for the message; raises for errors."""
    if event.name == "ping" or not event.data:
        return None
    try:
        value = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        if event.name == "error":
            raise classify(Refusal(200, message=event.data[:500])) from error
        raise MalformedStreamError(f"an event is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedStreamError("an event is no object")
    if event.name == "error" or value.get("type") == "error":
        kind, code, message = read_body(value)
        raise classify(Refusal(200, kind, code, message))
    if "type" not in value:
        value["type"] = event.name
    return value


async def _no_stream(response: "httpx2.Response") -> CallError:
    """A gateway's page or an error object with a status that says success (R-314)."""
    text = bytearray()
    async for chunk in response.aiter_bytes():
        text += chunk
        if len(text) > MAX_ERROR_BYTES:
            break
    words = text.decode("utf-8", "replace")
    try:
        body: object = json.loads(words)
    except (ValueError, RecursionError):
        body = words
    kind, code, message = read_body(body)
    message = message or "the answer is no event stream"
    return classify(Refusal(502, kind, code, message, retry_after(response.headers)))


def _classified(error: Exception) -> CallError:
    """Of whatever the package raises. Its own texts may hold addresses, never keys."""
    package = _package()
    if isinstance(error, package.APIStatusError):
        kind, code, message = read_body(error.body)
        return classify(
            Refusal(
                error.status_code,
                error.type or kind,
                error.error_code or code,
                message,
                retry_after(error.response.headers),
            )
        )
    if isinstance(error, package.APIConnectionError):
        return CallError(CallClass.NETWORK, _name(error.__cause__ or error))
    return CallError(CallClass.REQUEST, _name(error))


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from helpers.messages_api.answers import Answer, answer, say, use
from helpers.messages_api.stream import encode, events

from runner.providers.claude.access import Access
from runner.providers.claude.client import READ_SECONDS, ApiClient, ApiRequest
from runner.providers.claude.errors import CallClass, CallError
from runner.providers.claude.message import Response
from runner.providers.claude.sse import MAX_RESPONSE_BYTES

Handler = Callable[[httpx2.Request], httpx2.Response]
BODY = {
    "model": "claude-test-x",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hé"}],
    "system": [{"type": "text", "text": "s"}],
    "novelty": {"b": 1, "a": 2},
}
STREAM = {"content-type": "text/event-stream; charset=utf-8"}


class Torn(httpx2.AsyncByteStream):
    """A body that ends in an error of the network."""

    def __init__(self, data: bytes, error: Exception | None = None, times: int = 1) -> None:
        self._data, self._error, self._times = data, error, times

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._times):
            yield self._data
        if self._error is not None:
            raise self._error


def wire(reply: Answer) -> bytes:
    return b"".join(encode(event) for event in events(reply, "msg_1", "claude-test-x", {}))


def attempt(handler: Handler, betas: tuple[str, ...] = ()) -> tuple[Response, list[None]]:
    """One attempt against a made-up transport; signs of life are counted."""
    signs: list[None] = []

    async def play() -> Response:
        http_client = httpx2.AsyncClient(
            transport=httpx2.MockTransport(handler), base_url="http://127.0.0.1:9"
        )
        client = ApiClient(Access("http://127.0.0.1:9", token="tok"), http_client=http_client)
        try:
            return await client.attempt(ApiRequest(BODY, betas), lambda: signs.append(None))
        finally:
            await client.close()

    return asyncio.run(play()), signs


def failed(handler: Handler) -> CallError:
    with pytest.raises(CallError) as raised:
        attempt(handler)
    return raised.value


def test_what_is_sent_is_what_was_asked_for() -> None:
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, headers=STREAM, content=wire(answer("hi")))

    attempt(handle, betas=("one", "two"))

    (request,) = seen
    assert json.loads(request.content) == {**BODY, "stream": True}
    assert request.url.path == "/v1/messages"
    assert request.headers["authorization"] == "Bearer tok"
    assert request.headers["anthropic-beta"] == "one,two"
    assert "x-api-key" not in request.headers
    assert request.headers["x-stainless-retry-count"] == "0"
    assert not {"temperature", "top_p", "top_k"} & set(json.loads(request.content))


def test_silence_is_noticed_by_the_socket() -> None:
    timeouts: list[object] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        timeouts.append(request.extensions["timeout"])
        return httpx2.Response(200, headers=STREAM, content=wire(answer("hi")))

    attempt(handle)

    assert READ_SECONDS == 180
    (timeout,) = timeouts
    assert isinstance(timeout, dict)
    assert timeout["read"] == 180


def test_every_event_is_a_sign_of_life_also_a_ping() -> None:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'

    def handle(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=STREAM, content=ping * 5 + wire(answer("hi")))

    _, signs = attempt(handle)

    assert len(signs) == 1 + 5 + len(list(events(answer("hi"), "m", "m", {})))


def test_an_answer_is_kept_with_all_its_blocks() -> None:
    reply = answer({"type": "novelty", "x": None}, say("é"), use("bash", call_id="t", command="ls"))

    response, _ = attempt(
        lambda _: httpx2.Response(200, headers=STREAM, content=wire(reply)),
    )

    assert response.content == reply.blocks


CUT = wire(answer("half of it"))[:-200]
FAILURES: dict[str, tuple[Handler, CallClass]] = {
    "a connection cut before the end": (
        lambda _: httpx2.Response(200, headers=STREAM, content=CUT),
        CallClass.NETWORK,
    ),
    "a reset in the middle": (
        lambda _: httpx2.Response(
            200, headers=STREAM, stream=Torn(CUT, httpx2.ReadError("connection reset"))
        ),
        CallClass.NETWORK,
    ),
    "a time-out in the middle": (
        lambda _: httpx2.Response(
            200, headers=STREAM, stream=Torn(CUT, httpx2.ReadTimeout("too slow"))
        ),
        CallClass.NETWORK,
    ),
    "an error event of type overloaded": (
        lambda _: httpx2.Response(
            200,
            headers=STREAM,
            content=b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
        ),
        CallClass.OVERLOADED,
    ),
    "an error event that is no JSON": (
        lambda _: httpx2.Response(200, headers=STREAM, content=b"event: error\ndata: oops\n\n"),
        CallClass.SERVER,
    ),
    "an answer without end": (
        lambda _: httpx2.Response(
            200,
            headers=STREAM,
            stream=Torn(b"x" * 1_000_000, times=MAX_RESPONSE_BYTES // 10**6 + 2),
        ),
        CallClass.SERVER,
    ),
    "bytes that are no text": (
        lambda _: httpx2.Response(200, headers=STREAM, content=b"data: \xff\xfe\n\n"),
        CallClass.SERVER,
    ),
    "a page": (
        lambda _: httpx2.Response(200, headers={"content-type": "text/html"}, content=b"<h1>Hi"),
        CallClass.SERVER,
    ),
    "an error object with the wrong status": (
        lambda _: httpx2.Response(200, json={"error": {"type": "authentication_error"}}),
        CallClass.AUTH,
    ),
    "an empty answer": (lambda _: httpx2.Response(200, headers=STREAM), CallClass.NETWORK),
    "no connection": (lambda _: no_route(), CallClass.NETWORK),
    "a page with an error status": (
        lambda _: httpx2.Response(502, content=b"<html>" + b"x" * 10**6),
        CallClass.SERVER,
    ),
    "an error that is a list": (lambda _: httpx2.Response(400, json=[1]), CallClass.REQUEST),
    "an error that is deep": (
        lambda _: httpx2.Response(400, content=b"[" * 100_000),
        CallClass.REQUEST,
    ),
}


def no_route() -> httpx2.Response:
    raise httpx2.ConnectError("no route to host")


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_has_a_class(name: str) -> None:
    handler, kind = FAILURES[name]

    error = failed(handler)

    assert error.kind is kind
    assert len(error.detail) <= 500
    assert "tok" not in error.detail.replace("token", "")


def test_the_wish_of_a_server_is_passed_on() -> None:
    error = failed(
        lambda _: httpx2.Response(
            429, headers={"retry-after": "9", "retry-after-ms": "1500"}, json={}
        )
    )

    assert (error.kind, error.retry_after_seconds) == (CallClass.RATE, 1.5)


def test_the_package_never_tries_again_by_itself() -> None:
    count = 0

    def handle(_: httpx2.Request) -> httpx2.Response:
        nonlocal count
        count += 1
        return httpx2.Response(529, json={"error": {"type": "overloaded_error"}})

    failed(handle)

    assert count == 1

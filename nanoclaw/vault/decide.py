"""Which requests may pass and with which headers. Pure; asked by ``exchange`` for every request.

Narrow on purpose: the Messages API routes that a runner needs and nothing else. A target is
compared as it came, byte by byte: nothing is decoded, joined or normalised, so there is nothing
that this side and the other could understand differently.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.vault.answers import Refusal, bad_request, not_allowed, too_large
from nanoclaw.vault.limits import MAX_BODY_BYTES

Headers = tuple[tuple[str, str], ...]
"""Names in lower case."""


class Route(StrEnum):
    """What a request asks for. Only MESSAGES costs money."""

    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    MODELS = "models"


@dataclass(frozen=True, slots=True)
class Passage:
    """A request that may go on. ``target`` is what upstream sees after its own base path."""

    route: Route
    method: str
    target: str
    headers: Headers
    body_bytes: int


_MESSAGES = {"/v1/messages": Route.MESSAGES, "/v1/messages/count_tokens": Route.COUNT_TOKENS}
_MODELS = re.compile(r"/v1/models(?:/[A-Za-z0-9][A-Za-z0-9._:@-]{0,127})?")
_QUERIES = {
    Route.MESSAGES: re.compile(r"beta=true"),
    Route.COUNT_TOKENS: re.compile(r"beta=true"),
    Route.MODELS: re.compile(
        r"(?:(?:^|&)(?:beta=true|(?:limit|after_id|before_id)=[\w.:@-]{1,128}))+"
    ),
}
_ALLOWED = "POST /v1/messages, POST /v1/messages/count_tokens, GET /v1/models, GET /v1/models/<id>"

PASSED_ON = frozenset({
    "accept", "anthropic-beta", "anthropic-version", "content-type", "user-agent",
})  # fmt: skip
"""Of a request. Whatever names a credential, a host, a proxy or a connection is left behind."""
PASSED_ON_PREFIX = "x-stainless-"

PASSED_BACK = frozenset({
    "cache-control", "content-encoding", "content-length", "content-type", "date", "request-id",
    "retry-after", "retry-after-ms", "x-should-retry",
})  # fmt: skip
"""Of an answer; besides these everything that begins with ``anthropic-``, but not whose it is."""
PASSED_BACK_PREFIX = "anthropic-"
KEPT_BACK = frozenset({"anthropic-organization-id"})

_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_MAX_SHOWN = 100


def decide_passage(method: str, target: str, headers: Headers) -> Passage | Refusal:
    """Looks at a request's head only."""
    framing = _framing(headers)
    if isinstance(framing, Refusal):
        return framing
    route = _route(method, target)
    if isinstance(route, Refusal):
        return route
    if route is Route.MODELS:
        if framing:
            return bad_request("a GET request has no body here")
    elif framing is None:
        return Refusal(
            411, "invalid_request_error", "the request has no content-length", close=True
        )
    return Passage(route, method, target, tuple(_onward(headers)), framing or 0)


def _framing(headers: Headers) -> int | Refusal | None:
    """The length of the body, in the one way that cannot be understood in two ways."""
    if any(name == "transfer-encoding" for name, _ in headers):
        return Refusal(
            411, "invalid_request_error",
            "request bodies are taken with content-length only, not with transfer-encoding",
            close=True,
        )  # fmt: skip
    lengths = [value for name, value in headers if name == "content-length"]
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isascii() or not lengths[0].isdigit():
        return bad_request("the content-length is not one number")
    length = int(lengths[0][:20])
    if length > MAX_BODY_BYTES:
        return too_large(f"the request has {length} bytes, more than {MAX_BODY_BYTES}")
    return length


def _route(method: str, target: str) -> Route | Refusal:
    path, mark, query = target.partition("?")
    wanted = f"{method} {path}"[:_MAX_SHOWN].encode("ascii", "replace").decode()
    if path in _MESSAGES:
        route, verb = _MESSAGES[path], "POST"
    elif _MODELS.fullmatch(path):
        route, verb = Route.MODELS, "GET"
    else:
        return not_allowed(f"{wanted} is not allowed through this door; allowed are {_ALLOWED}")
    if method != verb:
        return not_allowed(f"{wanted} is not allowed through this door; allowed are {_ALLOWED}")
    if mark and not _QUERIES[route].fullmatch(query):
        return not_allowed(f"{wanted} is allowed, but not with the parameters after the ?")
    return route


def _onward(headers: Headers) -> Iterable[tuple[str, str]]:
    for name, value in headers:
        known = name in PASSED_ON or name.startswith(PASSED_ON_PREFIX)
        if known and _TEXT.fullmatch(value):
            yield name, value


def back_headers(headers: Headers) -> Headers:
    """What an answer's reader gets to see of its headers."""
    # Beside a transfer coding a length counts for nothing (RFC 9112 6.3), and may be wrong.
    coded = any(name == "transfer-encoding" for name, _ in headers)
    return tuple(
        (name, value)
        for name, value in headers
        if not (coded and name == "content-length")
        if name in PASSED_BACK or (name.startswith(PASSED_BACK_PREFIX) and name not in KEPT_BACK)
    )


def presented_tokens(headers: Headers) -> tuple[str, ...]:
    """Session tokens as the SDK sends them, whichever way it was given one."""
    found = []
    for name, value in headers:
        if name == "x-api-key":
            found.append(value.strip())
        elif name == "authorization" and value[:7].lower() == "bearer ":
            found.append(value[7:].strip())
    return tuple(found)

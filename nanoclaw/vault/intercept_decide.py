"""What a request inside an intercepted connection may look like. Pure; asked by ``intercept``.

Written for a reader who suspects every byte: one host, the one that the connection was opened for;
one way to say where the body ends; no switching to another protocol. What passes is written anew.
"""

import re
from dataclasses import dataclass

from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.client import Incoming
from nanoclaw.vault.decide import Headers
from nanoclaw.vault.denial import Denial, bad_target, not_permitted
from nanoclaw.vault.egress_types import Destination
from nanoclaw.vault.intercept_upstream import end_to_end, override_in
from nanoclaw.vault.limits import INTERCEPT_BODY_BYTES

HTTPS = 443
METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_TARGET = re.compile(r"/[!-~]*")


@dataclass(frozen=True, slots=True)
class Inner:
    """``headers`` are those that go on, without host and framing. ``length`` None: in chunks, or
    no body at all when ``has_body`` is false."""

    method: str
    target: str
    headers: Headers
    has_body: bool
    length: int | None

    @property
    def repeatable(self) -> bool:
        return not self.has_body and self.method in ("GET", "HEAD", "OPTIONS")


def decide_inner(incoming: Incoming, destination: Destination) -> Inner | Refusal:
    """Looks at the head only."""
    method, target = incoming.method, incoming.target
    if not METHOD.fullmatch(method) or method in ("CONNECT", "TRACE", "TRACK"):
        return not_permitted(f"the method {method[:32]!a} is not passed on")
    if target != "*" and not _TARGET.fullmatch(target):
        return bad_target("the address of a request inside TLS begins with / and has plain signs")
    if target == "*" and method != "OPTIONS":
        return bad_target("* is an address for OPTIONS only")
    wrong = _host_problem(incoming.headers, destination)
    if wrong is not None:
        return wrong
    if any(name == "upgrade" for name, _ in incoming.headers):
        return not_permitted(
            "WebSockets and other upgrades are not passed through a connection that the host looks "
            "into; use the service's plain HTTP interface"
        )
    if (other := override_in(incoming.headers)) is not None:
        return bad_target(other)
    framing = _framing(incoming.headers)
    if isinstance(framing, Refusal):
        return framing
    has_body, length = framing
    kept = end_to_end(incoming.headers)
    onward = tuple(item for item in kept if item[0] not in ("host", "content-length"))
    return Inner(method, target, onward, has_body, length)


def _host_problem(headers: Headers, destination: Destination) -> Refusal | None:
    named = [value.strip().lower() for name, value in headers if name == "host"]
    host = destination.authority.rpartition(":")[0]
    fitting = {destination.authority}
    if destination.port == HTTPS:
        fitting.add(host)
    if len(named) == 1 and named[0] in fitting:
        return None
    text = f"this connection is to {destination.authority}, and the request names another host"
    return Denial(421, "invalid_request_error", text, close=True)


def _framing(headers: Headers) -> tuple[bool, int | None] | Refusal:
    codings = [value.strip().lower() for name, value in headers if name == "transfer-encoding"]
    lengths = [value.strip() for name, value in headers if name == "content-length"]
    if codings and lengths:
        return bad_target("the request has both a content-length and a transfer-encoding")
    if codings:
        if codings != ["chunked"]:
            return bad_target("the only transfer-encoding that is taken is chunked")
        return True, None
    if not lengths:
        return False, None
    if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        return bad_target("the content-length is not one number")
    length = int(lengths[0])
    if length > INTERCEPT_BODY_BYTES:
        text = f"the request has {length} bytes, more than {INTERCEPT_BODY_BYTES}, the most taken"
        return Denial(413, "request_too_large", text, close=True)
    return length > 0, length


def onward_headers(inner: Inner, destination: Destination) -> list[tuple[str, str]]:
    """What the server gets, with the framing that we write; the credential is not in it yet."""
    host = destination.authority
    if destination.port == HTTPS:
        host = host.rpartition(":")[0]
    framing = []
    if inner.length is not None:
        framing = [("content-length", str(inner.length))]
    elif inner.has_body:
        framing = [("transfer-encoding", "chunked")]
    return [("host", host), *inner.headers, *framing]

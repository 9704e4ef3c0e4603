"""What a service may be, and how its secret is written on a request. Pure.

Used by ``ncl services`` for what people write and by the vault for each request. A secret and a
template are looked at once more when they are joined: what would end a header or begin another one
goes nowhere. No text made here contains a secret.
"""

import base64
import re
from collections.abc import Sequence

from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.errors import NanoclawError
from nanoclaw.policy.egress.hosts import (
    WILDCARD,
    EgressRuleError,
    check_wildcard,
    never_reachable,
    normal_host,
)
from nanoclaw.policy.egress.paths import ambiguity, is_below, prefix_problem, without_query

PLACE = "{secret}"
AUTHORIZATION = "authorization"
MAX_NAME = 64
MAX_TEMPLATE = 512
MAX_VALUE = 32 * 1024
MAX_ITEMS = 64
"""Of hosts, of methods, of paths."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FORBIDDEN_HEADERS = frozenset({
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie",
    "date", "expect", "forwarded", "host", "keep-alive", "location", "origin", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "referer", "set-cookie", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "via",
})  # fmt: skip
"""They say where a message ends, where it goes or who made it; a secret has no business there."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")


class ServiceError(NanoclawError):
    """A service that cannot be; the text names the part and what would be right."""


def checked_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ServiceError(
            f"{_shown(text)} is no name of a service: small letters, digits and hyphens, at most "
            f"{MAX_NAME}, for example github"
        )
    return text


def checked_hosts(texts: Sequence[str]) -> tuple[str, ...]:
    """Normal names, addresses, and ``*.name``."""
    if not texts:
        raise ServiceError("a service needs a host, for example api.example.com")
    return _distinct([_host(text) for text in texts], "hosts")


def _host(text: str) -> str:
    try:
        if text.startswith(WILDCARD):
            base = normal_host(text.removeprefix(WILDCARD))
            check_wildcard(base)
            return WILDCARD + base
        host = normal_host(text)
    except EgressRuleError as error:
        raise ServiceError(str(error)) from error
    if never_reachable(host):
        raise ServiceError(f"{_shown(text)} is an address that agents never reach")
    return host


def checked_ports(texts: Sequence[str]) -> tuple[int, ...]:
    for text in texts:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
            raise ServiceError(f"{_shown(text)} is no port; a port is a number from 1 to 65535")
    return tuple(sorted({int(text) for text in texts}))


def checked_header(text: str) -> str:
    """In lower case."""
    header = text.lower()
    if not _TOKEN.fullmatch(header):
        raise ServiceError(
            f"{_shown(text)} is no name of a header: letters, digits and hyphens, for example "
            "X-Api-Key"
        )
    if header in FORBIDDEN_HEADERS or header.startswith(("proxy-", "sec-")):
        raise ServiceError(
            f"the header {header} says how or where a request is sent; a secret cannot go there"
        )
    return header


def checked_template(text: str) -> str:
    """What stands around the secret, in either kind."""
    if text.count(PLACE) != 1 or "{" in text.replace(PLACE, ""):
        raise ServiceError(
            f"{_shown(text)} is no template: {PLACE} stands in it once and no other braces, for "
            f"example 'Bearer {PLACE}'"
        )
    if len(text) > MAX_TEMPLATE or not _PRINTABLE.fullmatch(text):
        raise ServiceError(
            f"a template has at most {MAX_TEMPLATE} plain characters and no line breaks"
        )
    return text


def checked_user(text: str) -> str:
    """Of basic authentication; as a template."""
    if not text or ":" in text or "{" in text or len(text) > MAX_TEMPLATE:
        raise ServiceError(
            f"{_shown(text)} is no user name for basic authentication: it has no colon and no brace"
        )
    return checked_template(f"{text}:{PLACE}")


def checked_methods(texts: Sequence[str]) -> tuple[str, ...]:
    methods = [text.upper() for text in texts]
    for method in methods:
        if method not in METHODS:
            raise ServiceError(f"{_shown(method)} is no method; methods are {', '.join(METHODS)}")
    return _distinct(methods, "methods")


def checked_paths(texts: Sequence[str]) -> tuple[str, ...]:
    for text in texts:
        found = prefix_problem(text)
        if found is not None:
            raise ServiceError(f"{_shown(text)} is no beginning of a path: {found}")
    return _distinct(texts, "paths")


def header_value(service: Service, secret: str) -> str:
    """Raises ServiceError when this secret cannot stand in a header."""
    if not secret or not _PRINTABLE.fullmatch(secret) or secret != secret.strip():
        raise ServiceError(
            f"the secret {service.secret} of the service {service.name} cannot stand in a header: "
            f"it is empty, or has line breaks, outer blanks or letters outside ASCII; set it anew "
            f"with `nanoclaw secrets set {service.secret}`"
        )
    value = service.template.replace(PLACE, secret)
    if service.kind is ServiceKind.BASIC:
        value = "Basic " + base64.b64encode(value.encode()).decode()
    if len(value) > MAX_VALUE or not _PRINTABLE.fullmatch(value):
        raise ServiceError(f"the header of the service {service.name} is too long, or not plain")
    return value


def refusal(service: Service, method: str, target: str) -> str | None:
    """Why the service's secret is not for this request; None when it is."""
    if service.methods and method not in service.methods:
        allowed = ", ".join(service.methods)
        return f"the service {service.name} is for {allowed} only, not for {method[:20]}"
    if not service.paths:
        return None
    path = without_query(target)
    found = ambiguity(path)
    if found is not None:
        return f"the service {service.name} is for certain paths, and this one is unclear: {found}"
    if not any(is_below(path, prefix) for prefix in service.paths):
        return f"the service {service.name} is for paths below {', '.join(service.paths)} only"
    return None


def _distinct(items: Sequence[str], what: str) -> tuple[str, ...]:
    if len(items) > MAX_ITEMS:
        raise ServiceError(f"a service has at most {MAX_ITEMS} {what}")
    return tuple(sorted(set(items)))


def _shown(text: str) -> str:
    return ascii(text[:100])

"""Hosts and targets as a proxy's client writes them, read in the one strict way.

Pure; used by ``egress`` and ``tunnel``. What has two readings is refused, not repaired: names of
numbers, percent signs, user names, fragments, white space. What comes out is what rules are
compared with, what is resolved, and what the other side is told.
"""

import ipaddress
import re
from contextlib import suppress
from urllib.parse import urlsplit

from nanoclaw.vault.egress_types import Destination

MAX_NAME = 253
MAX_PORT = 65535
HTTP_PORT = 80
HTTPS_PORT = 443

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_TARGET = re.compile(r"[!$&'()*+,\-./0-9:;=@A-Z_a-z~%?|\[\]{}^`\"<>\\]*")
_MAX_SHOWN = 120


class TargetError(ValueError):
    """``args[0]`` is a plain sentence with the input in it."""


def normal_host(text: str) -> str:
    """A name or an address (IPv6 without brackets) in its one form. Raises TargetError.

    A number that stands for an address (``2130706433``, ``0x7f.1``, ``127.1``, ``010.0.0.1``) is
    no name and no address here.
    """
    if not text.isascii():
        raise TargetError(f"the host {_shown(text)} is not ASCII; write it in its xn-- form")
    name = text.lower()
    if ":" in name:
        return str(_address_of_version_6(name))
    if name.endswith("."):
        name = name[:-1]
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return str(_address_of_version_4(name))
    if len(name) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise TargetError(f"{_shown(text)} is not the name of a host")
    return name


def parse_authority(text: str) -> Destination:
    """``host:port`` of a CONNECT (RFC 9110 9.3.6): both, and nothing else. Raises TargetError."""
    host, port = _split(text)
    if port is None:
        raise TargetError(f"CONNECT needs host:port, and {_shown(text)} has no port")
    return Destination(normal_host(host), port, tls=True)


def parse_absolute(text: str) -> tuple[Destination, str]:
    """``http://host[:port]/path?query`` of a request to a proxy, and what stays of it for the
    server: path and query, byte for byte. Raises TargetError."""
    scheme, _, rest = text.partition("://")
    if scheme.lower() == "https":
        raise TargetError("https goes through CONNECT, which a client does when HTTPS_PROXY is set")
    if scheme.lower() != "http":
        raise TargetError(f"{_shown(text)} is not an http:// address")
    end = next((at for at, sign in enumerate(rest) if sign in "/?"), len(rest))
    path = rest[end:] if rest[end : end + 1] == "/" else "/" + rest[end:]
    if not _TARGET.fullmatch(path):
        raise TargetError(f"{_shown(text)} has a sign in it that no address may have")
    host, port = _split(rest[:end])
    return Destination(normal_host(host), HTTP_PORT if port is None else port, tls=False), path


def model_addresses(*urls: str) -> frozenset[tuple[str, int]]:
    """Host and port of base URLs from the settings, in the form that requests are compared in."""
    found = set()
    for url in urls:
        parts = urlsplit(url)
        port = parts.port or (HTTP_PORT if parts.scheme == "http" else HTTPS_PORT)
        with suppress(TargetError):  # what no request can name either
            found.add((normal_host(parts.hostname or ""), port))
    return frozenset(found)


def _split(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise TargetError("an address with a user name in it is not taken; send it as a header")
    if authority.startswith("["):
        host, closed, rest = authority[1:].partition("]")
        if not closed or ":" not in host or rest[:1] not in ("", ":"):
            raise TargetError(f"{_shown(authority)} is not a host in brackets")
        return host, _port(rest[1:], authority) if rest else None
    host, colon, port = authority.partition(":")
    if not host:
        raise TargetError(f"{_shown(authority)} names no host")
    return host, _port(port, authority) if colon else None


def _port(text: str, authority: str) -> int:
    if not _PORT.fullmatch(text) or not 0 < int(text) <= MAX_PORT:
        raise TargetError(f"{_shown(authority)} has no port from 1 to {MAX_PORT}")
    return int(text)


def _address_of_version_4(name: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(name)
    except ValueError:
        raise TargetError(
            f"{_shown(name)} is a number and no name; an address is written as 192.0.2.1"
        ) from None


def _address_of_version_6(name: str) -> ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(name)
    except ValueError:
        raise TargetError(f"{_shown(name)} is not an IPv6 address") from None
    if address.scope_id is not None:
        raise TargetError(f"{_shown(name)} names an interface of the host; write it without")
    return address


def _shown(text: str) -> str:
    return ascii(text[:_MAX_SHOWN])

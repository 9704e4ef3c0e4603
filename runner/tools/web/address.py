"""Which addresses an agent may fetch: the public web, and nothing near (R-326).

Called by ``fetch`` for the first address and for every redirect. Pure. Through the proxy the vault
resolves names and checks what they lead to; here everything is refused that is recognisable by
itself: literal addresses that are not public in any notation, and names that mean this machine or
its neighbours.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

MAX_URL = 2048
SCHEMES = frozenset({"http", "https"})
_NEAR = frozenset({"localhost", "localdomain", "local", "internal", "intranet", "lan", "home",
                   "corp", "private", "test", "invalid", "onion"})  # fmt: skip
_EXACT = frozenset({"metadata", "metadata.google.internal", "host.docker.internal"})
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_SPACE = re.compile(r"[\x00-\x20\x7f]")


class RefusedAddressError(ValueError):
    """Its text says why, and is for the model."""


def checked(url: str) -> str:
    """``url``, fit to be fetched; raises RefusedAddressError."""
    url = url.strip()
    if len(url) > MAX_URL:
        raise RefusedAddressError(f"the address is longer than {MAX_URL} characters")
    if _SPACE.search(url):
        raise RefusedAddressError("the address contains blanks or control characters")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError as error:
        raise RefusedAddressError(f"the address cannot be read: {error}") from error
    if parts.scheme.lower() not in SCHEMES:
        raise RefusedAddressError("only http:// and https:// addresses can be fetched")
    if not host:
        raise RefusedAddressError("the address names no host")
    if parts.username is not None or parts.password is not None:
        raise RefusedAddressError("addresses with a user name or a password are not fetched")
    if port == 0:
        raise RefusedAddressError("the address has port 0")
    if is_near(host):
        raise RefusedAddressError(f"{host} is not on the public web, and is not fetched")
    return parts._replace(fragment="").geturl()


def is_near(host: str) -> bool:
    """Whether a host is, by its name or number alone, not on the public web."""
    bare = host.strip("[]").partition("%")[0]
    address = _literal(bare)
    if address is not None:
        return not _is_public(address)
    labels = bare.split(".")
    # A name never ends in a number; what does is an address that somebody might read otherwise.
    odd = _NUMBER.fullmatch(labels[-1]) is not None
    return odd or bare in _EXACT or labels[-1] in _NEAR or len(labels) == 1


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return _old_notation(host)


def _old_notation(host: str) -> IPv4Address | None:
    """``127.1``, ``0x7f000001``, ``017700000001``: what C libraries take for an address."""
    parts = host.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        *front, last = [_number(part) for part in parts]
        value = last
        for position, number in enumerate(front):
            if number > 255:
                return None
            value += number << (8 * (3 - position))
        return IPv4Address(value)
    except ValueError:
        return None


def _number(text: str) -> int:
    if text[:2].lower() == "0x":
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") and len(text) > 1 else int(text)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _embedded(address)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Behind the prefix of NAT64, or in the old compatible form."""
    high = int(address) >> 32
    if high in (0x0064FF9B << 64, 0) and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None

"""From a host's name to the addresses that may be connected to. Every answer is checked.

Called by ``egress`` before each connection, which then goes to exactly these addresses: nothing is
resolved twice and nothing is kept, so a name cannot change its meaning between check and use. A
name with one address that is refused is refused whole: public names do not have private ones.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from nanoclaw.vault import limits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LookUp = Callable[[str, int], list[Address]]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA_NAMES = frozenset({
    "instance-data", "instance-data.ec2.internal", "metadata", "metadata.goog",
    "metadata.google.internal",
})  # fmt: skip
"""Whatever they resolve to, they hand out the keys of the machine."""
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# IANA's registries of special-purpose addresses, with what is outside of global unicast.
_NEVER: tuple[tuple[str, tuple[_Network, ...]], ...] = (
    ("a link-local address", _networks("169.254.0.0/16", "fe80::/10", "fec0::/10")),
    ("a multicast address", _networks("224.0.0.0/4", "ff00::/8")),
    ("an unspecified address", _networks("0.0.0.0/8", "::/128")),
    ("a broadcast address", _networks("255.255.255.255/32")),
    (
        "an address for documentation or tests",
        _networks(
            "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "2001:2::/48",
            "2001:db8::/32", "3fff::/20",
        ),
    ),
    ("a reserved address", _networks("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")),
)  # fmt: skip
_LOCAL: tuple[tuple[str, tuple[_Network, ...]], ...] = (
    ("an address of the host itself", _networks("127.0.0.0/8", "::1/128")),
    (
        "a private address",
        _networks("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    ),
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_PROTOCOL_6 = ipaddress.IPv6Network("2001::/23")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_EMBEDS_LAST_4 = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96")
)

_pool = ThreadPoolExecutor(limits.RESOLVER_THREADS, thread_name_prefix="resolver")


class UnresolvedError(Exception):
    """A plain sentence, and the status to answer with: no such name (502), no answer in time
    (504), a refused address (403)."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, status)
        self.text = text
        self.status = status


def decide_address(address: Address, *, local: bool) -> str | None:
    """Why this address is refused; None when it is not. ``local``: an owner's own rule for the
    host permits private and loopback addresses, and still no link-local or metadata ones."""
    if address in METADATA:
        return f"{address} is an address for the secrets of machines; nothing here reaches it"
    for kind, networks in _NEVER:
        if _within(address, networks):
            return f"{address} is {kind}; nothing here reaches it"
    for kind, networks in _LOCAL:
        if _within(address, networks):
            return None if local else _only_local(address, kind)
    if isinstance(address, ipaddress.IPv4Address):
        return None
    return _decide_version_6(address, local)


def look_up(host: str, port: int) -> list[Address]:
    """Asks the host's resolver; raises OSError. Blocks."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: dict[Address, None] = {}
    for *_, place in found:
        text = str(place[0]).partition("%")[0]
        addresses[ipaddress.ip_address(text)] = None
    return list(addresses)


async def resolve(
    host: str,
    port: int,
    *,
    local: bool = False,
    asking: LookUp = look_up,
    turns: asyncio.Semaphore | None = None,
) -> list[Address]:
    """Addresses that may be connected to, in the resolver's order. ``turns``: so many questions
    may whoever asks here have under way. Raises UnresolvedError."""
    if host in METADATA_NAMES:
        text = f"{host} hands out the secrets of machines; nothing here reaches it"
        raise UnresolvedError(text, 403)
    addresses = _literal(host)
    if not addresses:
        turns = turns or asyncio.Semaphore(limits.MAX_RESOLVING_PER_DOOR)
        addresses = await _ask(host, port, asking, turns)
    for address in addresses:
        if (refusal := decide_address(address, local=local)) is not None:
            raise UnresolvedError(_whose(host, refusal), 403)
    return addresses[: limits.MAX_ADDRESSES]


def _within(address: Address, networks: tuple[_Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _decide_version_6(address: ipaddress.IPv6Address, local: bool) -> str | None:
    """An address that carries one of version 4 in it leads to that one."""
    for carried in _carried(address):
        if (refusal := decide_address(carried, local=local)) is not None:
            return f"{address} stands for another address: {refusal}"
    if any(address in network for network in _EMBEDS_LAST_4) or address in _TEREDO:
        return None
    if address not in _GLOBAL_6 or address in _PROTOCOL_6:
        return f"{address} is a reserved address; nothing here reaches it"
    return None


def _carried(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    if any(address in network for network in _EMBEDS_LAST_4):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address in _SIX_TO_FOUR:
        return [ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)]
    if address in _TEREDO:
        server = int(address) >> 64 & 0xFFFFFFFF
        client = ~int(address) & 0xFFFFFFFF
        return [ipaddress.IPv4Address(server), ipaddress.IPv4Address(client)]
    return []


def _only_local(address: Address, kind: str) -> str:
    return f"{address} is {kind}; only a rule of the owner that ends in 'local' reaches it"


def _whose(host: str, refusal: str) -> str:
    return refusal if refusal.startswith(host) else f"{host} leads to what is refused: {refusal}"


def _literal(host: str) -> list[Address]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        return []


async def _ask(host: str, port: int, asking: LookUp, turns: asyncio.Semaphore) -> list[Address]:
    """On threads of its own: a name server that is silent holds up nobody but its askers. A turn
    lasts as long as its thread does, whoever still waits for it."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.RESOLVE_SECONDS):
            await turns.acquire()
            work = loop.run_in_executor(_pool, asking, host, port)
            work.add_done_callback(lambda done: _end_turn(turns, done))
            addresses = await asyncio.shield(work)
    except TimeoutError:
        raise UnresolvedError(f"the name {host} was not resolved in time", 504) from None
    except (OSError, UnicodeError) as error:
        raise UnresolvedError(f"there is no host of the name {host} ({error})", 502) from error
    if not addresses:
        raise UnresolvedError(f"the name {host} has no address", 502)
    return addresses


def _end_turn(turns: asyncio.Semaphore, done: "asyncio.Future[list[Address]]") -> None:
    turns.release()
    if not done.cancelled():
        done.exception()  # whoever waited has heard of it, or waits no more

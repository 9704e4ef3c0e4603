"""The way out through the gateway's proxy, which puts credentials into what passes (H-191).

Used by ``egress`` and the model route in the place of a connection of their own, after the vault's
own rules have allowed the destination. The proxy's address and login are asked for per agent group
(H-192), kept in this process's memory only, and never given to a container. What comes back is a
tunnel; with TLS, the host's trust and the gateway's authority count.
"""

import asyncio
import logging
import ssl
import time
from dataclasses import dataclass

from nanoclaw.containers.gateway.decide import GatewayConfig, ProxyAddress
from nanoclaw.vault import limits
from nanoclaw.vault.egress_types import BlockedError, Destination
from nanoclaw.vault.gateway.health import Health
from nanoclaw.vault.gateway.onecli import OneCli, OneCliError

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

FRESH_SECONDS = 60.0
STALE_SECONDS = 600.0
"""For so long what is known is used while OneCLI does not answer."""
MAX_KNOWN = 1000
CONNECT_SECONDS = 10.0
PROXY_LOGIN = 407

log = logging.getLogger(__name__)


class GatewayDownError(BlockedError):
    """No way through the gateway."""


class _TunnelRefusedError(Exception):
    """``args[0]`` is the status that the proxy answered with."""


@dataclass(frozen=True, slots=True)
class _Known:
    config: GatewayConfig
    context: ssl.SSLContext
    at: float


class GatewayRoute:
    """``required`` False: without the gateway the vault goes by itself."""

    def __init__(self, onecli: OneCli, health: Health, *, required: bool) -> None:
        self._onecli = onecli
        self._health = health
        self._required = required
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def open(
        self, agent_group_id: str, destination: Destination, *, tls: bool
    ) -> Streams | None:
        """A tunnel to the destination; with ``tls`` with the server's certificate verified and
        HTTP/1.1 agreed on. None: go by yourself. Raises GatewayDownError."""
        try:
            return await self._open(agent_group_id, destination, tls=tls)
        except OneCliError as error:
            self._check_required(error)
            return None

    async def open_plain(self, agent_group_id: str) -> tuple[Streams, str] | None:
        """A connection to the proxy, for requests that name the whole address, and the value of
        their ``Proxy-Authorization``. None: go by yourself. Raises GatewayDownError."""
        try:
            proxy = _proxy(await self._of(agent_group_id))
            return await _connected(proxy), proxy.authorization
        except OneCliError as error:
            self._check_required(error)
            return None

    async def knows(self, agent_group_id: str) -> GatewayConfig | None:
        """How this agent's traffic passes. None: go by yourself. Raises GatewayDownError."""
        try:
            return (await self._of(agent_group_id)).config
        except OneCliError as error:
            self._check_required(error)
            return None

    def _check_required(self, error: OneCliError) -> None:
        self._health.fails(str(error))
        if self._required:
            raise GatewayDownError(
                "the credential gateway cannot be reached just now; try again in a minute, and if "
                "that does not help, tell the owner to look at `nanoclaw status`"
            ) from error

    async def _open(self, group: str, destination: Destination, *, tls: bool) -> Streams:
        """A login that is not taken any more is asked for again, once. Raises OneCliError."""
        known = await self._of(group)
        try:
            streams = await _tunnel(_proxy(known), destination)
        except _TunnelRefusedError as error:
            if error.args[0] != PROXY_LOGIN:
                raise _blocked(destination, error) from error
            self._known.pop(group, None)
            known = await self._of(group)
            try:
                streams = await _tunnel(_proxy(known), destination)
            except _TunnelRefusedError as again:
                raise _blocked(destination, again) from again
        if tls:
            await _start_tls(streams[1], known.context, destination)
        return streams

    async def _of(self, group: str) -> _Known:
        """One question at a time for each group. Raises OneCliError."""
        async with self._asking.setdefault(group, asyncio.Lock()):
            known, now = self._known.get(group), time.monotonic()
            if known is not None and now - known.at < FRESH_SECONDS:
                return known
            try:
                config = await self._onecli.configuration(group)
            except OneCliError as error:
                if known is None or now - known.at > STALE_SECONDS:
                    raise
                log.warning("gateway's configuration is an older one", extra={"reason": str(error)})
                return known
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[group] = known = _Known(config, _context(config.ca), now)
            return known


def _context(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(known: _Known) -> ProxyAddress:
    if known.config.proxy is None:
        raise OneCliError("the configuration names no proxy")
    return known.config.proxy


async def _connected(proxy: ProxyAddress) -> Streams:
    """Raises OneCliError."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            tls = ssl.create_default_context() if proxy.tls else None
            return await asyncio.open_connection(
                proxy.host, proxy.port, ssl=tls, limit=limits.CHUNK_BYTES
            )
    except (TimeoutError, OSError) as error:
        raise _silent(proxy, error) from error


async def _tunnel(proxy: ProxyAddress, destination: Destination) -> Streams:
    """Raises OneCliError and _TunnelRefusedError."""
    reader, writer = await _connected(proxy)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            writer.write(_connect_head(proxy, destination))
            await writer.drain()
            status = _status_of(await reader.readuntil(b"\r\n\r\n"))
    except (TimeoutError, OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
        writer.transport.abort()
        raise _silent(proxy, error) from error
    if not 200 <= status < 300:
        writer.transport.abort()
        raise _TunnelRefusedError(status)
    return reader, writer


def _silent(proxy: ProxyAddress, error: BaseException) -> OneCliError:
    where = f"{proxy.host}:{proxy.port}"
    return OneCliError(f"the gateway's proxy {where} does not answer: {_words(error)}")


def _connect_head(proxy: ProxyAddress, destination: Destination) -> bytes:
    lines = [f"CONNECT {destination.authority} HTTP/1.1", f"Host: {destination.authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _status_of(head: bytes) -> int:
    version, _, rest = head.split(b"\r\n", 1)[0].partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("it does not speak HTTP")
    return int(rest[:3])


async def _start_tls(
    writer: asyncio.StreamWriter, context: ssl.SSLContext, destination: Destination
) -> None:
    """Raises OneCliError; the connection is gone then."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await writer.start_tls(context, server_hostname=destination.host)
    except (TimeoutError, OSError) as error:
        writer.transport.abort()
        text = f"no TLS with {destination.authority} through the gateway: {_words(error)}"
        raise OneCliError(text) from error


def _blocked(destination: Destination, error: _TunnelRefusedError) -> GatewayDownError:
    status = error.args[0]
    return GatewayDownError(
        f"the credential gateway does not let {destination.authority} through (status {status}); "
        "the owner decides that in OneCLI"
    )


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

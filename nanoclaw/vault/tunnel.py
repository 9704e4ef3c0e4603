"""A blind tunnel: bytes both ways, after a look at how the client begins.

Called by ``egress`` for a CONNECT that was allowed as a whole. On port 443 the client must speak
TLS and ask for the very host that was allowed, or another host behind the same address would answer
(domain fronting). On other ports, which a rule names, a beginning that is not TLS may pass.
"""

import asyncio
import ipaddress
import logging
import time
from dataclasses import dataclass, field
from typing import Literal

from nanoclaw.db.doors import Door
from nanoclaw.vault import limits
from nanoclaw.vault.client import Streams
from nanoclaw.vault.egress_types import Destination
from nanoclaw.vault.hello import HANDSHAKE, ClientHello, Opening, read_hello

HTTPS_PORT = 443

log = logging.getLogger(__name__)


class _CutError(Exception):
    """``args[0]`` says why, for the log."""


@dataclass(slots=True)
class _Traffic:
    up: int = 0
    down: int = 0
    last: float = field(default_factory=time.monotonic)

    def count(self, way: Literal["up", "down"], size: int) -> None:
        self.last = time.monotonic()
        if way == "up":
            self.up += size
        else:
            self.down += size


async def carry(near: Streams, far: Streams, door: Door, destination: Destination) -> None:
    """Until both sides have ended, or one has failed, or a limit is reached. ``near`` is the
    client. The caller closes both."""
    traffic, started, reason = _Traffic(), time.monotonic(), "ended"
    ways = [
        asyncio.create_task(_upwards(near[0], far[1], destination, traffic)),
        asyncio.create_task(_pass(far[0], near[1], traffic, "down")),
    ]
    try:
        async with asyncio.timeout(limits.TUNNEL_SECONDS):
            reason = await _watch(ways, traffic)
    except TimeoutError:
        reason = "open for too long"
    except _CutError as error:
        reason = str(error)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except asyncio.CancelledError:
        reason = "the door was closed"
        raise
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        _log(door, destination, traffic, time.monotonic() - started, reason)


async def _watch(ways: "list[asyncio.Task[None]]", traffic: _Traffic) -> str:
    pending = set(ways)
    while pending:
        done, pending = await asyncio.wait(
            pending, timeout=limits.TUNNEL_LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION
        )
        for way in done:
            way.result()
        if time.monotonic() - traffic.last > limits.TUNNEL_IDLE_SECONDS:
            return "silent for too long"
    return "ended"


async def _upwards(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    destination: Destination,
    traffic: _Traffic,
) -> None:
    try:
        async with asyncio.timeout(_patience(destination)):
            opening = await _opening(reader, destination)
    except TimeoutError:
        raise _CutError("no beginning of TLS in time") from None
    if opening:
        writer.write(opening)
        await writer.drain()
        traffic.count("up", len(opening))
    await _pass(reader, writer, traffic, "up")


def _patience(destination: Destination) -> float | None:
    """Elsewhere it may be the server that speaks first, and the client much later."""
    return limits.HELLO_SECONDS if destination.port == HTTPS_PORT else None


async def _opening(reader: asyncio.StreamReader, destination: Destination) -> bytes:
    """What the client began with, when it may pass. Raises _CutError."""
    received = b""
    while data := await reader.read(limits.CHUNK_BYTES):
        received += data
        if received[0] != HANDSHAKE and destination.port != HTTPS_PORT:
            return received
        found = read_hello(received)
        if isinstance(found, ClientHello):
            _check_name(found, destination)
            return received
        if found is Opening.NOT_TLS:
            raise _CutError("this is not TLS")
        if len(received) > limits.MAX_HELLO_BYTES:
            raise _CutError("the beginning of TLS has no end")
    if received:
        raise _CutError("it ended within the beginning of TLS")
    return b""


def _check_name(hello: ClientHello, destination: Destination) -> None:
    if hello.server_name == destination.host:
        return
    if hello.server_name is not None:
        raise _CutError(f"TLS asks for another host: {hello.server_name[:100]!a}")
    try:
        ipaddress.ip_address(destination.host)
    except ValueError:
        raise _CutError("TLS names no host") from None


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    traffic: _Traffic,
    way: Literal["up", "down"],
) -> None:
    """One direction to its end, which is passed on too."""
    while data := await reader.read(limits.CHUNK_BYTES):
        writer.write(data)
        traffic.count(way, len(data))
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _log(
    door: Door, destination: Destination, traffic: _Traffic, seconds: float, reason: str
) -> None:
    log.info(
        "tunnel ended",
        extra={
            "session": door.session_id,
            "group": door.agent_group_id,
            "host": destination.authority,
            "sent": traffic.up,
            "received": traffic.down,
            "ms": round(seconds * 1000),
            "reason": reason,
        },
    )

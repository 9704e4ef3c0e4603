"""Connections to the outside: to a checked address, never to a name.

Used by ``egress`` for everything that is let out. A connection that turns out to end on this very
host (its public address, say) is given up before a byte is sent, unless an owner's rule says local.
"""

import asyncio
import ipaddress
import ssl
from weakref import WeakValueDictionary

from nanoclaw.vault import limits
from nanoclaw.vault.client import Streams
from nanoclaw.vault.egress_types import BlockedError, Destination
from nanoclaw.vault.resolve import Address, LookUp, UnresolvedError, look_up, resolve


class Reach:
    """Holds the host's trusted certificates once they were needed."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._context: ssl.SSLContext | None = None
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def open(
        self, destination: Destination, *, local: bool, tls: bool, asker: str = ""
    ) -> Streams:
        """``asker``: a session; its names never take all of the resolver. Raises BlockedError."""
        addresses = await self._resolved(destination, local=local, asker=asker)
        failure: OSError = OSError("no address")
        try:
            async with asyncio.timeout(limits.CONNECT_SECONDS):
                for address in addresses:
                    try:
                        return await self._connect(address, destination, local=local, tls=tls)
                    except ssl.SSLCertVerificationError as error:
                        text = f"the certificate of {destination.host} is not valid: "
                        raise BlockedError(text + error.verify_message, 502) from error
                    except OSError as error:
                        failure = error
        except TimeoutError:
            raise BlockedError(f"{destination.authority} does not answer in time", 504) from None
        words = failure.strerror or str(failure) or type(failure).__name__
        status = 504 if isinstance(failure, TimeoutError) else 502
        raise BlockedError(f"{destination.authority} cannot be reached: {words}", status)

    async def check(self, destination: Destination, *, local: bool, asker: str = "") -> None:
        """For who is connected by somebody else. Raises BlockedError."""
        await self._resolved(destination, local=local, asker=asker)

    async def _resolved(
        self, destination: Destination, *, local: bool, asker: str
    ) -> list[Address]:
        few = asyncio.Semaphore(limits.MAX_RESOLVING_PER_DOOR)
        turns = self._turns.setdefault(asker, few)
        host, port = destination.host, destination.port
        try:
            return await resolve(host, port, local=local, asking=self._look_up, turns=turns)
        except UnresolvedError as error:
            raise BlockedError(error.text, error.status) from error

    async def _connect(
        self, address: Address, destination: Destination, *, local: bool, tls: bool
    ) -> Streams:
        async with asyncio.timeout(limits.ADDRESS_SECONDS):
            reader, writer = await asyncio.open_connection(
                str(address), destination.port, limit=limits.CHUNK_BYTES
            )
            try:
                here = writer.get_extra_info("sockname")
                if here is not None and is_same(here[0], address) and not local:
                    text = f"{destination.host} is this host itself; only a local rule reaches it"
                    raise BlockedError(text, 403)
                if tls:
                    await writer.start_tls(self._trusted(), server_hostname=destination.host)
            except BaseException:
                writer.transport.abort()
                raise
        writer.transport.set_write_buffer_limits(high=limits.CHUNK_BYTES)
        return reader, writer

    def _trusted(self) -> ssl.SSLContext:
        """What the host itself trusts; HTTP/1.1 is what we speak."""
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context


def is_same(own: str, address: Address) -> bool:
    """``own`` as the system writes it, which has more than one way of writing an address."""
    return ipaddress.ip_address(own.partition("%")[0]) == address

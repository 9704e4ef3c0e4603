"""Connections to the outside: to a checked address, never to a name.

Used by ``egress`` for everything that is let out. A connection that turns out to end on this very
host (its public address, say) is given up before a byte is sent, unless an owner's rule says local.
"""

import asyncio
import ssl

from nanoclaw.vault import limits
from nanoclaw.vault.client import Streams
from nanoclaw.vault.egress_types import BlockedError, Destination
from nanoclaw.vault.resolve import Address, LookUp, UnresolvedError, look_up, resolve


class Reach:
    """Holds the host's trusted certificates once they were needed."""

    def __init__(self, look_up: LookUp = look_up) -> None:
        self._look_up = look_up
        self._context: ssl.SSLContext | None = None

    async def open(self, destination: Destination, *, local: bool, tls: bool) -> Streams:
        """Raises BlockedError."""
        try:
            addresses = await resolve(
                destination.host, destination.port, local=local, asking=self._look_up
            )
        except UnresolvedError as error:
            raise BlockedError(error.text, error.status) from error
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

    async def check(self, destination: Destination, *, local: bool) -> None:
        """For who is connected by somebody else. Raises BlockedError."""
        try:
            await resolve(destination.host, destination.port, local=local)
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
                if here is not None and here[0] == str(address) and not local:
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

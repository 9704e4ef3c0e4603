"""The client's side inside a TLS connection.

Used by ``intercept``. ``Client`` where the transport is TLS: it has no half to close, and an answer
may be over before the request is.
"""

import asyncio
import contextlib

import h11

from nanoclaw.vault import limits
from nanoclaw.vault.client import Client


class InnerClient(Client):
    """As ``Client``: one task, and one more for what it sends meanwhile."""

    @property
    def answered(self) -> bool:
        """Whether an answer has begun, so that no other one can be given."""
        return self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    async def finish(self) -> bool:
        unread = self._http.their_state is h11.SEND_BODY
        more = await super().finish()
        if unread:
            await self._linger()
        return more

    async def _linger(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._patience.linger):
                for _ in range(limits.LINGER_BYTES // limits.CHUNK_BYTES):
                    if not await self._reader.read(limits.CHUNK_BYTES):
                        return

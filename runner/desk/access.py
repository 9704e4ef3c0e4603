"""How the desk gets at the session files: one thread, the lease asked inside each transaction.

The runner's ``Store`` is one; a tool server in another process has its own. Two processes write
the same file, which SQLite's lock and the number computed inside the transaction make safe
(R-49).
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from contract.errors import SessionFileBusy
from contract.inbound import reader
from contract.layout import RunnerPaths
from contract.outbound.writer import OutboundWriter, open_outbound
from runner.lease import Lease
from runner.log import fields

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TRIES = 4
"""Each waits up to five seconds for the lock; then the tool's caller is told."""


class SessionStore(Protocol):
    """Both raise FencedOffError, and SessionFileError or GiveUpError when files stay unusable."""

    async def transact(self, work: Callable[[OutboundWriter, int], _T]) -> _T:
        """One durable transaction; the number is the highest in ``inbound.db``."""

    async def ask(self, read: Callable[[], _T]) -> _T:
        """Runs reads of either file."""


class OwnStore:
    """For a process other than the runner's."""

    def __init__(self, paths: RunnerPaths, lease: Lease) -> None:
        self._in = paths.inbound_db
        self._out = paths.outbound_db
        self._lease = lease
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="desk")

    async def transact(self, work: Callable[[OutboundWriter, int], _T]) -> _T:
        return await self.ask(lambda: self._transact(work))

    async def ask(self, read: Callable[[], _T]) -> _T:
        loop = asyncio.get_running_loop()
        for _ in range(TRIES - 1):
            try:
                return await loop.run_in_executor(self._thread, read)
            except SessionFileBusy as error:
                _log.warning("session file cannot be used yet", extra=fields(reason=error))
            await asyncio.sleep(0.2)
        return await loop.run_in_executor(self._thread, read)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _transact(self, work: Callable[[OutboundWriter, int], _T]) -> _T:
        self._lease.check()
        above = reader.read_max_seq(self._in)
        with open_outbound(self._out) as out:
            self._lease.check()
            return work(out, above)

"""The vault's side of the central database, on a thread of its own so that no answer waits for it.

Used by ``doors`` and ``exchange``. One thread, one connection: statements queue up and each is a
short transaction. ``BooksClosedError`` means that nothing was recorded, and then nothing may be
spent; a settlement that cannot be written is tried again and is charged in full after a crash.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from contract.clock import utc_now
from contract.killpoint import reached
from nanoclaw.db import doors, usage
from nanoclaw.db.budgets import Budget
from nanoclaw.db.connection import open_central
from nanoclaw.db.doors import Door
from nanoclaw.db.usage import Cost, Reservation, Spending
from nanoclaw.errors import ExitCode, NanoclawError

SETTLE_PAUSES = (0.1, 0.5, 2.0, 5.0, 10.0)

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class BooksClosedError(NanoclawError):
    """The database takes nothing just now: full disk, held lock, or worse."""

    retryable = True
    exit_code = ExitCode.TEMPFAIL


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The budget that a request would exceed, and what stands against it already."""

    budget: Budget
    spending: Spending


class Books:
    """Used from the event loop's thread; ``close`` waits for what is under way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="books")
        self._conn: sqlite3.Connection | None = None

    async def charge_open(self) -> int:
        """What an earlier vault left open; before the first door is opened."""
        return await self._run(lambda conn: usage.charge_open(conn, utc_now()))

    async def open_doors(self) -> list[Door]:
        return await self._run(doors.list_valid)

    async def reserve(self, reservation: Reservation) -> Exceeded | None:
        return await self._run(lambda conn: _reserve(conn, reservation))

    async def settle(self, request_id: str, cost: Cost) -> None:
        """Returns when it is written, or given up until the next start charges it in full."""
        for pause in (*SETTLE_PAUSES, None):
            try:
                await self._run(lambda conn: usage.settle(conn, request_id, cost, utc_now()))
            except BooksClosedError as error:
                if pause is None:
                    log.error("spending not settled", extra={"reason": str(error)})
                    return
                await asyncio.sleep(pause)
            else:
                reached("vault.settled")
                return

    def close(self) -> None:
        def close() -> None:
            if self._conn is not None:
                self._conn.close()

        self._thread.submit(close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._on_thread, work)

    def _on_thread(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            if self._conn is None:
                self._conn = open_central(self._path)
            return work(self._conn)
        except (sqlite3.Error, NanoclawError) as error:
            raise BooksClosedError(str(error)) from error


def _reserve(conn: sqlite3.Connection, reservation: Reservation) -> Exceeded | None:
    budget = usage.reserve(conn, reservation)
    if budget is None:
        reached("vault.reserved")
        return None
    key = reservation.day if budget.period == "day" else reservation.day[:7]
    return Exceeded(budget, usage.spent(conn, budget.scope, budget.subject, key))

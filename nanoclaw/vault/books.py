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
from nanoclaw import audit
from nanoclaw.approvals.owner_notice import queue_owner_notice
from nanoclaw.audit import AuditEntry
from nanoclaw.db import doors, usage
from nanoclaw.db.connection import joined, open_central
from nanoclaw.db.doors import Door
from nanoclaw.db.usage import Cost, Reservation
from nanoclaw.errors import ExitCode, NanoclawError
from nanoclaw.vault.telling import tell_refused, warn_owner
from nanoclaw.vault.words import BudgetFacts, period_key_of

SETTLE_PAUSES = (0.1, 0.5, 2.0, 5.0, 10.0)

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class BooksClosedError(NanoclawError):
    """The database takes nothing just now: full disk, held lock, or worse."""

    retryable = True
    exit_code = ExitCode.TEMPFAIL


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The budget that a request would exceed; ``told``: its conversation's chat hears of it."""

    facts: BudgetFacts
    told: bool


class Books:
    """Used from the event loop's thread; ``close`` waits for what is under way."""

    def __init__(self, path: Path, on_news: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_news = on_news
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="books")
        self._conn: sqlite3.Connection | None = None

    async def charge_open(self) -> int:
        """What an earlier vault left open; before the first door is opened."""
        return await self.run(lambda conn: usage.charge_open(conn, utc_now()))

    async def open_doors(self) -> list[Door]:
        return await self.run(doors.list_valid)

    async def reserve(self, reservation: Reservation) -> Exceeded | None:
        exceeded = await self.run(lambda conn: _reserve(conn, reservation))
        if exceeded is not None:
            self._on_news()
        return exceeded

    async def record(self, entry: AuditEntry) -> None:
        await self.run(lambda conn: _record(conn, entry))
        reached("vault.recorded")

    async def tell_owner(self, occasion: str, text: str) -> None:
        """Once for the same ``occasion``."""
        if await self.run(lambda conn: _tell_owner(conn, occasion, text)):
            self._on_news()

    async def settle(self, request_id: str, cost: Cost) -> None:
        """Returns when it is written, or given up until the next start charges it in full."""
        for pause in (*SETTLE_PAUSES, None):
            try:
                warned = await self.run(lambda conn: _settle(conn, request_id, cost))
            except BooksClosedError as error:
                if pause is None:
                    log.error("spending not settled", extra={"reason": str(error)})
                    return
                await asyncio.sleep(pause)
            else:
                reached("vault.settled")
                if warned:
                    self._on_news()
                return

    def close(self) -> None:
        def close() -> None:
            if self._conn is not None:
                self._conn.close()

        self._thread.submit(close)
        self._thread.shutdown()

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._on_thread, work)

    def _on_thread(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            if self._conn is None:
                self._conn = open_central(self._path)
            return work(self._conn)
        except (sqlite3.Error, NanoclawError) as error:
            raise BooksClosedError(str(error)) from error


def _reserve(conn: sqlite3.Connection, reservation: Reservation) -> Exceeded | None:
    with joined(conn):
        budget = usage.reserve(conn, reservation)
        if budget is None:
            exceeded = None
        else:
            key = period_key_of(budget, reservation.day)
            spending = usage.spent(conn, budget.scope, budget.subject, key)
            facts = BudgetFacts(
                budget, spending, reservation.day, reservation.tokens, reservation.microusd
            )
            told = tell_refused(conn, reservation, facts, reservation.started_at)
            exceeded = Exceeded(facts, told)
    if exceeded is None:
        reached("vault.reserved")
    else:
        reached("vault.refused")
    return exceeded


def _record(conn: sqlite3.Connection, entry: AuditEntry) -> None:
    with joined(conn):
        audit.record(conn, entry, utc_now())


def _tell_owner(conn: sqlite3.Connection, occasion: str, text: str) -> bool:
    with joined(conn):
        return queue_owner_notice(conn, occasion, text, utc_now())


def _settle(conn: sqlite3.Connection, request_id: str, cost: Cost) -> bool:
    """Whether there is news for an owner."""
    now = utc_now()
    with joined(conn):
        return usage.settle(conn, request_id, cost, now) and warn_owner(conn, request_id, now)

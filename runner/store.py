"""Both session files, seen from the loop: every call runs in one worker thread.

A lock can hold SQLite for five seconds, and the loop feeds a model stream meanwhile (R-36). The
ids that are claimed or settled are kept in memory, because only this process writes them; a poll
is therefore one short read of ``inbound.db``. Every write asks for the lease inside its
transaction.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from contract.address import Address, Destination
from contract.clock import utc_now
from contract.errors import SessionFileBusy, SessionFileMissing
from contract.inbound import reader
from contract.inbound.lookup import read_recent_from
from contract.inbound.row import InboundRow
from contract.inbound.select import PendingQuery
from contract.inbound.waiting import read_numbers
from contract.layout import RunnerPaths
from contract.outbound.reader import read_outbound
from contract.outbound.writer import KEEP_NEWEST, OutboundWriter, open_outbound
from runner.address_book import AddressFacts, chat_of, newest_known
from runner.change import Change
from runner.errors import GiveUpError
from runner.lease import Lease
from runner.log import fields
from runner.provenance import TURN_TAINT
from runner.reply import Reply, addressed

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

WRITE_PATIENCE_SECONDS = 30.0
"""A full disk or a held lock may pass; an answer is not thrown away for a moment's trouble."""
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
PRUNE_AT_ONCE = 2000
"""Delivered messages looked at in one pass."""
BIG_FILE_BYTES = 16 * 1024 * 1024
KEEP_WHEN_BIG = 20
"""The host refuses a file over 64 MiB, which 500 long answers could reach."""
SETTLED_BEFORE_CLEANING = 64

_LEGACY_KEY = "sdk_session_id"
CURRENT_BATCH = "current_batch"
EFFECT_PREFIX = "effect:"
PARKED_CONTINUATION = "continuation:claude-code"
"""Where a handle goes that another implementation of our name has left (R-57)."""


def continuation_key(provider: str) -> str:
    return f"continuation:{provider.lower()}"


class Store:
    """Made once per process; ``start`` comes first."""

    def __init__(self, paths: RunnerPaths, lease: Lease) -> None:
        self._in = paths.inbound_db
        self._out = paths.outbound_db
        self._lease = lease
        self._acked: set[str] = set()
        self._leaving = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def start(self, provider: str) -> str | None:
        """Frees what an earlier lease had claimed; the provider's continuation (R-45, R-56).

        Like every write: FencedOffError without the lease, GiveUpError after half a minute.
        """
        return await self._patiently(lambda: self._start(provider))

    async def read_batch(self, limit: int, *, first_poll: bool) -> reader.PendingBatch:
        """The due rows that nobody has claimed; raises FencedOffError, SessionFileBusy, ..."""
        return await self._run(lambda: self._read_batch(limit, first_poll))

    async def apply(self, change: Change) -> None:
        """One durable transaction, tried again for a while when the file cannot be written."""
        await self._patiently(lambda: self._apply(change))

    async def transact(self, work: Callable[[OutboundWriter, int], _T]) -> _T:
        """One durable transaction of a tool, under the lease and tried again like ``apply``.

        The number is the highest in ``inbound.db``, for ``write_message``.
        """
        return await self._patiently(lambda: self._transact(work))

    async def ask(self, read: Callable[[], _T]) -> _T:
        """Runs reads of either file in the store's thread, patiently."""
        return await self._patiently(read)

    async def clean(self) -> None:
        """Deletes what the host has taken over; bounded, and nothing when there is little."""
        await self._run(self._clean)

    async def destinations(self) -> tuple[Destination, ...]:
        return await self._patiently(lambda: reader.read_destinations(self._in))

    async def home(self) -> Address:
        """The session's own chat; empty for one that belongs to none."""
        return await self._patiently(lambda: reader.read_session_routing(self._in))

    async def address_facts(self, reply: Reply, known: AddressFacts) -> AddressFacts:
        """``known`` with what it takes to address the blocks of this reply."""
        return await self._patiently(lambda: self._address_facts(reply, known))

    async def system_rows(self) -> tuple[InboundRow, ...]:
        """Pending answers that nobody has acknowledged (R-98); raises like ``read_batch``."""
        return await self._run(self._system_rows)

    async def numbers(self, platform_ids: tuple[str, ...]) -> dict[str, int]:
        """What the agent calls the messages that the platform calls so (R-116)."""
        return await self._patiently(lambda: self._numbers(platform_ids))

    async def state(self, keys: Iterable[str]) -> dict[str, str]:
        """The values of these keys of ``session_state``, where there are any."""
        wanted = tuple(keys)
        return await self._patiently(lambda: self._state(wanted))

    def stop_retrying(self) -> None:
        """We are asked to leave: whatever cannot be written now is left to the next lease."""
        self._leaving.set()

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _patiently(self, work: Callable[[], _T]) -> _T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WRITE_PATIENCE_SECONDS
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                return await self._run(work)
            except (SessionFileBusy, SessionFileMissing) as error:
                if self._leaving.is_set() or loop.time() + delay > deadline:
                    raise GiveUpError(f"session file cannot be used: {error}") from error
                _log.warning("session file cannot be used yet", extra=fields(reason=error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._leaving.wait()
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)

    def _start(self, provider: str) -> str | None:
        self._lease.check()
        pending = reader.read_pending_ids(self._in)
        now = utc_now()
        with open_outbound(self._out) as out:
            self._lease.check()
            released = out.release_stale_claims(self._lease.token)
            out.drop_settled_acks(pending)
            out.delete_state(CURRENT_BATCH)
            out.delete_state(TURN_TAINT)
            out.clear_tool_in_flight(now)
            out.prune_usage(now)
            key = continuation_key(provider)
            continuation = out.get_state(key)
            legacy = out.get_state(_LEGACY_KEY)
            if legacy is not None:
                out.delete_state(_LEGACY_KEY)
                if continuation is None:
                    out.set_state(key, legacy, now)
                    continuation = legacy
            acked = out.acked_ids(pending)
        self._acked = set(acked)
        if released:
            _log.info("claims of an earlier lease released", extra=fields(count=len(released)))
        return continuation

    def _read_batch(self, limit: int, first_poll: bool) -> reader.PendingBatch:
        self._lease.check()
        query = PendingQuery(
            now=utc_now(), limit=limit, first_poll=first_poll, acked_ids=self._acked
        )
        return reader.read_pending(self._in, query)

    def _address_facts(self, reply: Reply, known: AddressFacts) -> AddressFacts:
        destinations = reader.read_destinations(self._in)
        facts = replace(known, destinations=destinations)
        heard = {chat_of(row.address) for row in known.consumed}
        chats = [chat for chat in addressed(reply, destinations) if chat not in heard]
        if not chats:
            return facts
        newest = {}
        for chat in chats:
            row = newest_known(read_recent_from(self._in, chat), self._acked)
            if row is not None:
                newest[chat] = row
        return replace(facts, newest=newest, session=reader.read_session_routing(self._in))

    def _system_rows(self) -> tuple[InboundRow, ...]:
        rows = reader.read_system_rows(self._in)
        if not rows:
            return ()
        with read_outbound(self._out) as out:  # other processes acknowledge such rows as well
            acked = out.acked_ids([row.id for row in rows])
        return tuple(row for row in rows if row.id not in acked)

    def _numbers(self, platform_ids: tuple[str, ...]) -> dict[str, int]:
        known = read_numbers(self._in, platform_ids)
        with read_outbound(self._out) as out:
            ours = {key: out.find_by_id(sent) for key, sent in known.sent.items()}
        return {**known.numbers, **{key: row.seq for key, row in ours.items() if row is not None}}

    def _state(self, keys: tuple[str, ...]) -> dict[str, str]:
        with read_outbound(self._out) as out:
            found = {key: out.get_state(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def _apply(self, change: Change) -> None:
        self._lease.check()
        now = utc_now()
        above = reader.read_max_seq(self._in) if change.messages else 0
        with open_outbound(self._out) as out:
            self._lease.check()
            out.claim(change.claim, self._lease.token, now)
            out.complete(change.complete, now)
            out.release(change.release)
            for message in change.messages:
                out.write_message(message, above)
            for key, default in change.defaults:
                if out.get_state(key) is None:
                    out.set_state(key, default, now)
            if change.forget_effects:
                out.delete_states(EFFECT_PREFIX)
            for key, value in change.state:
                if value is None:
                    out.delete_state(key)
                else:
                    out.set_state(key, value, now)
        self._acked.update(change.claim, change.complete)
        self._acked.difference_update(change.release)

    def _transact(self, work: Callable[[OutboundWriter, int], _T]) -> _T:
        self._lease.check()
        above = reader.read_max_seq(self._in)
        with open_outbound(self._out) as out:
            self._lease.check()
            return work(out, above)

    def _clean(self) -> None:
        settled = len(self._acked) >= SETTLED_BEFORE_CLEANING
        big = self._out.stat().st_size > BIG_FILE_BYTES
        keep = KEEP_WHEN_BIG if big else KEEP_NEWEST
        with read_outbound(self._out) as out:
            ids = out.message_ids()
        old = ids[: max(len(ids) - keep, 0)][:PRUNE_AT_ONCE]
        delivered = [mark.message_out_id for mark in reader.read_delivered(self._in, old)]
        if not settled and not delivered:
            return
        pending = reader.read_pending_ids(self._in)
        with open_outbound(self._out) as out:
            self._lease.check()
            pruned = out.prune(delivered, keep)
            dropped = out.drop_settled_acks(pending) if settled else 0
        if settled:
            self._acked &= pending
        _log.debug("queue cleaned", extra=fields(count=pruned + dropped))

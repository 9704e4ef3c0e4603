"""Keeps the account of model calls: a row per call, and what the day has cost (R-318 to R-322).

Called after every answer by ``turn``, ``subagent`` and the compaction. The rows are information;
the vault's account is what counts. What was spent today before this process began is read once from
our own log, then it is counted in memory.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from contract.clock import utc_now
from contract.errors import ContractError
from contract.ids import new_id
from contract.outbound.reader import read_outbound
from contract.outbound.row import UsageTotal
from runner.errors import ProviderError, Trouble
from runner.log import fields
from runner.providers.base import UsageSink
from runner.providers.claude.calls import Called
from runner.providers.claude.prices import PriceTable
from runner.providers.claude.usage import Call, UsageKind, day_start, usage_entry
from runner.zone import find_zone

_log = logging.getLogger(__name__)


class Ledger:
    """One per process; ``per_day`` is ``maxCostPerDayUsd``."""

    def __init__(
        self,
        sink: UsageSink,
        prices: PriceTable,
        outbound_db: Path,
        timezone: str,
        per_day: float | None = None,
    ) -> None:
        self.prices = prices
        self.per_day = per_day
        self.conversation = ""
        self.turn = ""
        self._sink = sink
        self._outbound_db = outbound_db
        self._zone = find_zone(timezone)[1]
        self._day: datetime | None = None
        self._spent_today = 0.0
        self.spent_in_turn = 0.0
        """Dollars, with sub-agents and summaries."""

    def begin_turn(self, conversation: str) -> None:
        self.conversation = conversation
        self.spent_in_turn = 0.0
        self.turn = new_id("turn")

    async def prepare(self) -> None:
        """Reads what today has cost so far, if a cap makes that matter."""
        today = day_start(utc_now(), self._zone)
        if self.per_day is None or today == self._day:
            return
        self._day = today
        self._spent_today = (await self.total_since(today)).cost_usd

    async def total_since(
        self, moment: datetime | None, conversation: str | None = None
    ) -> UsageTotal:
        """From our own log; nothing when it cannot be read."""
        return await asyncio.to_thread(self._read_total, moment, conversation)

    @property
    def today(self) -> datetime:
        return day_start(utc_now(), self._zone)

    def check_day(self) -> None:
        """Raises ProviderError when nothing may be spent any more today (R-322)."""
        if self.per_day is not None and self._spent_today >= self.per_day:
            spent = f"{self._spent_today:.2f} of {self.per_day:.2f} US dollars"
            raise ProviderError(Trouble.DAY_LIMIT, f"the daily limit is reached: {spent}")

    async def note(self, called: Called, kind: UsageKind, inbound_ids: Sequence[str] = ()) -> None:
        """A call of which nobody knows the price counts as nothing."""
        response = called.response
        call = Call(
            at=utc_now(),
            conversation=self.conversation,
            turn=self.turn,
            kind=kind,
            model=response.model,
            duration_ms=called.duration_ms,
            stop_reason=response.stop_reason,
            retries=called.retries,
            inbound_id=inbound_ids[0] if inbound_ids else None,
        )
        entry = usage_entry(call, response.usage, self.prices)
        cost = entry.cost_usd or 0.0
        self._spent_today += cost
        self.spent_in_turn += cost
        _log.debug(
            "model call",
            extra=fields(
                ms=called.duration_ms,
                reason=f"cache read {entry.cache_read_tokens}, written "
                f"{entry.cache_write_5m_tokens + entry.cache_write_1h_tokens}",
            ),
        )
        await self._sink.log_usage(entry)

    def _read_total(self, moment: datetime | None, conversation: str | None) -> UsageTotal:
        try:
            with read_outbound(self._outbound_db) as reader:
                return reader.usage_since(moment, conversation)
        except (ContractError, OSError) as error:
            _log.warning("usage cannot be read", extra=fields(reason=error))
            return UsageTotal()

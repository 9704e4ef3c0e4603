"""Carries out what ``decide_failure`` says about rows whose query failed (R-91, R-92).

Called by the loop when a stream ended badly or a prompt could not be made. An unusable stored
conversation is forgotten and the rows are freed, once, so that the next poll takes them up in a
new one; otherwise they are settled together with one sentence to the person who waits.
"""

import logging
from typing import assert_never

from contract.clock import utc_now
from contract.ids import new_id
from runner.answer import trouble_row
from runner.change import Change
from runner.complaints import Complaints
from runner.decide import (
    FailureFacts,
    RetryFresh,
    SettleSilently,
    TellUser,
    decide_failure,
    routing_row,
)
from runner.errors import ProviderError, Trouble
from runner.incoming import Incoming
from runner.log import fields
from runner.providers.base import Provider
from runner.store import CURRENT_BATCH, Store

_log = logging.getLogger(__name__)

MAX_REMEMBERED = 1000


class FailureDesk:
    """Remembers which rows had their second chance."""

    def __init__(
        self, store: Store, provider: Provider, continuation_key: str, complaints: Complaints
    ) -> None:
        self._store = store
        self._provider = provider
        self._key = continuation_key
        self._complaints = complaints
        self._retried: set[str] = set()

    async def settle(
        self, error: Exception, items: tuple[Incoming, ...], continuation: str | None
    ) -> str | None:
        """The continuation that is left afterwards."""
        reference = new_id("err")
        _log.error(
            "query failed",
            extra=fields(message=reference, count=len(items), reason=type(error).__name__),
            exc_info=error,
        )
        ids = tuple(item.row.id for item in items)
        routing = routing_row(items)
        decision = decide_failure(
            FailureFacts(
                session_invalid=self._provider.is_session_invalid(error),
                has_continuation=continuation is not None,
                retried=not ids or not self._retried.isdisjoint(ids),
                routing=routing,
                notified_agent=routing is not None
                and self._complaints.is_tiresome(routing.address),
            )
        )
        forget = ((self._key, None),)
        batch = ((CURRENT_BATCH, None),)
        match decision:
            case RetryFresh():
                _log.warning("stored conversation is unusable, starting a new one")
                self._note_retried(ids)
                await self._store.apply(Change(release=ids, state=(*forget, *batch)))
                return None
            case TellUser(row, forgotten):
                trouble = error.trouble if isinstance(error, ProviderError) else Trouble.UNEXPECTED
                message = trouble_row(trouble, row, utc_now(), reference)
                self._complaints.note(row.address)
                state = (*forget, *batch) if forgotten else batch
                await self._store.apply(Change(complete=ids, messages=(message,), state=state))
            case SettleSilently(forgotten, reason):
                _log.info("nobody was told", extra=fields(message=reference, reason=reason))
                state = (*forget, *batch) if forgotten else batch
                await self._store.apply(Change(complete=ids, state=state))
            case _:
                assert_never(decision)
        return None if forgotten else continuation

    def _note_retried(self, ids: tuple[str, ...]) -> None:
        if len(self._retried) > MAX_REMEMBERED:
            self._retried.clear()
        self._retried.update(ids)

"""Carries out what ``decide_failure`` says about rows whose query failed (R-91, R-92).

Called by the loop when a stream ended badly or a prompt could not be made. An unusable stored
conversation is forgotten and the rows are freed, once, so that the next poll takes them up in a
new one; otherwise they are settled together with one sentence to the person who waits.
"""

import logging
from dataclasses import replace
from typing import assert_never

from contract.clock import utc_now
from contract.ids import new_id
from runner.answer import Told, settled, trouble_row
from runner.change import Change
from runner.complaints import Complaints
from runner.decide import (
    FailureDecision,
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
from runner.turn.conversation import Conversation

_log = logging.getLogger(__name__)

MAX_REMEMBERED = 1000


class FailureDesk:
    """Remembers which rows had their second chance."""

    def __init__(
        self,
        store: Store,
        provider: Provider,
        conversation: Conversation,
        complaints: Complaints,
    ) -> None:
        self._store = store
        self._provider = provider
        self._conversation = conversation
        self._complaints = complaints
        self._retried: set[str] = set()

    async def settle(self, error: Exception, items: tuple[Incoming, ...]) -> None:
        """Afterwards the rows are free again or done."""
        reference = new_id("err")
        _log.error(
            "query failed",
            extra=fields(message=reference, count=len(items), reason=type(error).__name__),
            exc_info=error,
        )
        trouble = error.trouble if isinstance(error, ProviderError) else Trouble.UNEXPECTED
        decision = self._decide(error, trouble, items)
        ids = tuple(item.row.id for item in items)
        state = ((CURRENT_BATCH, None),)
        match decision:
            case RetryFresh():
                _log.warning("stored conversation is unusable, starting a new one")
                self._note_retried(ids)
                await self._apply(Change(release=ids, state=state), forget=True)
            case TellUser(row, forget):
                shown = error.shown if isinstance(error, ProviderError) else ""
                message = trouble_row(Told(trouble, reference, shown), row, utc_now())
                self._complaints.note(row.address)
                change = replace(settled(items), messages=(message,))
                await self._apply(replace(change, state=(*change.state, *state)), forget=forget)
            case SettleSilently(forget, reason):
                _log.info("nobody was told", extra=fields(message=reference, reason=reason))
                change = settled(items)
                await self._apply(replace(change, state=(*change.state, *state)), forget=forget)
            case _:
                assert_never(decision)

    def _decide(
        self, error: Exception, trouble: Trouble, items: tuple[Incoming, ...]
    ) -> FailureDecision:
        self._complaints.turn_failed(trouble)
        ids = [item.row.id for item in items]
        routing = routing_row(items)
        if routing is not None and routing.address.is_empty:
            routing = None
        return decide_failure(
            FailureFacts(
                session_invalid=self._provider.is_session_invalid(error),
                has_continuation=self._conversation.continuation is not None,
                retried=not ids or not self._retried.isdisjoint(ids),
                routing=routing,
                notified=routing is not None and self._complaints.is_tiresome(routing.address),
                trouble=trouble,
            )
        )

    async def _apply(self, change: Change, *, forget: bool) -> None:
        if not forget:
            await self._store.apply(change)
            return
        await self._conversation.archive()
        await self._store.apply(self._conversation.forgetting(change))
        self._conversation.forget()

    def _note_retried(self, ids: tuple[str, ...]) -> None:
        if len(self._retried) > MAX_REMEMBERED:
            self._retried.clear()
        self._retried.update(ids)

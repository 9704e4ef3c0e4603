"""The provider's handle of the conversation: which one is in force, and what is written about it.

Shared by loop, query, failures and commands, so that all of them look at the current one (R-92).
A handle that another implementation of the same provider left is not ours to resume: it is kept
aside and given to the provider once, until a conversation of its own has replaced it (R-57).
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace

from runner.change import Change
from runner.log import fields
from runner.providers.base import Provider
from runner.store import PARKED_CONTINUATION, continuation_key

_log = logging.getLogger(__name__)

ARCHIVE_SECONDS = 10.0


class Conversation:
    """``continuation`` is None before the first turn of a new conversation."""

    def __init__(self, provider: Provider, name: str) -> None:
        self._provider = provider
        self._key = continuation_key(name)
        self.continuation: str | None = None
        self.foreign: str | None = None

    def adopt(self, stored: str | None) -> None:
        """What ``session_state`` held at start."""
        if stored is None or self._provider.owns(stored):
            self.continuation = stored
        else:
            self.foreign = stored

    def remembering(self, continuation: str, change: Change) -> Change:
        """The change, with the new handle in it; ``remember`` comes when it is written."""
        return self._replacing(continuation, change)

    def remember(self, continuation: str) -> None:
        self.continuation = continuation
        self.foreign = None

    def forgetting(self, change: Change) -> Change:
        """The change, without any handle from then on; ``forget`` comes when it is written."""
        return self._replacing(None, change)

    def forget(self) -> None:
        self.continuation = None
        self.foreign = None

    async def archive(self) -> None:
        """Before it is forgotten. Bounded, and a failure never blocks what comes next (R-204)."""
        if self.continuation is not None:
            await quietly(self._provider.archive(self.continuation), ARCHIVE_SECONDS, "archive")

    def _replacing(self, continuation: str | None, change: Change) -> Change:
        parked = () if self.foreign is None else ((PARKED_CONTINUATION, self.foreign),)
        return replace(
            change,
            state=(*change.state, (self._key, continuation)),
            defaults=(*change.defaults, *parked),
        )


async def quietly(work: Awaitable[None], seconds: float, what: str) -> None:
    """Waits for work of a provider or tool on which nothing depends."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception as error:  # noqa: BLE001 foreign code, and we go on without it
        _log.warning("could not be done", extra=fields(message=what, reason=repr(error)))

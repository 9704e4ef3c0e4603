"""Carries out the commands that the provider answers (R-310): one after the other, in a task.

Used by the loop, which has claimed their rows. Answer and completion are one transaction, so a
kill before it means that the next container answers, and a kill after it that nobody does again.
Imported when the first command comes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from contract.clock import utc_now
from contract.killpoint import reached
from runner.answer import TEXTS, notice_row
from runner.change import Change
from runner.decide import COMPACT, STOPPED_TEXT
from runner.errors import ENDS_THE_PROCESS, ProviderError
from runner.incoming import Incoming
from runner.log import fields
from runner.providers.base import CommandOutcome, Provider
from runner.store import Store
from runner.turn.beat import Beat, Holder
from runner.turn.conversation import Conversation

_log = logging.getLogger(__name__)

COMMAND_SECONDS = 60.0
COMPACT_SECONDS = 900.0
FAILED_TEXT = "Error: That did not work. The operator finds the reason in the log."
TOO_SLOW_TEXT = "Error: That took too long and was given up."


class CommandDesk:
    """``ring`` wakes the loop when everything is answered."""

    def __init__(
        self,
        provider: Provider,
        store: Store,
        beat: Beat,
        conversation: Conversation,
        ring: Callable[[], None],
    ) -> None:
        self._provider = provider
        self._store = store
        self._beat = beat
        self._conversation = conversation
        self._ring = ring
        self._waiting: deque[Incoming] = deque()
        self._task: asyncio.Task[None] | None = None
        self._running: Incoming | None = None
        self._stopped = False

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def compacting(self) -> bool:
        """No turn may begin meanwhile."""
        rows = (self._running, *self._waiting)
        return self.busy and any(item is not None and _is_compact(item) for item in rows)

    def take(self, items: tuple[Incoming, ...]) -> None:
        """Begins with them at once, or when those before are answered."""
        self._waiting.extend(items)
        if not self.busy:
            self._beat.hold(Holder.COMMAND)
            self._task = asyncio.create_task(self._work())

    def stop(self) -> None:
        """Breaks a compaction off; everything else is over soon."""
        if self.compacting and self._task is not None:
            self._stopped = True
            self._task.cancel()

    def raise_failure(self) -> None:
        """What went wrong on our side, once the work is over."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()

    async def close(self) -> None:
        """Claims stay as they are, for the next container."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)

    async def _work(self) -> None:
        try:
            while self._waiting:
                self._running = self._waiting.popleft()
                await self._carry_out(self._running)
        finally:
            self._running = None
            self._beat.drop(Holder.COMMAND)
            self._ring()

    async def _carry_out(self, item: Incoming) -> None:
        outcome = await self._outcome(item)
        change = Change(
            complete=(item.row.id,),
            messages=(notice_row(outcome.text, item.row, utc_now()),),
        )
        if outcome.continuation is None:
            await self._store.apply(change)
        else:
            await self._store.apply(self._conversation.remembering(outcome.continuation, change))
            self._conversation.remember(outcome.continuation)
        reached("runner.commanded")

    async def _outcome(self, item: Incoming) -> CommandOutcome:
        command = item.command
        assert command is not None
        try:
            async with asyncio.timeout(COMPACT_SECONDS if _is_compact(item) else COMMAND_SECONDS):
                return await self._provider.run_command(
                    command.word, command.arguments, self._conversation.continuation
                )
        except TimeoutError:
            return CommandOutcome(TOO_SLOW_TEXT)
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            self._stopped = False
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            return CommandOutcome(STOPPED_TEXT)
        except ENDS_THE_PROCESS:
            raise
        except ProviderError as error:
            _log.warning("command failed", extra=fields(reason=error))
            return CommandOutcome(f"Error: {TEXTS[error.trouble].rstrip('.')}.")
        except Exception:  # noqa: BLE001 foreign code; whoever gave the command is told
            _log.exception("command failed")
            return CommandOutcome(FAILED_TEXT)


def _is_compact(item: Incoming) -> bool:
    return item.command is not None and item.command.word == COMPACT

"""An open stream of the provider: what the loop holds in its hands (R-188).

``push``, ``end``, ``interrupt`` and ``abort`` return at once; the work is a task that begins when
the events are consumed and ends with them. Signs of life are joined while nobody takes them, so
that the waiting events stay few.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from runner.errors import QueryEndedError
from runner.providers.base import Activity, Event, Origin, Prompt, Sent
from runner.providers.claude.calls import Emit
from runner.providers.claude.engine import Engine
from runner.providers.claude.steering import InputQueue

Opener = Callable[[InputQueue, Emit], Awaitable[Engine]]
"""Opens the conversation and builds the engine of one stream."""


class ClaudeQuery:
    """``closed`` is called once, when nothing of the stream runs any more."""

    def __init__(self, first: Prompt, opener: Opener, closed: Callable[[], None]) -> None:
        self._inbox = InputQueue(first)
        self._opener = opener
        self._closed = closed
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Event] = deque()
        self._bell = asyncio.Event()
        self._aborted = False
        self._stop_first = False

    def push(self, prompt: Prompt) -> int:
        if self._aborted or (self._task is not None and self._task.done()):
            raise QueryEndedError("the stream takes no more input")
        return self._inbox.push(prompt)

    def end(self) -> None:
        self._inbox.end()

    def interrupt(self) -> None:
        self._stop_first = self._engine is None
        if self._engine is not None:
            self._engine.interrupt()

    def abort(self) -> None:
        self._aborted = True
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        self._bell.set()

    def note_sent(self, origin: Origin, sent: Sequence[Sent]) -> None:
        if self._engine is not None and self._task is not None and not self._task.done():
            self._engine.note_sent(origin, sent)

    async def events(self) -> AsyncIterator[Event]:
        if self._aborted:
            self._closed()
            return
        self._task = asyncio.create_task(self._work())
        self._task.add_done_callback(lambda _: self._bell.set())
        try:
            while not self._aborted:
                while self._waiting:
                    yield self._waiting.popleft()
                if self._task.done():
                    break
                await self._bell.wait()
                self._bell.clear()
            if not self._aborted:
                self._task.result()
        finally:
            await self._stop()

    async def _work(self) -> None:
        self._engine = await self._opener(self._inbox, self._emit)
        if self._stop_first:
            self._engine.interrupt()
        await self._engine.run()

    def _emit(self, event: Event) -> None:
        if self._aborted:
            return
        if isinstance(event, Activity) and self._waiting and self._waiting[-1] == event:
            return
        self._waiting.append(event)
        self._bell.set()

    async def _stop(self) -> None:
        """Also when the consumer went away in the middle."""
        task = self._task
        try:
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task})
            if task is not None and not task.cancelled():
                task.exception()  # looked at; whoever consumed the events got it already
        finally:
            self._closed()

    def wake(self) -> None:
        if self._engine is not None:
            self._engine.wake()

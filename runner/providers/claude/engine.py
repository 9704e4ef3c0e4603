"""Runs the turns of one stream, one after the other (R-239).

Started by ``query`` when its events are consumed. Opens the conversation, settles its head, takes
what waits, runs a turn as a task that an interrupt may cancel, and rests in between without holding
a connection (R-327). Ends when no more input can come.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from runner.instructions.model import InstructionSource
from runner.providers.base import Began, Init, Origin, Sent
from runner.providers.claude.calls import Emit
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.intake import Intake
from runner.providers.claude.ledger import Ledger
from runner.providers.claude.steering import Input, InputQueue
from runner.providers.claude.turn import Turn, TurnParts
from runner.toolbox.base import Toolbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineParts:
    """``opened`` is what the first turn has to be told besides its input."""

    conversation: Conversation
    turns: TurnParts
    toolbox: Toolbox
    instructions: InstructionSource
    has_rhythm: Callable[[], Awaitable[bool]]
    opened: tuple[str, ...] = ()


class Engine:
    """One stream."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._turns = parts.turns
        self._inbox: InputQueue = parts.turns.inbox
        self._intake: Intake = parts.turns.intake
        self._ledger: Ledger = parts.turns.ledger
        self._emit: Emit = parts.turns.emit
        self._covers = 0
        self._first = True
        self._woken = False
        self._turn: asyncio.Task[None] | None = None
        self._interrupted = False
        self._stop_first = False

    def wake(self) -> None:
        """There is news that deserves a turn of its own (R-252)."""
        self._woken = True
        self._inbox.ring()

    def interrupt(self) -> None:
        """Ends the running turn, or the first one before it began; between turns nothing."""
        if self._turn is None:
            self._stop_first = True
        elif not self._turn.done():
            self._interrupted = True
            self._turn.cancel()

    def note_sent(self, origin: Origin, sent: Sequence[Sent]) -> None:
        """Blocks of a stored answer went out (R-288)."""
        conversation = self._parts.conversation
        name, _, record = origin.seed.rpartition(":")
        if name == conversation.id and record.isdigit():
            for one in sent:
                conversation.dispatch(int(record), one.block, one.to, one.message_id)

    async def run(self) -> None:
        """Until the input ends. Raises what ends the stream."""
        self._emit(Init(self._parts.conversation.id))
        try:
            await self._work()
        finally:
            await self._turns.window.stop()

    async def _work(self) -> None:
        while True:
            await self._turns.window.settle()
            inputs = self._inbox.take()
            if inputs:
                await self._run_turn(inputs)
            elif self._woken:
                await self._run_own_turn()
            elif self._inbox.ended:
                return
            else:
                await self._inbox.wait()

    async def _run_own_turn(self) -> None:
        """A turn that nobody asked for, if there is still something to tell."""
        self._woken = False
        notes = self._parts.toolbox.take_notes()
        if not notes:
            return
        self._intake.tell(*notes)
        self._emit(Began())
        await self._run_turn(())

    async def _run_turn(self, inputs: tuple[Input, ...]) -> None:
        self._intake.begin_turn(inputs)
        if any(given.prompt.ids for given in inputs):
            series = {given.prompt.series for given in inputs if given.prompt.ids}
            self._turns.calls.work_for(series.pop() if len(series) == 1 else None)
        turn = Turn(self._turns, inputs, self._covers)
        self._interrupted = False
        self._turn = asyncio.create_task(self._prepared(turn))
        if self._stop_first:
            self._stop_first = False
            self.interrupt()
        try:
            await asyncio.wait({self._turn})
        except asyncio.CancelledError:
            self._turn.cancel()
            await asyncio.wait({self._turn})
            if not self._turn.cancelled():
                self._turn.exception()
            raise
        finally:
            self._covers = turn.covers
        if self._turn.cancelled():
            if not self._interrupted:
                raise asyncio.CancelledError
            _log.info("turn interrupted")
            await turn.stop()
            self._covers = turn.covers
        else:
            self._turn.result()
        self._turns.window.rest(input_waiting=self._inbox.has_input or self._inbox.ended)

    async def _prepared(self, turn: Turn) -> None:
        """What the first turn waits for, and every later one looks at."""
        await self._ledger.prepare()
        self._ledger.begin_turn(self._parts.conversation.id)
        mainline = self._turns.mainline
        mainline.has_rhythm = await self._parts.has_rhythm()
        if self._first:
            change = await mainline.prepare()
            await self._turns.window.finish_interrupted()
            self._first = False
            self._intake.tell(*self._parts.opened, *self._parts.conversation.opening_notes)
        else:
            change = await mainline.look_again(self._parts.instructions)
        self._intake.tell_change(change)
        await turn.run()

"""The runner's loop in a thread of the test, with a provider that plays what a test gives it."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from helpers.runner_process import CHAT, RunnerSession
from helpers.waiting import wait_until

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump
from contract.outbound.reader import read_outbound
from runner.errors import QueryEndedError
from runner.heartbeat import Heartbeat
from runner.lease import Lease
from runner.loop import Loop, LoopParts
from runner.providers.base import (
    Activity,
    CommandOutcome,
    Event,
    Init,
    Origin,
    Prompt,
    QueryInput,
    Result,
    Sent,
)
from runner.settings import read_settings
from runner.store import Store
from runner.wakeup import Wakeup

Turn = Callable[[Prompt, int], AsyncIterator[Event]]


class SessionGoneError(Exception):
    """What the double's ``is_session_invalid`` knows."""


def say(text: str | None, *before: Event, **more: Any) -> Turn:
    """A turn: the events, then a result with this text."""

    async def turn(prompt: Prompt, ticket: int) -> AsyncIterator[Event]:
        for event in before:
            yield event
        yield Result(text, ticket, **more)

    return turn


def fail(error: Exception) -> Turn:
    async def turn(prompt: Prompt, ticket: int) -> AsyncIterator[Event]:
        yield Activity()
        raise error

    return turn


@dataclass(slots=True)
class Gate:
    """Holds a turn until the test lets it go on."""

    entered: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)

    def hold(self, text: str | None, *before: Event) -> Turn:
        async def turn(prompt: Prompt, ticket: int) -> AsyncIterator[Event]:
            for event in before:
                yield event
            self.entered.set()
            while not self.open.is_set():
                await asyncio.sleep(0.005)
            yield Result(text, ticket)

        return turn

    def wait(self) -> None:
        assert self.entered.wait(5)


class DoubleProvider:
    """Turns are played in order; without one left it answers ``<message to="me">``."""

    def __init__(self, *turns: Turn) -> None:
        self.turns = deque(turns)
        self.prompts: list[Prompt] = []
        self.inputs: list[QueryInput] = []
        self.queries: list[DoubleQuery] = []
        self.commands: frozenset[str] = frozenset()
        self.outcomes: dict[str, CommandOutcome | Exception] = {}
        self.ran: list[tuple[str, str, str | None]] = []
        self.archived: list[str] = []
        self.sent: list[Sent] = []
        self.busy = False
        self.prefix = ""
        self.command_gate: Gate | None = None

    def owns(self, continuation: str) -> bool:
        return continuation.startswith(self.prefix)

    async def run_command(
        self, word: str, arguments: str, continuation: str | None
    ) -> CommandOutcome:
        self.ran.append((word, arguments, continuation))
        if self.command_gate is not None:
            self.command_gate.entered.set()
            while not self.command_gate.open.is_set():
                await asyncio.sleep(0.005)
        outcome = self.outcomes.get(word, CommandOutcome(f"{word} done"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def archive(self, continuation: str) -> None:
        self.archived.append(continuation)

    def query(self, query: QueryInput) -> "DoubleQuery":
        self.inputs.append(query)
        made = DoubleQuery(self, query)
        self.queries.append(made)
        return made

    def is_session_invalid(self, error: Exception) -> bool:
        return isinstance(error, SessionGoneError)

    async def close(self) -> None:
        """Nothing is open."""

    def next_turn(self) -> Turn:
        return self.turns.popleft() if self.turns else say('<message to="me">ok</message>')


class DoubleQuery:
    def __init__(self, provider: DoubleProvider, query: QueryInput) -> None:
        self._provider = provider
        self._handle = query.continuation or f"{provider.prefix}c-{len(provider.inputs)}"
        self._waiting: deque[tuple[int, Prompt]] = deque([(0, query.prompt)])
        self._next = 1
        self._ended = False
        self._aborted = False
        self.interrupted = False
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def push(self, prompt: Prompt) -> int:
        if self._ended:
            raise QueryEndedError("ended")
        self._waiting.append((self._next, prompt))
        self._next += 1
        self._changed.set()
        return self._next - 1

    def end(self) -> None:
        self._ended = True
        self._loop.call_soon_threadsafe(self._changed.set)

    def refuse_pushes(self) -> None:
        """As if the stream had ended by itself a moment before anybody noticed."""
        self._ended = True

    def wake(self) -> None:
        """A turn of the provider's own, from the test's thread."""
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waiting.append((self._next - 1, Prompt("", "")))
        self._changed.set()

    def interrupt(self) -> None:
        self.interrupted = True

    def note_sent(self, origin: Origin, sent: Sequence[Sent]) -> None:
        self._provider.sent += sent

    def abort(self) -> None:
        self._aborted = True
        self.end()

    async def events(self) -> AsyncIterator[Event]:
        yield Init(self._handle)
        while not self._is_aborted():
            self._changed.clear()
            if self._waiting:
                ticket, prompt = self._waiting.popleft()
                self._provider.prompts.append(prompt)
                async for event in self._provider.next_turn()(prompt, ticket):
                    if self._is_aborted():
                        return
                    yield event
            elif self._ended:
                return
            else:
                await self._changed.wait()

    def _is_aborted(self) -> bool:
        return self._aborted


@dataclass(slots=True)
class DoubleDesk:
    deliveries: int = 0
    awaited: set[str] = field(default_factory=set)

    def awaits(self, key: str) -> bool:
        return key in self.awaited


@dataclass(slots=True)
class LoopThread:
    """``error`` is what ended the loop, if anything did."""

    loop: Loop | None = None
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    running: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        if self.loop is not None and self.running is not None and not self.ended.is_set():
            self.running.call_soon_threadsafe(self.loop.request_stop)

    def wait_for_end(self) -> None:
        assert self.ended.wait(10)


@contextmanager
def running_loop(
    session: RunnerSession,
    provider: DoubleProvider,
    **parts: Any,
) -> Iterator[LoopThread]:
    """The loop at work on this session; what it raised is raised again at the end."""
    thread = LoopThread()

    async def run() -> None:
        settings = read_settings(session.paths)
        store = Store(session.paths, Lease(session.paths.session_json, session.lease))
        wakeup = Wakeup(session.paths, {})
        wakeup.start()
        made = LoopParts(
            settings=settings,
            store=store,
            provider=provider,
            wakeup=wakeup,
            heartbeat=Heartbeat(session.paths.heartbeat, 0.05),
        )
        thread.loop = Loop(replace(made, **parts))
        thread.running = asyncio.get_running_loop()
        thread.started.set()
        try:
            await thread.loop.run()
        finally:
            wakeup.close()
            store.close()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 told to the test
            thread.error = error
        finally:
            thread.ended.set()
            thread.started.set()

    worker = threading.Thread(target=main, daemon=True)
    worker.start()
    assert thread.started.wait(10)
    try:
        yield thread
    finally:
        thread.stop()
        worker.join(10)
    if thread.error is not None:
        raise thread.error


def insert(
    session: RunnerSession,
    message_id: str,
    kind: str,
    content: object,
    *,
    address: Address = CHAT,
    trigger: bool = True,
    series_id: str | None = None,
    age_seconds: float = 0.0,
    platform_message_id: str | None = None,
) -> str:
    """A row of any kind; its id."""
    new = NewInbound(
        id=message_id,
        kind=kind,
        timestamp=utc_now() - timedelta(seconds=age_seconds),
        content=dump(content),
        address=address,
        trigger=trigger,
        series_id=series_id,
        platform_message_id=platform_message_id,
    )
    with open_inbound(session.paths.inbound_db, busy_ms=2000) as inbound:
        inbound.insert_message(new)
    return message_id


def state_of(session: RunnerSession, key: str) -> str | None:
    with read_outbound(session.paths.outbound_db) as out:
        return out.get_state(key)


def wait_for_prompts(provider: DoubleProvider, number: int) -> Sequence[Prompt]:
    wait_until(lambda: len(provider.prompts) >= number, what=f"{number} prompts")
    return provider.prompts


def origin_of(seed: str) -> Origin:
    return Origin(seed, utc_now())

"""The provider ``scripted``: answers from a script, without a network and without a key.

Used by the demo, offline, and by every test that needs a model to be late, to fail, to hang or
to die. It keeps to the whole protocol: tickets, interrupts, a conversation that continues in the
next container, and counters that survive a crash (written before the steps of a rule run).
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.errors import BadContent
from contract.ids import new_id
from contract.jsontext import dump, parse_object
from runner.errors import ProviderError, QueryEndedError, Trouble
from runner.providers.base import (
    Activity,
    CommandOutcome,
    Event,
    Failure,
    Init,
    Origin,
    Progress,
    Prompt,
    ProviderOptions,
    QueryInput,
    Result,
    Sent,
)
from runner.providers.script import (
    Absorb,
    Call,
    Exit,
    Fail,
    Hang,
    Pause,
    Raise,
    Say,
    Script,
    Step,
    Tell,
    parse_script,
)
from runner.toolbox.base import Toolbox, ToolUse
from runner.toolbox.none import NoTools
from runner.turn.taint import TurnTaint

MAX_MEMORY_BYTES = 64 * 1024
_MEMORY_FILE = "scripted.json"


class SessionInvalidError(ProviderError):
    """The script says that the stored conversation is gone."""


def create(options: ProviderOptions) -> "ScriptedProvider":
    memory = options.paths.conversation / _MEMORY_FILE
    return ScriptedProvider(
        parse_script(options.config.script), memory, Tools(options.toolbox, options.taint)
    )


class ScriptedProvider:
    def __init__(self, script: Script, memory: Path, tools: "Tools | None" = None) -> None:
        self._script = script
        self._memory = memory
        self._tools = tools or Tools(NoTools(), TurnTaint())

    @property
    def commands(self) -> frozenset[str]:
        return frozenset()

    @property
    def busy(self) -> bool:
        return False

    def owns(self, continuation: str) -> bool:
        return True

    async def run_command(
        self, word: str, arguments: str, continuation: str | None
    ) -> CommandOutcome:
        return CommandOutcome(f"{word} is no command here.")

    async def archive(self, continuation: str) -> None:
        """There is no transcript."""

    def query(self, query: QueryInput) -> "ScriptedQuery":
        return ScriptedQuery(self._script, Memory(self._memory), query, self._tools)

    def is_session_invalid(self, error: Exception) -> bool:
        return isinstance(error, SessionInvalidError)

    async def close(self) -> None:
        """Nothing is open between turns."""


class Tools:
    """How a script uses tools, and what that brings into the turn."""

    def __init__(self, toolbox: Toolbox, taint: TurnTaint) -> None:
        self._toolbox = toolbox
        self._taint = taint
        self._ready = False

    @property
    def taint(self) -> frozenset[str]:
        return self._taint.words

    def begin_turn(self, prompt: Prompt) -> None:
        """A nudge, which brings no rows, goes on with what the turn before it had seen."""
        self._taint.begin(() if prompt.ids else self._taint.words)

    async def call(self, use: ToolUse) -> str:
        if not self._ready:
            self._ready = True
            await self._toolbox.prepare()
            await self._toolbox.specs()  # servers are up then, or known to be late
        [result] = await self._toolbox.run([use], lambda: None)
        return result.text


class Memory:
    """Per conversation: turns so far. Per session: how often each rule has answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                value = parse_object(
                    file.read(MAX_MEMORY_BYTES).decode(), max_bytes=MAX_MEMORY_BYTES
                )
        except (OSError, UnicodeDecodeError, BadContent):
            value = {}
        self._conversation = value.get("conversation")
        self._turns = _number(value.get("turns"))
        used = value.get("used")
        counts = used if isinstance(used, dict) else {}
        self.used = {int(key): _number(n) for key, n in counts.items() if key.isdigit()}

    def open(self, continuation: str | None) -> str:
        """The conversation's handle: the given one, or that of a new conversation."""
        handle = continuation or new_id("scripted")
        if handle != self._conversation:
            self._conversation, self._turns = handle, 0
        return handle

    def count(self, rule: int | None) -> int:
        """Records that a turn begins, durably; its number in the conversation."""
        self._turns += 1
        if rule is not None:
            self.used[rule] = self.used.get(rule, 0) + 1
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(
            dump({"conversation": self._conversation, "turns": self._turns, "used": self.used})
        )
        fresh.replace(self._path)
        return self._turns


@dataclass(slots=True)
class _Turn:
    """What a running turn has gathered."""

    ticket: int
    words: str
    number: int
    seed: str
    """The same for rows that are delivered again, so that a call is not carried out twice."""
    said: list[str] = field(default_factory=list)
    result: str = ""
    calls: int = 0


class ScriptedQuery:
    """One stream; inputs are answered one after the other."""

    def __init__(self, script: Script, memory: Memory, query: QueryInput, tools: Tools) -> None:
        self._script = script
        self._memory = memory
        self._tools = tools
        self._handle = memory.open(query.continuation)
        self._waiting: deque[tuple[int, Prompt]] = deque([(0, query.prompt)])
        self._next_ticket = 1
        self._ended = False
        self._aborted = False
        self._changed = asyncio.Event()
        self._broken_off = asyncio.Event()

    def push(self, prompt: Prompt) -> int:
        if self._ended or self._aborted:
            raise QueryEndedError("the scripted stream takes no more input")
        ticket = self._next_ticket
        self._next_ticket += 1
        self._waiting.append((ticket, prompt))
        self._changed.set()
        return ticket

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def interrupt(self) -> None:
        self._broken_off.set()
        self._changed.set()

    def abort(self) -> None:
        self._aborted = True
        self._waiting.clear()
        self._broken_off.set()
        self._changed.set()

    def note_sent(self, origin: Origin, sent: Sequence[Sent]) -> None:
        """There is no record of a script's answers."""

    async def events(self) -> AsyncIterator[Event]:
        yield Init(self._handle)
        while not self._is_aborted():
            self._changed.clear()
            if self._waiting:
                ticket, prompt = self._waiting.popleft()
                async for event in self._answer(ticket, prompt):
                    if self._is_aborted():
                        return
                    yield event
            elif self._ended:
                return
            else:
                await self._changed.wait()

    async def _answer(self, ticket: int, prompt: Prompt) -> AsyncIterator[Event]:
        self._broken_off.clear()
        self._tools.begin_turn(prompt)
        choice = self._script.choose(prompt.words, self._memory.used)
        number = self._memory.count(choice.index)
        turn = _Turn(ticket, prompt.words, number, " ".join(prompt.ids) or new_id("turn"))
        yield Activity()
        for step in choice.rule.steps:
            for event in self._act(step, turn):
                yield event
            if isinstance(step, Fail):
                yield Result(None, turn.ticket)
                return
            await self._take_time(step, turn)
            if self._broken_off.is_set():
                yield Result(None, turn.ticket, "interrupted")
                return
        text = "\n\n".join(turn.said) or None
        yield Result(text, turn.ticket, bare_ok=True, taint=self._tools.taint)

    def _act(self, step: Step, turn: _Turn) -> Iterator[Event]:
        match step:
            case Say(text):
                turn.said.append(_filled(text, turn))
                yield Activity()
            case Tell(message):
                yield Progress(message)
            case Fail(trouble, message):
                yield Failure(trouble, message, retryable=False)
            case Raise(message, invalid):
                error = SessionInvalidError if invalid else ProviderError
                raise error(Trouble.UNEXPECTED, message)
            case Exit(code):
                os._exit(code)
            case Pause() | Hang() | Absorb() | Call():
                yield Activity()

    def _is_aborted(self) -> bool:
        return self._aborted

    async def _take_time(self, step: Step, turn: _Turn) -> None:
        match step:
            case Pause(seconds):
                await self._wait(seconds)
            case Hang():
                await self._wait(None)
            case Absorb(inputs):
                await self._absorb(inputs, turn)
            case Call():
                await self._call(step, turn)
            case _:
                pass

    async def _call(self, step: Call, turn: _Turn) -> None:
        """Broken off, it is cancelled like a model's call; its answer is then nothing."""
        turn.calls += 1
        use = ToolUse(f"{turn.seed}/{turn.calls}", step.tool, _filled_in(step.arguments, turn))
        running = asyncio.create_task(self._tools.call(use))
        stopped = asyncio.create_task(self._broken_off.wait())
        try:
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not running.done():
                running.cancel()
                await asyncio.wait({running})
        turn.result = "" if running.cancelled() else running.result()

    async def _absorb(self, inputs: int, turn: _Turn) -> None:
        while len(self._waiting) < inputs and not self._broken_off.is_set():
            self._changed.clear()
            await self._changed.wait()
        while self._waiting:
            turn.ticket, prompt = self._waiting.popleft()
            turn.words = f"{turn.words}\n{prompt.words}"

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._broken_off.wait()
        except TimeoutError:
            pass


def _filled(text: str, turn: _Turn) -> str:
    """Not ``str.format``: the text may hold braces of its own."""
    text = text.replace("{count}", str(turn.number)).replace("{result}", turn.result)
    return text.replace("{text}", turn.words)


def _filled_in(value: object, turn: _Turn) -> object:
    """The same in every text of a call's arguments."""
    match value:
        case str():
            return _filled(value, turn)
        case list():
            return [_filled_in(item, turn) for item in value]
        case Mapping():
            return {key: _filled_in(item, turn) for key, item in value.items()}
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

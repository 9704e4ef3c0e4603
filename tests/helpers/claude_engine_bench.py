"""The whole provider in this process: real client, real conversation files, the test server.

Each ``Bench`` stands for one container of a session: a second one over the same folder is its next
container. Events are collected while a test waits for what it is about.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from helpers.claude_engine_tools import FakeToolbox
from helpers.messages_api.server import KEY

from contract.config import RunnerConfig, SessionConfig
from contract.layout import RunnerPaths
from contract.outbound.row import UsageEntry
from runner.instructions.model import Instructions
from runner.providers.base import (
    AgentQuery,
    Attachment,
    Event,
    Failure,
    Init,
    OpenEnds,
    Prompt,
    ProviderOptions,
    QueryInput,
    Result,
    Said,
)
from runner.providers.claude.access import Access
from runner.providers.claude.client import ApiClient
from runner.providers.claude.errors import CallClass
from runner.providers.claude.limits import TurnLimits
from runner.providers.claude.provider import ClaudeProvider, build_shared
from runner.providers.claude.retry import Patience, RetryRules
from runner.turn.taint import TaintingToolbox, TurnTaint

MODEL = "claude-sonnet-5-5"
WITHIN_SECONDS = 20.0
QUICK = RetryRules(
    patience={
        CallClass.NETWORK: Patience(4, 30),
        CallClass.OVERLOADED: Patience(6, 30),
        CallClass.SERVER: Patience(3, 30),
        CallClass.RATE: Patience(6, 30),
    },
    first_seconds=0.002,
    longest_seconds=0.01,
)
"""The same rules as in earnest, without the waiting."""


@dataclass
class Words:
    """An instruction source whose texts a test may change."""

    memory: str = "You like tea."
    addendum: str = "You can write to: `family`."
    harness: str = "You are a helper."

    async def read(self) -> Instructions:
        return Instructions(
            self.harness, "# Documents", self.memory, "", self.addendum, day="Today is Monday."
        )


@dataclass
class Effects:
    done: dict[str, str] = field(default_factory=dict)

    async def recall(self, call_id: str) -> str | None:
        return self.done.get(call_id)


@dataclass
class UsageList:
    rows: list[UsageEntry] = field(default_factory=list)

    async def log_usage(self, entry: UsageEntry) -> None:
        self.rows.append(entry)


@dataclass
class Bench:
    folder: Path
    url: str
    config: RunnerConfig = field(default_factory=lambda: RunnerConfig(model=MODEL))
    toolbox: FakeToolbox = field(default_factory=FakeToolbox)
    words: Words = field(default_factory=Words)
    effects: Effects = field(default_factory=Effects)
    usage: UsageList = field(default_factory=UsageList)
    environment: Mapping[str, str] = field(default_factory=dict)
    rules: RetryRules = QUICK
    limits: TurnLimits | None = None
    read_seconds: float = 10.0
    key: str = KEY
    taint: TurnTaint = field(default_factory=TurnTaint)
    ends: OpenEnds = field(default_factory=OpenEnds)

    def _seen(self) -> frozenset[str]:
        return self.taint.words

    async def _publish(self, words: frozenset[str]) -> None:
        """Nobody else writes rows here."""

    async def open_ends(self) -> OpenEnds:
        return self.ends

    @property
    def paths(self) -> RunnerPaths:
        return RunnerPaths(
            in_dir=self.folder / "in",
            out_dir=self.folder / "out",
            workspace=self.folder / "workspace",
            app=self.folder / "app",
        )

    @property
    def conversations(self) -> list[Path]:
        return sorted(self.paths.conversation.glob("nc1-*.jsonl"))

    def provider(self) -> ClaudeProvider:
        self.paths.workspace.mkdir(parents=True, exist_ok=True)
        options = ProviderOptions(
            paths=self.paths,
            session=SessionConfig(session_id="s", agent_group_id="g", lease=1),
            config=self.config,
            toolbox=TaintingToolbox(self.toolbox, self.taint, self._seen, self._publish),
            instructions=self.words,
            usage=self.usage,
            effects=self.effects,
            taint=self.taint,
            open_ends=self.open_ends,
            environment={"HOME": str(self.folder / "home"), **self.environment},
        )
        access = Access(self.url, token=self.key)
        client = ApiClient(access, read_seconds=self.read_seconds)
        return ClaudeProvider(build_shared(options, access, client, self.rules, self.limits))

    @asynccontextmanager
    async def stream(
        self, words: str | Prompt, continuation: str | None = None, foreign: str | None = None
    ) -> AsyncIterator["Stream"]:
        """A query, consumed in the background; ended as the loop would do it."""
        provider = self.provider()
        try:
            first = prompt(words) if isinstance(words, str) else words
            query = provider.query(QueryInput(first, continuation, self.paths.workspace, foreign))
            stream = Stream(provider, query)
            try:
                yield stream
            finally:
                await stream.close()
        finally:
            await provider.close()


class Stream:
    def __init__(self, provider: ClaudeProvider, query: AgentQuery) -> None:
        self.provider = provider
        self.query = query
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._consume())

    @property
    def results(self) -> list[Result]:
        return [event for event in self.events if isinstance(event, Result)]

    @property
    def said(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Said)]

    @property
    def failures(self) -> list[Failure]:
        return [event for event in self.events if isinstance(event, Failure)]

    @property
    def continuation(self) -> str:
        return next(event.continuation for event in self.events if isinstance(event, Init))

    async def result(self, number: int = 1) -> Result:
        """The so-manieth result of the stream."""
        await self.until(lambda: len(self.results) >= number, f"result {number}")
        return self.results[number - 1]

    async def until(self, predicate: Callable[[], object], what: str) -> None:
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                while not predicate():
                    if self._task.done():
                        assert predicate(), f"the stream ended without {what}: {self.error!r}"
                        return
                    self._changed.clear()
                    waiter = asyncio.create_task(self._changed.wait())
                    await asyncio.wait({waiter, self._task}, timeout=0.02)
                    waiter.cancel()
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; got {self.events}") from None

    async def ended(self) -> None:
        await self.until(self._task.done, "the end of the stream")

    async def close(self) -> None:
        self.query.abort()
        await asyncio.wait({self._task}, timeout=5)
        assert self._task.done(), "the stream did not stop"

    async def _consume(self) -> None:
        try:
            async for event in self.query.events():
                self.events.append(event)
                self._changed.set()
        except Exception as error:  # noqa: BLE001 the test looks at it
            self.error = error


def prompt(
    words: str,
    *ids: str,
    notes: tuple[str, ...] = (),
    attachments: tuple[Attachment, ...] = (),
) -> Prompt:
    return Prompt(words, words, ids or (f"id-{words[:20]}",), notes, attachments)

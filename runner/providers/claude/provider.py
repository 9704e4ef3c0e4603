"""The provider ``claude``: one per process, made by the registry (R-186, R-212).

Opens streams, carries out commands between and during turns, and says which stored handles are its
own and which errors make one unusable. At most one conversation is open at a time; whoever needs it
besides the stream uses the same object, because the file has one owner (R-295).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from contract.layout import MOUNT_HOME
from runner.log import fields
from runner.providers.base import CommandOutcome, ProviderOptions, QueryInput
from runner.providers.claude import commands
from runner.providers.claude.access import Access, read_access
from runner.providers.claude.archive import ArchiveStyle, write_archive
from runner.providers.claude.calls import Emit, ModelCalls
from runner.providers.claude.client import ApiClient
from runner.providers.claude.conversation import Conversation, ConversationFacts
from runner.providers.claude.endpoint import read_endpoint
from runner.providers.claude.engine import Engine
from runner.providers.claude.errors import CallError
from runner.providers.claude.head import (
    HeadBuilder,
    HeadParts,
    compatible_features,
    official_features,
)
from runner.providers.claude.ledger import Ledger
from runner.providers.claude.limits import TurnLimits
from runner.providers.claude.models import ModelCatalog
from runner.providers.claude.prices import read_prices
from runner.providers.claude.query import ClaudeQuery
from runner.providers.claude.records import UnusableError, owns
from runner.providers.claude.retry import RetryRules
from runner.providers.claude.spoken import spoken_in
from runner.providers.claude.steering import InputQueue
from runner.providers.claude.stream import (
    CatalogModels,
    Opened,
    Shared,
    build_engine,
    join,
    open_conversation,
)
from runner.providers.claude.subagent import SPEC as TASK_SPEC
from runner.zone import find_zone

_log = logging.getLogger(__name__)

RUNNER_VERSION = "1"
MODELS_PATH = "/v1/models?limit=1000"
MODELS_BETAS = ("compact-2026-09-04",)
CLOSE_SECONDS = 2.0
LOCK_SECONDS = 10.0


def create(options: ProviderOptions) -> "ClaudeProvider":
    """Raises ConfigError, with a sentence for the chat, when there is no usable access."""
    access = read_access(options.environment)
    return ClaudeProvider(build_shared(options, access, ApiClient(access)))


def build_shared(
    options: ProviderOptions,
    access: Access,
    client: ApiClient,
    rules: RetryRules | None = None,
    limits: TurnLimits | None = None,
) -> Shared:
    """``rules`` and ``limits`` are for tests."""
    config, session = options.config, options.session
    compatible = read_endpoint(config.compat).compatible or not access.is_official
    features = compatible_features(config.compat) if compatible else official_features()
    calls = ModelCalls(client, features, rules, options.taint)
    catalog = ModelCatalog(
        options.paths.runner_dir / "models.json", None if compatible else lambda: _models(client)
    )
    zone_name, zone = find_zone(session.timezone)
    builder = HeadBuilder(
        HeadParts(
            config=config,
            timezone=zone_name,
            toolbox=options.toolbox,
            instructions=options.instructions,
            features=features,
            models=CatalogModels(catalog),
            extra_tools=(TASK_SPEC,),
        )
    )
    ledger = Ledger(
        options.usage,
        read_prices(config.prices),
        options.paths.outbound_db,
        session.timezone,
        config.max_cost_per_day_usd,
    )
    return Shared(
        options=options,
        client=client,
        calls=calls,
        features=features,
        catalog=catalog,
        builder=builder,
        ledger=ledger,
        archive=ArchiveStyle(options.paths.workspace, zone_name, zone, session.assistant_name),
        facts=ConversationFacts(RUNNER_VERSION, lock_seconds=LOCK_SECONDS),
        home=Path(options.environment.get("HOME") or MOUNT_HOME),
        limits=limits or TurnLimits(cost_usd=config.max_cost_per_turn_usd),
    )


class ClaudeProvider:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._opened: Opened | None = None
        self._query: ClaudeQuery | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = False
        shared.options.toolbox.on_wake(self._wake)

    @property
    def commands(self) -> frozenset[str]:
        return commands.COMMANDS

    @property
    def busy(self) -> bool:
        compacting = self._opened is not None and self._opened.window.is_compacting
        return compacting or self._shared.options.toolbox.busy

    def owns(self, continuation: str) -> bool:
        return owns(continuation)

    def query(self, query: QueryInput) -> ClaudeQuery:
        self._shared.client.warm_up()
        stream = ClaudeQuery(
            query.prompt,
            lambda inbox, emit: self._open(query, inbox, emit),
            self._close_conversation,
        )
        self._query = stream
        return stream

    async def run_command(
        self, word: str, arguments: str, continuation: str | None
    ) -> CommandOutcome:
        if word == commands.COMPACT:
            self._shared.client.warm_up()
        if continuation is None:
            return CommandOutcome(commands.NO_CONVERSATION)
        if word == commands.COST:
            return await commands.cost(self._shared, continuation)
        try:
            async with self._conversation(continuation) as opened:
                match word:
                    case commands.COMPACT:
                        return await commands.compact(self._shared, opened, arguments)
                    case commands.CONTEXT:
                        return await commands.context(self._shared, opened)
                    case commands.FILES:
                        return commands.files(opened.conversation)
        except UnusableError as error:
            _log.warning("conversation cannot be read", extra=fields(reason=error))
            return CommandOutcome("The stored conversation cannot be read; a new one will begin.")
        return CommandOutcome(f"{word} is not a command of this agent.")

    async def archive(self, continuation: str) -> None:
        """Failures are logged and never in the way (R-204)."""
        if not owns(continuation):
            return
        try:
            async with self._conversation(continuation) as opened:
                spoken = spoken_in(opened.conversation.entries)
                await asyncio.to_thread(write_archive, spoken, self._shared.archive)
        except UnusableError as error:
            _log.warning("conversation cannot be archived", extra=fields(reason=error))

    def is_session_invalid(self, error: Exception) -> bool:
        """R-292."""
        if isinstance(error, CallError):
            return error.blames_history
        return isinstance(error, UnusableError)

    def save_todo(self, items: Sequence[Mapping[str, object]]) -> None:
        """For the tool ``todo_write``: into the conversation that is open (R-256)."""
        if self._opened is not None:
            self._opened.conversation.set_todo(items)

    async def close(self) -> None:
        if self._query is not None:
            self._query.abort()
        if self._refreshing is not None:
            self._refreshing.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._shared.client.close()

    async def _open(self, query: QueryInput, inbox: InputQueue, emit: Emit) -> Engine:
        await self._shared.options.toolbox.prepare()
        conversation, note = await open_conversation(self._shared, query)
        self._opened = join(self._shared, conversation, emit, inbox.ring)
        return build_engine(self._shared, self._opened, inbox, emit, note)

    def _close_conversation(self) -> None:
        opened, self._opened = self._opened, None
        self._shared.options.taint.keep_with(None)
        if opened is not None:
            opened.conversation.close()
        self._refresh_models()

    @asynccontextmanager
    async def _conversation(self, continuation: str) -> AsyncIterator[Opened]:
        """The open one, or it is opened for as long as this lasts. Raises UnusableError."""
        if self._opened is not None and self._opened.conversation.id == continuation:
            yield self._opened
            return
        shared = self._shared
        conversation = await asyncio.to_thread(
            Conversation.read, shared.folder, continuation, shared.facts
        )
        try:
            yield join(shared, conversation, lambda _: None)
        finally:
            conversation.close()

    def _wake(self) -> None:
        if self._query is not None:
            self._query.wake()

    def _refresh_models(self) -> None:
        """Once per process, when nobody waits for anything."""
        if self._refreshed or not self._shared.catalog.is_stale:
            return
        self._refreshed = True
        self._refreshing = asyncio.create_task(self._shared.catalog.refresh())


async def _models(client: ApiClient) -> list[Mapping[str, object]]:
    answer = await client.get(MODELS_PATH, MODELS_BETAS)
    data = answer.get("data") if isinstance(answer, dict) else None
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []

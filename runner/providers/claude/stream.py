"""Puts the parts of one stream together, and holds what all streams of the process share.

Called by ``provider``. Nothing else joins these objects. Opening a conversation may wait for its
lock and read a large file, so it happens in a thread.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.address import Destination
from contract.errors import ContractError
from contract.inbound.reader import read_destinations, read_tasks
from contract.inbound.row import InboundStatus
from runner.instructions.compaction import compaction_instructions
from runner.providers.base import Event, ProviderOptions, QueryInput, Result, Said
from runner.providers.claude.archive import ArchiveStyle
from runner.providers.claude.calls import Emit, ModelCalls
from runner.providers.claude.capabilities import Capabilities
from runner.providers.claude.client import ApiClient
from runner.providers.claude.compaction import Situation
from runner.providers.claude.conversation import Conversation, ConversationFacts
from runner.providers.claude.engine import Engine, EngineParts
from runner.providers.claude.features import FeatureSet
from runner.providers.claude.head import HeadBuilder
from runner.providers.claude.intake import Intake
from runner.providers.claude.ledger import Ledger
from runner.providers.claude.limits import TurnLimits
from runner.providers.claude.mainline import Mainline
from runner.providers.claude.models import ModelCatalog
from runner.providers.claude.rhythm import pays_for_long
from runner.providers.claude.steering import InputQueue
from runner.providers.claude.subagent import SubAgentParts, SubAgents
from runner.providers.claude.takeover import take_over
from runner.providers.claude.toolrun import ToolRunner
from runner.providers.claude.transcript import open_transcript
from runner.providers.claude.turn import TurnParts
from runner.providers.claude.window import Window, WindowParts
from runner.turn.taint import TurnTaint

WINDOW_VARIABLE = "CLAUDE_CODE_AUTO_COMPACT_WINDOW"


@dataclass(frozen=True, slots=True)
class Shared:
    """One per process."""

    options: ProviderOptions
    client: ApiClient
    calls: ModelCalls
    features: FeatureSet
    catalog: ModelCatalog
    builder: HeadBuilder
    ledger: Ledger
    archive: ArchiveStyle
    facts: ConversationFacts
    home: Path
    limits: TurnLimits

    @property
    def folder(self) -> Path:
        return self.options.paths.conversation


class CatalogModels:
    """The catalogue in the form that ``head`` asks for."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog

    async def find(self, wanted: str | None) -> tuple[str, Capabilities]:
        choice = await self._catalog.choose(wanted)
        return choice.id, choice.capabilities


@dataclass(frozen=True, slots=True)
class Opened:
    """A conversation and what works on it, with or without a stream."""

    conversation: Conversation
    mainline: Mainline
    window: Window


async def open_conversation(shared: Shared, query: QueryInput) -> tuple[Conversation, str]:
    """And what is to be told of an earlier program's conversation (R-293), or nothing."""
    conversation = await asyncio.to_thread(
        Conversation.open, shared.folder, query.continuation, shared.facts
    )
    if conversation.id == query.continuation:
        return conversation, ""
    try:
        await shared.options.toolbox.reset()
        if query.foreign is None:
            return conversation, ""
        taken = await asyncio.to_thread(take_over, query.foreign, shared.home, shared.archive)
    except BaseException:
        conversation.close()
        raise
    return conversation, "" if taken is None else taken.note


def join(
    shared: Shared, conversation: Conversation, emit: Emit, ring: Callable[[], None] = lambda: None
) -> Opened:
    config = shared.options.config
    mainline = Mainline(conversation, shared.builder, shared.features, config.fallback_model)
    window = Window(
        WindowParts(
            mainline=mainline,
            calls=shared.calls,
            features=shared.features,
            ledger=shared.ledger,
            archive=shared.archive,
            instructions=lambda: _summary_words(shared),
            situation=lambda: _situation(shared),
            emit=emit,
            ring=ring,
            configured_window=shared.options.environment.get(WINDOW_VARIABLE),
        )
    )
    return Opened(conversation, mainline, window)


def build_engine(
    shared: Shared, opened: Opened, inbox: InputQueue, emit: Emit, note: str = ""
) -> Engine:
    options = shared.options
    conversation = opened.conversation
    options.taint.keep_with(conversation.note_taint)
    agents = SubAgents(
        SubAgentParts(
            builder=shared.builder,
            calls=shared.calls,
            features=shared.features,
            toolbox=options.toolbox,
            ledger=shared.ledger,
            transcript=lambda: open_transcript(shared.folder, conversation.id),
        )
    )
    turns = TurnParts(
        mainline=opened.mainline,
        inbox=inbox,
        intake=Intake(
            opened.mainline,
            options.toolbox,
            options.taint,
            native=options.config.native_attachments,
        ),
        calls=shared.calls,
        tools=ToolRunner(options.toolbox, agents),
        window=opened.window,
        ledger=shared.ledger,
        effects=options.effects,
        limits=shared.limits,
        emit=_tainting(emit, options.taint),
    )
    return Engine(
        EngineParts(
            conversation=conversation,
            turns=turns,
            toolbox=options.toolbox,
            instructions=options.instructions,
            has_rhythm=lambda: asyncio.to_thread(_has_rhythm, options.paths.inbound_db),
            opened=(note,) if note else (),
        )
    )


def _tainting(emit: Emit, taint: TurnTaint) -> Emit:
    """Texts say what their turn has seen up to then; the loop may look at them much later."""

    def emit_tainted(event: Event) -> None:
        if isinstance(event, Said | Result):
            event = replace(event, taint=taint.words)
        emit(event)

    return emit_tainted


def _has_rhythm(inbound_db: Path) -> bool:
    """A hint for the cache; without it the session's turns decide."""
    try:
        tasks = read_tasks(inbound_db)
    except (ContractError, OSError):
        return False
    live = (task for task in tasks if task.status is InboundStatus.PENDING)
    return pays_for_long(task.recurrence for task in live if task.recurrence)


async def _summary_words(shared: Shared) -> Callable[[str], str]:
    path = shared.options.paths.inbound_db
    destinations: tuple[Destination, ...] = ()
    # Without them the summary names none; the note after it does.
    with contextlib.suppress(ContractError, OSError):
        destinations = await asyncio.to_thread(read_destinations, path)
    return lambda wish: compaction_instructions(destinations, wish)


async def _situation(shared: Shared) -> Situation:
    options = shared.options
    read, ends = await asyncio.gather(options.instructions.read(), options.open_ends())
    return Situation(read.addendum, ends.questions, ends.commands)

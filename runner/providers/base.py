"""The protocol between the loop and whatever does the thinking (R-186 to R-191).

A query is one stream that may hold many turns: input is pushed at any time and gets a ticket, a
``Result`` says which tickets its model has seen, and only those rows are settled. A turn ends in
exactly one ``Result`` or in an exception from the stream; after ``abort`` nothing more comes.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from contract.config import RunnerConfig, SessionConfig
from contract.layout import RunnerPaths
from contract.outbound.row import UsageEntry
from runner.errors import Trouble
from runner.instructions.model import InstructionSource
from runner.toolbox.base import Toolbox
from runner.turn.taint import TurnTaint


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message; ``path`` is where the agent finds it."""

    path: Path
    name: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """``text`` is the formatted prompt; ``words`` what people wrote, without any markup.

    ``ids`` are the inbound rows in it, by which a redelivery is recognised (R-291). ``notes`` are
    the runner's own words to the agent, told after the text as operator notes (R-247); a nudge
    has only notes.
    """

    text: str
    words: str
    ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    series: str | None = None
    """The task series that woke the agent, if nothing else did; its budget pays."""


@dataclass(frozen=True, slots=True)
class QueryInput:
    """``continuation`` is the provider's own handle of an earlier conversation, or None.

    ``foreign`` is a handle of another implementation that stood in its place (R-57, R-293).
    """

    prompt: Prompt
    continuation: str | None
    cwd: Path
    foreign: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Which stored answer a text is, so that saying it twice gives the same message ids.

    ``seed`` names the answer for ever (conversation and record); ``at`` is when it was stored.
    """

    seed: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """A block of an answer that became a message; ``to`` is a channel and a chat on it."""

    block: int
    to: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Init:
    """The conversation's handle; stored at once, so that a crash in mid-turn resumes it."""

    continuation: str


@dataclass(frozen=True, slots=True)
class Began:
    """The provider starts a turn by itself, for example because a background command ended."""


@dataclass(frozen=True, slots=True)
class Said:
    """A complete answer in the middle of a turn: its message blocks are sent at once (R-241).

    Text outside of blocks in it is commentary and goes nowhere.
    """

    text: str
    origin: Origin
    taint: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """One turn is over. ``covers`` is the highest ticket it has seen (R-189).

    ``taint`` (here and in ``Said``) is the foreign content that tools brought into the turn.

    ``bare_ok``: text outside of blocks goes to where the batch came from; of a provider that
    knows nothing of blocks. A model's bare text is never sent (R-141).
    """

    text: str | None
    covers: int
    stop_reason: str = "end_turn"
    origin: Origin | None = None
    bare_ok: bool = False
    taint: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """The event ``error``: the stream goes on; unless ``retryable``, a Result follows.

    ``message`` is for the log, ``shown`` may follow the chat's sentence (as in ProviderError).
    """

    trouble: Trouble
    message: str
    retryable: bool
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being done just now, in words for the log."""

    message: str


@dataclass(frozen=True, slots=True)
class Activity:
    """A sign of life; sent for every underlying event, so that the heartbeat is honest."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The conversation was shortened; never a reason to say anything (R-99)."""

    pre_tokens: int
    post_tokens: int


Event = Init | Began | Said | Result | Failure | Progress | Activity | Compacted


class AgentQuery(Protocol):
    """An open stream."""

    def push(self, prompt: Prompt) -> int:
        """The input's ticket (the first prompt has 0); raises QueryEndedError after ``end``."""

    def end(self) -> None:
        """No more input: what is queued is finished, then the events end."""

    def interrupt(self) -> None:
        """Abandons the running turn only: its Result has no text, the stream stays open."""

    def abort(self) -> None:
        """Stops now; no further events."""

    def note_sent(self, origin: Origin, sent: Sequence[Sent]) -> None:
        """What has become of a stored answer; for the record, nothing depends on it (R-288)."""

    def events(self) -> AsyncIterator[Event]:
        """The stream, consumed once. A failure that ends it is raised from here."""


class Provider(Protocol):
    """One per process."""

    @property
    def commands(self) -> frozenset[str]:
        """Slash words that ``run_command`` answers; others are no commands for it (R-131)."""

    @property
    def busy(self) -> bool:
        """Something of it lives on between turns, so the runner must not leave (R-94)."""

    def owns(self, continuation: str) -> bool:
        """False: the handle is of another implementation of the same name (R-57)."""

    async def run_command(
        self, word: str, arguments: str, continuation: str | None
    ) -> "CommandOutcome":
        """Carries a command out, between turns or (except ``/compact``) during one (R-311)."""

    async def archive(self, continuation: str) -> None:
        """Keeps a transcript of a conversation that is about to be forgotten (R-72)."""

    def query(self, query: QueryInput) -> AgentQuery:
        """Opens a stream and returns at once; the work happens while events are consumed."""

    def is_session_invalid(self, error: Exception) -> bool:
        """True: the stored continuation is unusable and should be dropped."""

    async def close(self) -> None:
        """Ends child processes and clients; called once."""


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """``text`` goes to whoever gave the command; ``continuation`` replaces the old one if set."""

    text: str
    continuation: str | None = None


class UsageSink(Protocol):
    """Where a provider leaves a row per model call (R-318)."""

    async def log_usage(self, entry: UsageEntry) -> None:
        """One transaction with nothing else in it."""


class EffectMemory(Protocol):
    """What tools of ours have durably done, by the id of their call.

    A kill between a tool's transaction and the record of its result leaves the call unanswered in
    the history; the true answer is then here, instead of "its effect is unknown".
    """

    async def recall(self, call_id: str) -> str | None:
        """The text that the call answered, if its transaction was committed."""


class Books(UsageSink, EffectMemory, Protocol):
    """Both in one; the desk is one."""


@dataclass(frozen=True, slots=True)
class OpenEnds:
    """What is told anew after a conversation was shortened: a line each (R-285)."""

    questions: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


async def no_open_ends() -> OpenEnds:
    return OpenEnds()


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a factory gets (R-18). ``environment`` is the process's, read in ``program``."""

    paths: RunnerPaths
    session: SessionConfig
    config: RunnerConfig
    toolbox: Toolbox
    instructions: InstructionSource
    usage: UsageSink
    effects: EffectMemory
    taint: TurnTaint = field(default_factory=TurnTaint)
    open_ends: Callable[[], Awaitable[OpenEnds]] = no_open_ends
    environment: Mapping[str, str] = field(default_factory=dict)
    additional_directories: tuple[Path, ...] = ()

"""The protocol between the loop and whatever does the thinking (R-186 to R-191).

A query is one stream that may hold many turns: input is pushed at any time and gets a ticket, a
``Result`` says which tickets its model has seen, and only those rows are settled. A turn ends in
exactly one ``Result`` or in an exception from the stream; after ``abort`` nothing more comes.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contract.config import RunnerConfig, SessionConfig
from contract.layout import RunnerPaths
from runner.errors import Trouble


@dataclass(frozen=True, slots=True)
class Prompt:
    """``text`` is the formatted prompt; ``words`` what people wrote, without any markup."""

    text: str
    words: str


@dataclass(frozen=True, slots=True)
class QueryInput:
    """``continuation`` is the provider's own handle of an earlier conversation, or None."""

    prompt: Prompt
    continuation: str | None
    cwd: Path
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """The conversation's handle; stored at once, so that a crash in mid-turn resumes it."""

    continuation: str


@dataclass(frozen=True, slots=True)
class Result:
    """One turn is over. ``covers`` is the highest ticket it has seen (R-189)."""

    text: str | None
    covers: int
    stop_reason: str = "end_turn"


@dataclass(frozen=True, slots=True)
class Failure:
    """The event ``error``: the stream goes on; unless ``retryable``, a Result follows."""

    trouble: Trouble
    message: str
    retryable: bool


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


Event = Init | Result | Failure | Progress | Activity | Compacted


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

    def events(self) -> AsyncIterator[Event]:
        """The stream, consumed once. A failure that ends it is raised from here."""


class Provider(Protocol):
    """One per process."""

    def query(self, query: QueryInput) -> AgentQuery:
        """Opens a stream and returns at once; the work happens while events are consumed."""

    def is_session_invalid(self, error: Exception) -> bool:
        """True: the stored continuation is unusable and should be dropped."""

    async def close(self) -> None:
        """Ends child processes and clients; called once."""


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a factory gets (R-18)."""

    paths: RunnerPaths
    session: SessionConfig
    config: RunnerConfig
    additional_directories: tuple[Path, ...] = ()

"""What a command works with: the database, who asks, and what is to happen after it has committed.

Made by ``dispatch`` for each request. A command that cannot answer at once returns ``Later``; the
connection of whoever asked then waits without holding anybody else up (N-91).
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from nanoclaw.admin.caller import AgentCaller, Caller
from nanoclaw.config import HostConfig
from nanoclaw.events import Frame
from nanoclaw.link import Answer
from nanoclaw.model import CliScope
from nanoclaw.paths import HostPaths


class Services(Protocol):
    """Other processes and timers, as far as the process that runs the command reaches them."""

    def to_sweep(
        self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None: ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object: ...


PatternProblem = Callable[[str], str | None]
"""What is wrong with an engage pattern, as the router will read it; None: nothing."""

Finish = Callable[[object], None]
"""Takes the answer's data, or a CommandError that came instead; once."""


@dataclass(frozen=True, slots=True)
class Later:
    """The answer comes later: ``begin`` is called after the commit and calls ``finish`` once.

    It may raise CommandError or SessionFileBusy instead. A dry run answers with ``instead`` and
    begins nothing. Never for a change that an agent wants: see ``effect_wait``.
    """

    begin: Callable[[Services, Finish], None]
    instead: object = None


@dataclass(frozen=True, slots=True)
class Approved:
    """The approval by which an agent's request is carried out."""

    approval_id: str
    by: str


@dataclass(frozen=True, slots=True)
class CommandContext:
    """``now`` is the time of the request.

    ``cause`` is unique to it, and the same when it is repeated after a crash: ids are made from it.
    """

    conn: sqlite3.Connection
    config: HostConfig
    pattern_problem: PatternProblem
    caller: Caller
    now: datetime
    cause: str
    dry_run: bool = False
    approved: Approved | None = None
    taint: str | None = None
    """What foreign content the agent has read in the turn in which it asks."""
    bells: list[str] = field(default_factory=list)

    @property
    def paths(self) -> HostPaths:
        return self.config.paths

    @property
    def agent(self) -> AgentCaller | None:
        """The caller, if it is an agent."""
        return self.caller if isinstance(self.caller, AgentCaller) else None

    @property
    def actor(self) -> str:
        """As the audit names whoever asks."""
        return f"agent:{self.agent.agent_group_id}" if self.agent is not None else "host"

    @property
    def only_group(self) -> str | None:
        """The agent group that the caller is bound to; queries put it into their WHERE (N-51)."""
        agent = self.agent
        if agent is not None and agent.scope is not CliScope.GLOBAL:
            return agent.agent_group_id
        return None

    def ring(self, bell: str) -> None:
        """After the commit; the names are those of ``nanoclaw.bell``."""
        if bell not in self.bells:
            self.bells.append(bell)

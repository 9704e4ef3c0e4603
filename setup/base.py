"""What a step of the wizard is, and what the wizard gives it.

Every module of ``setup.steps`` and every channel offers one ``Step``; ``wizard`` runs them in the
order that ``decide`` made of the findings. A step has three verbs: inspect looks and changes
nothing, apply can be repeated, verify proves the outcome and not the exit code of something.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from nanoclaw.config import HostConfig


class Status(StrEnum):
    """How a step ended; the words of the progress log (S-25)."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"


class Kind(StrEnum):
    """How a question is asked and what its answer may be."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105  a word, not one
    CHOICE = "choice"
    YES_NO = "yes-no"


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to know. ``flag`` without dashes; its environment variable is ``NANOCLAW_`` and the
    flag in capitals with underscores unless ``variable`` says otherwise.

    ``check`` returns what is wrong with an answer, in words that name the next step, or None.
    ``default`` None: an answer is needed, so without a terminal its flag is too (S-281).
    A secret's flag takes a file's name, never the secret: ``--<flag>-file``.
    """

    key: str
    flag: str
    text: str
    kind: Kind = Kind.TEXT
    default: str | None = None
    choices: tuple[Choice, ...] = ()
    check: Callable[[str], str | None] | None = None
    variable: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What ``inspect`` saw. ``done``: nothing to do, ``facts`` are shown and kept for later runs.

    ``plan`` is one line saying what apply would do; ``questions`` are those still open.
    ``blocked`` is why apply cannot succeed, with the one exact command that helps, or empty.
    """

    done: bool
    summary: str
    plan: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """``fields`` go into the progress log, never secrets. ``text`` says what happened or, if it
    failed, why; ``next_step`` is then the one command to run."""

    status: Status
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What apply and verify get. ``answers`` holds every answer by key, secrets too; nothing of it
    may be written anywhere but by the step that owns it. ``say`` shows one line of progress;
    ``raw`` takes output for the step's log file. ``is_cancelled`` is looked at in every wait."""

    config: HostConfig
    answers: Mapping[str, str]
    say: Callable[[str], None]
    raw: Callable[[str], None]
    is_cancelled: Callable[[], bool]
    program: tuple[str, ...]
    """How this program is started: the interpreter and the file or module."""
    log_file: Path


REDO = "redo"
"""A key among the answers when the step was asked for by name with ``--redo``: it is to ask
everything again, also what it knows already."""


class Step(Protocol):
    """``seconds`` is the time limit of apply and of verify; ``needs`` names steps that must have
    succeeded. ``questions`` are all it may ever ask, so that each has its flag before anything is
    looked at; a finding names those of them that are open."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def seconds(self) -> float: ...

    @property
    def needs(self) -> Sequence[str]: ...

    @property
    def questions(self) -> Sequence[Question]: ...

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        """Quick, repeatable, changes nothing."""

    def apply(self, context: StepContext) -> StepResult:
        """Does it; again is harmless."""

    def verify(self, context: StepContext) -> StepResult:
        """Proves it."""

"""Reads everything an agent is told into the blocks of its system prompt (R-211, R-260).

Built once by ``program``; each ``read`` looks at the files anew, on a thread, and never fails.
Equal files give equal bytes, in a fixed order; the only thing that changes by itself is the day.
The agent writes some of these files, so their size is bounded: its memory is cut before anything
else is (R-300).
"""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from contract import layout
from contract.address import Destination
from contract.clock import utc_now
from contract.config import RunnerConfig, SessionConfig
from contract.errors import SessionFileBusy
from contract.layout import RunnerPaths
from runner.instructions.addendum import build_addendum
from runner.instructions.generated import is_generated
from runner.instructions.harness import PROGRAMS, Surroundings, build_harness, day_line
from runner.instructions.imports import Expansion, UnreadableError, read_text
from runner.instructions.model import Instructions
from runner.instructions.places import Places
from runner.instructions.skills import SkillLibrary
from runner.log import fields
from runner.zone import find_zone

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy")
MEMORY_FILE = "CLAUDE.local.md"
WARN_CHARACTERS = 120_000
MAX_CHARACTERS = 300_000
MIN_MEMORY = 20_000
"""Left for the memory, however long the other documents are."""
_CUT_MEMORY = (
    "\n\n(Cut here: your memory is too long to be read at once. Move parts of it into files of "
    "their own, and keep an index of them in {path}.)"
)
_CUT_DOCUMENTS = "\n\n(Cut here: the instructions are longer than can be read at once.)"

log = logging.getLogger("runner")


@dataclass(frozen=True, slots=True)
class InstructionFacts:
    """What does not change while the process runs."""

    paths: RunnerPaths
    config: RunnerConfig
    session: SessionConfig
    home: Path
    additional_directories: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        return Places(self.paths, self.home)

    @property
    def assistant_name(self) -> str | None:
        return self.config.assistant_name or self.session.assistant_name


class InstructionFiles:
    """See ``runner.instructions.model.InstructionSource``."""

    def __init__(
        self,
        facts: InstructionFacts,
        skills: SkillLibrary,
        destinations: Callable[[], Awaitable[Sequence[Destination]]],
    ) -> None:
        self._facts = facts
        self._skills = skills
        self._destinations = destinations
        self._known: Sequence[Destination] = ()

    async def read(self) -> Instructions:
        try:
            self._known = await self._destinations()
        except (SessionFileBusy, OSError) as error:
            log.warning(
                "destinations not read, the last known are used", extra=fields(reason=error)
            )
        return await asyncio.to_thread(self._read, self._known)

    def _read(self, destinations: Sequence[Destination]) -> Instructions:
        facts = self._facts
        documents, memory = _fitting(read_documents(facts), read_memory(facts), facts.paths)
        return Instructions(
            harness=build_harness(_surroundings(facts)),
            documents=documents,
            memory=memory,
            skills=self._skills.listing(),
            addendum=build_addendum(facts.assistant_name, destinations),
            day=day_line(_today(facts.session.timezone)),
        )


def read_documents(facts: InstructionFacts) -> str:
    """The CLAUDE.md files with their imports, each introduced by its path and role (R-298)."""
    expansion = Expansion(facts.places)
    parts: list[str] = []
    for path, role in _documents(facts):
        text = expansion.expand(path)
        if text is not None:
            parts.append(f"Contents of {path} ({role}):\n\n{text}")
    return "\n\n".join(parts)


def read_memory(facts: InstructionFacts) -> str:
    path = facts.paths.workspace / MEMORY_FILE
    text = Expansion(facts.places).expand(path)
    if text is None:
        return ""
    return f"Contents of {path} (your own memory; you keep it up to date):\n\n{text}"


def _documents(facts: InstructionFacts) -> list[tuple[Path, str]]:
    paths, name = facts.paths, layout.CLAUDE_MD
    result = [
        (facts.home / ".claude" / name, "yours, for all of your sessions"),
        (facts.places.composed, "for every agent of this installation"),
        (paths.global_dir / name, "what all agents of this installation share"),
    ]
    own = paths.workspace / name
    if not _is_composed_by_an_earlier_version(own):
        result.append((own, "for your group"))
    result += [(folder / name, "about this folder") for folder in facts.additional_directories]
    return result


def _is_composed_by_an_earlier_version(path: Path) -> bool:
    try:
        return is_generated(read_text(path))
    except (FileNotFoundError, UnreadableError):
        return False


def _fitting(documents: str, memory: str, paths: RunnerPaths) -> tuple[str, str]:
    """Both within ``MAX_CHARACTERS`` together (R-300)."""
    total = len(documents) + len(memory)
    if total > WARN_CHARACTERS:
        log.warning("instructions are very long", extra=fields(count=total))
    if total <= MAX_CHARACTERS:
        return documents, memory
    room = max(MAX_CHARACTERS - len(documents), min(MIN_MEMORY, len(memory)))
    if len(memory) > room:
        memory = memory[:room] + _CUT_MEMORY.format(path=paths.workspace / MEMORY_FILE)
    room = MAX_CHARACTERS - min(len(memory), MAX_CHARACTERS)
    if len(documents) > room:
        documents = documents[:room] + _CUT_DOCUMENTS
    return documents, memory


def _today(timezone: str) -> date:
    _, zone = find_zone(timezone)
    return utc_now().astimezone(zone).date()


def _surroundings(facts: InstructionFacts) -> Surroundings:
    paths = facts.paths
    search = facts.environment.get("PATH")
    return Surroundings(
        workspace=paths.workspace,
        files=paths.in_files,
        app=paths.app,
        home=facts.home,
        shared=paths.global_dir if paths.global_dir.is_dir() else None,
        additional=facts.additional_directories,
        programs=tuple(name for name in PROGRAMS if shutil.which(name, path=search)),
        user_id=os.getuid(),
        timezone=facts.session.timezone,
        has_proxy=any(facts.environment.get(name) for name in _PROXY_VARIABLES),
        has_door=facts.session.door is not None,
    )

"""The skills an agent can use: found, listed for the prompt, and opened one at a time (R-303).

Used by ``source`` for the list, by the ``skill`` tool, and by the loop when somebody writes
``/name``. Shipped skills count as far as the group has selected them; those in the agent's home and
group folder are its own. The folders are read anew at each call, on a thread of the caller; a skill
that is not in order is shown as far as it goes, and never hinders the others.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.config import RunnerConfig
from runner.instructions.front_matter import (
    FrontMatterError,
    Value,
    parse_front_matter,
    split_front_matter,
)
from runner.instructions.imports import UnreadableError, read_text
from runner.instructions.places import SKILLS_DIR, Places
from runner.log import fields
from runner.prompt import escape

SKILL_FILE = "SKILL.md"
MAX_SKILLS = 200
MAX_LIST = 8000
MAX_DESCRIPTION = 1024
MAX_BODY = 60_000
MAX_ARGUMENTS = 4000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ARGUMENTS = "$ARGUMENTS"
_SHORTEST = 20
"""A description that has to be cut further says nothing any more."""
_LIST_HEAD = (
    "# Skills\n\n"
    "Skills are instructions for particular kinds of work. When a request fits one of the "
    "following, call the tool `skill` with its name before you begin, and follow what it says. "
    "`/name` in a request, also inside a sentence, means the skill of that name.\n"
)

log = logging.getLogger("runner")


@dataclass(frozen=True, slots=True)
class Skill:
    """``for_agent`` and ``for_people``: who may call it up by itself."""

    name: str
    folder: Path
    description: str
    body: str
    for_agent: bool = True
    for_people: bool = True


class SkillLibrary:
    """May be used by several threads at once."""

    def __init__(self, places: Places, config: RunnerConfig) -> None:
        self._places = places
        self._selected = config.selected_skills
        self._told: set[str] = set()

    def skills(self) -> tuple[Skill, ...]:
        """All of them, by name. The first of equal names wins (R-303)."""
        found: dict[str, Skill] = {}
        for folder in self._folders():
            if folder.name in found or len(found) >= MAX_SKILLS:
                continue
            skill = self._read(folder)
            if skill is not None:
                found[folder.name] = skill
        return tuple(found[name] for name in sorted(found))

    def listing(self) -> str:
        """For the prompt; empty without skills (R-305)."""
        return render_list([skill for skill in self.skills() if skill.for_agent])

    def find(self, name: str) -> Skill | None:
        wanted = name.strip().removeprefix("/")
        candidates = (folder for folder in self._folders() if folder.name == wanted)
        found = (self._read(folder) for folder in candidates)
        return next((skill for skill in found if skill is not None), None)

    def skill_body(self, name: str, arguments: str) -> str | None:
        """For a message that began with ``/name`` (R-307); None if that is no skill for people.

        The arguments are somebody's words and are escaped like all words of messages, because
        the text is handed to the agent in a note of ours.
        """
        skill = self.find(name)
        if skill is None or not skill.for_people:
            return None
        return render_body(skill, escape(arguments))

    def _folders(self) -> Iterator[Path]:
        shipped = self._places.shipped_skills
        for folder in _subfolders(shipped):
            if self._selected is None or folder.name in self._selected:
                yield folder
        for root in (self._places.home, self._places.paths.workspace):
            for folder in _subfolders(root / ".claude" / SKILLS_DIR):
                # Earlier versions linked the shipped ones; the selection decides about those.
                if not _leads_into(folder, shipped):
                    yield folder

    def _read(self, folder: Path) -> Skill | None:
        if not _NAME.fullmatch(folder.name):
            self._warn(folder, "the folder's name is not allowed for a skill")
            return None
        try:
            text = read_text(folder / SKILL_FILE)
        except FileNotFoundError:
            return None
        except UnreadableError as error:
            self._warn(folder, error.args[0])
            return None
        header, body = split_front_matter(text)
        try:
            if header is None:
                raise FrontMatterError("there is no front matter")
            values = parse_front_matter(header)
        except FrontMatterError as error:
            self._warn(folder, str(error))
            return Skill(folder.name, folder, _first_line(body), body)
        return self._described(folder, values, body)

    def _described(self, folder: Path, values: Mapping[str, Value], body: str) -> Skill:
        if values.get("name") != folder.name:
            self._warn(folder, "its name differs from the folder's, which is used")
        description = values.get("description")
        if not isinstance(description, str) or not description.strip():
            self._warn(folder, "it has no description")
            description = _first_line(body)
        return Skill(
            folder.name,
            folder,
            " ".join(description.split())[:MAX_DESCRIPTION],
            body,
            for_agent=values.get("disable-model-invocation") is not True,
            for_people=values.get("user-invocable") is not False,
        )

    def _warn(self, folder: Path, reason: str) -> None:
        """Once per process."""
        text = f"skill {folder}: {reason}"
        if text not in self._told and len(self._told) < MAX_SKILLS:
            self._told.add(text)
            log.warning("skill not in order", extra=fields(reason=text))


def render_list(skills: list[Skill]) -> str:
    """At most ``MAX_LIST`` characters: descriptions are cut first, then the list."""
    if not skills:
        return ""
    room = MAX_LIST - len(_LIST_HEAD) - 100
    longest = max(len(skill.description) for skill in skills)
    while longest > _SHORTEST and sum(len(_entry(skill, longest)) for skill in skills) > room:
        longest = longest * 9 // 10
    lines: list[str] = []
    for skill in skills:
        entry = _entry(skill, longest)
        if len(entry) > room:
            lines.append(f"\n({len(skills) - len(lines)} more; `skill` names them all on an error)")
            break
        room -= len(entry)
        lines.append(entry)
    return _LIST_HEAD + "".join(lines)


def render_body(skill: Skill, arguments: str) -> str:
    """What the agent reads: the folder, then the text with the arguments put in (R-306)."""
    given = arguments.strip()[:MAX_ARGUMENTS]
    body = skill.body.strip()
    if len(body) > MAX_BODY:
        body = f"{body[:MAX_BODY]}\n\n(cut; the rest is in {skill.folder / SKILL_FILE})"
    if _ARGUMENTS in body:
        # Only so often that the text stays of a size: a hostile one might repeat the word.
        text = body.replace(_ARGUMENTS, given, MAX_BODY // (len(given) + 1) + 1)
    else:
        text = body + (f"\n\nArguments: {given}" if given else "")
    return f"Skill `{skill.name}`, with its files in {skill.folder}\n\n{text}"


def _entry(skill: Skill, longest: int) -> str:
    text = skill.description
    if len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return f"\n- `{skill.name}`: {text}"


def _first_line(body: str) -> str:
    lines = (line.strip().lstrip("#").strip() for line in body.splitlines())
    return next((line for line in lines if line), "(no description)")[:MAX_DESCRIPTION]


def _subfolders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(root / entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def _leads_into(folder: Path, root: Path) -> bool:
    try:
        return folder.is_symlink() and folder.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return True

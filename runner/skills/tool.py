"""The tool ``skill``: hands the agent the text of one skill (R-306).

One of the built-in tools; the library does the reading, on a thread. What a skill says is shipped
with the program or was put there by the agent and its people; it is read like any tool's answer.
"""

import asyncio

from runner.instructions.skills import SkillLibrary, render_body
from runner.toolbox.base import (
    Arguments,
    ToolCall,
    ToolResult,
    ToolSpec,
    error_result,
    text_result,
)

_SPEC = ToolSpec(
    name="skill",
    description=(
        "Opens one of the skills listed in your instructions and returns what it says, with the "
        "folder of its files. Call it before you begin work that a skill is for, and whenever "
        "somebody names one as `/name`. Also known as Skill."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The skill's name, without a slash."},
            "args": {"type": "string", "description": "What the skill is to be applied to."},
        },
        "required": ["name"],
    },
    read_only=True,
    aliases=("Skill",),
)


class SkillTool:
    """See ``runner.toolbox.base.Tool``."""

    def __init__(self, library: SkillLibrary) -> None:
        self._library = library

    @property
    def spec(self) -> ToolSpec:
        return _SPEC

    def declared_seconds(self, arguments: Arguments) -> float | None:
        return None

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult:
        name, words = str(arguments.get("name") or ""), str(arguments.get("args") or "")
        return await asyncio.to_thread(self._open, name, words)

    def _open(self, name: str, words: str) -> ToolResult:
        skill = self._library.find(name)
        if skill is not None:
            return text_result(render_body(skill, words))
        known = ", ".join(skill.name for skill in self._library.skills()) or "(none)"
        return error_result(f"there is no skill {name[:80]!r}; the skills are: {known}")

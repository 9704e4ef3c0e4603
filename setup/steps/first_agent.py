"""The agent that answers at the terminal: its name, its personality, whom it works for.

A host that was started before has made one already, without a personality; that one is given what
is answered here. One that somebody has named or told something is left alone. Whoever sits at the
terminal becomes the owner if there is none.
"""

import os
import pwd
from collections.abc import Mapping

from nanoclaw.config import HostConfig
from nanoclaw.errors import ConfigError, NanoclawError
from setup import templates
from setup.agent_rows import checked_agent_name
from setup.base import Choice, Finding, Kind, Question, Status, StepContext, StepResult
from setup.first_agent import AgentWish, dress, has_owner, init_cli_agent, is_plain, terminal_agent

FOLDER = "main"
MAX_OWNER = 80


def agent_name_problem(name: str) -> str | None:
    try:
        checked_agent_name(name)
    except ConfigError as error:
        return str(error)
    return None


def owner_problem(name: str) -> str | None:
    good = name.strip() and name.isprintable() and len(name) <= MAX_OWNER
    return None if good else f"a name has 1 to {MAX_OWNER} visible characters"


def own_name() -> str:
    """What the system calls the user, for the question's default."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return "friend"
    full = entry.pw_gecos.partition(",")[0].strip()
    name = full if full and full != "root" else entry.pw_name
    return "friend" if name == "root" or owner_problem(name) else name


def _choices() -> tuple[Choice, ...]:
    """None where the templates are missing; apply then says so."""
    try:
        return tuple(Choice(t.name, t.title, t.summary) for t in templates.all_templates())
    except ConfigError:
        return ()


OWNER = Question(
    "display_name", "display-name", "What should the agent call you?", default=own_name(),
    check=owner_problem,
)  # fmt: skip
NAME = Question(
    "agent_name", "agent-name", "What is the agent called?", default="Andy",
    check=agent_name_problem,
)  # fmt: skip
TEMPLATE = Question(
    "template", "template", "What is it for?", Kind.CHOICE, default=templates.DEFAULT_TEMPLATE,
    choices=_choices(),
)  # fmt: skip


class FirstAgentStep:
    name = "first-agent"
    title = "Make the first agent"
    seconds = 30.0
    needs = ("environment",)
    questions = (OWNER, NAME, TEMPLATE)

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        try:
            there = terminal_agent(config)
            if there is not None and not is_plain(config, there) and has_owner(config):
                facts = {"agent": there.name, "folder": there.folder}
                return Finding(True, f"{there.name} answers at the terminal", facts=facts)
        except NanoclawError as error:
            return Finding(False, "the database cannot be read", blocked=str(error))
        questions = tuple(item for item in self.questions if item.key not in answers)
        summary = "no agent answers at the terminal" if there is None else "the agent is plain"
        return Finding(False, summary, "make an agent for the terminal", questions=questions)

    def apply(self, context: StepContext) -> StepResult:
        config, answers = context.config, context.answers
        owner = answers.get(OWNER.key) or own_name()
        wish = AgentWish(
            name=answers.get(NAME.key) or config.assistant_name,
            folder=FOLDER,
            template=answers.get(TEMPLATE.key) or templates.DEFAULT_TEMPLATE,
        )
        try:
            there = terminal_agent(config)
            if there is None:
                init_cli_agent(config, owner, wish)
            elif is_plain(config, there):
                dress(config, there, owner, wish)
            has_owner(config, make=True)
        except NanoclawError as error:
            return StepResult(Status.FAILED, str(error), next_step="nanoclaw setup")
        return self.verify(context)

    def verify(self, context: StepContext) -> StepResult:
        try:
            there = terminal_agent(context.config)
            owned = has_owner(context.config)
        except NanoclawError as error:
            return StepResult(Status.FAILED, str(error))
        if there is None or not owned:
            what = "no agent answers at the terminal" if there is None else "nobody is the owner"
            return StepResult(Status.FAILED, what, next_step="nanoclaw setup --redo first-agent")
        fields = {"agent": there.name, "folder": there.folder, "id": there.id}
        return StepResult(Status.SUCCESS, f"{there.name} answers at the terminal", fields)

"""Builds what an agent with a model works with: desk, tools, servers, skills, instructions.

Called by ``program``, and imported only there and only when the agent needs it: a scripted agent
without tools starts without all of this.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contract.layout import MOUNT_HOME
from runner.desk.batch import TurnBatch
from runner.desk.desk import Desk
from runner.instructions.places import Places
from runner.instructions.skills import SkillLibrary
from runner.instructions.source import InstructionFacts, InstructionFiles
from runner.mcp_client.source import McpServers, McpSettings
from runner.providers.base import OpenEnds
from runner.settings import Settings
from runner.skills.tool import SkillTool
from runner.store import Store
from runner.toolbox.base import Tool, Toolbox
from runner.toolbox.box import ToolSet, ToolSetParts
from runner.toolbox.source import Branch
from runner.tools.files.tools import FileTools
from runner.tools.nanoclaw.toolset import model_tools
from runner.tools.search.tools import SearchTools
from runner.tools.shell.shell import Shell
from runner.tools.shell.tools import shell_tools
from runner.tools.spool import Spool
from runner.tools.todo import TodoTool
from runner.tools.web.fetch import WebFetch
from runner.turn.current import CurrentTurn, SkillBody
from runner.turn.taint import TaintingToolbox

SPOOL = "spool"
MAX_LINE = 300
CLIENT_WEB = frozenset({"auto", "client"})
"""Settings of ``webTools`` under which we fetch; a provider hides ours behind its server's."""
SaveTodo = Callable[[Sequence[Mapping[str, object]]], None]


@dataclass(frozen=True, slots=True)
class Equipment:
    """``todo`` gets its storage when the provider is there."""

    desk: Desk
    toolbox: Toolbox
    instructions: InstructionFiles
    skill_body: SkillBody
    todo: TodoTool
    open_ends: Callable[[], Awaitable[OpenEnds]]


def equip(
    settings: Settings,
    store: Store,
    current: CurrentTurn,
    environment: Mapping[str, str],
    additional_directories: tuple[Path, ...],
) -> Equipment:
    """Starts nothing; raises nothing but programming errors."""
    paths, config, session = settings.paths, settings.config, settings.session
    home = Path(environment.get("HOME") or MOUNT_HOME)
    desk = Desk(paths, store, TurnBatch(current))
    skills = SkillLibrary(Places(paths, home), config)
    spool = Spool(paths.runner_dir / SPOOL)
    shell = Shell(paths.workspace, environment, spool)
    protected = (paths.outbound_db, paths.conversation, paths.in_dir)
    files = FileTools(lambda: shell.cwd, protected)
    todo = TodoTool()
    built_in: list[Tool] = [
        *shell_tools(shell),
        *files.tools(),
        *SearchTools(lambda: shell.cwd).tools(),
        SkillTool(skills),
        todo,
    ]
    if config.web_tools in CLIENT_WEB:
        built_in.append(WebFetch(environment, spool))
    servers = None
    if config.mcp_servers:
        servers = McpServers(
            McpSettings(
                config.mcp_servers, environment, paths.workspace, spool, config.tool_timeouts
            ),
            logging.getLogger("runner.mcp"),
        )
    toolbox = ToolSet(
        ToolSetParts(
            tools=(
                *sorted(built_in, key=lambda tool: tool.spec.name),
                *model_tools(desk, session.timezone),
            ),
            in_flight=desk,
            keeper=spool,
            servers=servers,
            residents=(shell, files),
            branch=lambda: _for_sub_agent(shell, protected),
            disabled=frozenset(config.disabled_tools),
        )
    )
    facts = InstructionFacts(paths, config, session, home, additional_directories, environment)
    instructions = InstructionFiles(facts, skills, store.destinations)
    return Equipment(
        desk,
        TaintingToolbox(toolbox, current.taint, lambda: current.words, desk.publish_taint),
        instructions,
        skills.skill_body,
        todo,
        partial(_open_ends, desk, shell),
    )


def _for_sub_agent(shell: Shell, protected: tuple[Path, ...]) -> Branch:
    """A shell and a memory of read files of its own; the rest is shared."""
    own = shell.branch()
    files = FileTools(lambda: own.cwd, protected)
    tools = (*shell_tools(own), *files.tools(), *SearchTools(lambda: own.cwd).tools())
    return Branch(tools, (own, files))


async def _open_ends(desk: Desk, shell: Shell) -> OpenEnds:
    """Questions that people have not answered, and commands that still run (R-285)."""
    return OpenEnds(
        tuple(f"{asked.title}: {asked.question}"[:MAX_LINE] for asked in await desk.questions()),
        tuple(f"{job.name}: {job.order.command}"[:MAX_LINE] for job in shell.background.alive),
    )

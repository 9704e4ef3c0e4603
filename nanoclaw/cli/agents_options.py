"""The options of ``nanoclaw group``, ``init-first-agent`` and ``register``.

Called by ``commands`` for the tree of all options, so nothing heavy is imported here; the commands
themselves are in ``agents``.
"""

import argparse
from typing import TYPE_CHECKING

from nanoclaw.config import HostConfig

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

ROLES = ("owner", "admin", "member")
SESSION_MODES = ("shared", "agent-shared", "per-thread")
ENGAGE_MODES = ("pattern", "mention", "mention-sticky", "pattern-or-mention")


def add_agent_commands(commands: "Commands") -> list[argparse.ArgumentParser]:
    """All of them, for the options that every command shares."""
    group = commands.add_parser("group", help="make agents from templates")
    below = group.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="group_command"
    )
    new = below.add_parser("new", help="make an agent from a template")
    new.add_argument("name", metavar="NAME", help="what it is called in chats")
    new.add_argument("--owner", default="", metavar="PERSON", help="whom it works for, in its text")
    _add_agent(new)
    _add_output(new)
    templates = below.add_parser("templates", help="show the templates")
    templates.add_argument("--json", action="store_true", help="print JSON for programs")
    group.set_defaults(run_command=_group)

    first_agent = commands.add_parser(
        "init-first-agent", help="make an agent for one person on a chat platform"
    )
    _add_first_agent(first_agent)
    first_agent.set_defaults(run_command=_first_agent)

    register = commands.add_parser("register", help="connect one chat with an agent")
    _add_register(register)
    register.set_defaults(run_command=_register)
    return [group, new, templates, first_agent, register]


def _group(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import agents

    return agents.group_main(arguments, config)


def _first_agent(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import agents

    return agents.first_agent_main(arguments, config)


def _register(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import agents

    return agents.register_main(arguments, config)


def _add_first_agent(parser: argparse.ArgumentParser) -> None:
    """S-230; what is missing is named by argparse, all of it at once, with exit code 2."""
    parser.add_argument("--channel", required=True, help="telegram, discord, ...")
    parser.add_argument("--user-id", required=True, metavar="ID", help="the person there")
    parser.add_argument(
        "--platform-id", required=True, metavar="ID", help="their chat with the bot"
    )
    parser.add_argument("--display-name", required=True, metavar="PERSON")
    parser.add_argument("--agent-name", default="", metavar="NAME", help="(default: the person's)")
    parser.add_argument("--role", choices=ROLES, default="owner", help="(default: owner)")
    parser.add_argument("--welcome", metavar="TEXT", help="what the agent is told first")
    parser.add_argument("--no-welcome", action="store_true", help="tell it nothing; needs no host")
    _add_agent(parser)
    _add_output(parser)


def _add_register(parser: argparse.ArgumentParser) -> None:
    """S-114; what is missing is reported in the block, with exit code 4."""
    parser.add_argument("--platform-id", default="", metavar="ID", help="the chat; needed")
    parser.add_argument("--name", default="", help="what the chat is called; needed")
    parser.add_argument("--folder", default="", help="folder of the agent; needed")
    parser.add_argument("--channel", default="discord", help="(default: discord)")
    parser.add_argument("--trigger", metavar="PATTERN", help="answer what matches this")
    parser.add_argument("--no-trigger-required", action="store_true", help="answer everything")
    parser.add_argument("--assistant-name", default="Andy", metavar="NAME", help="(default: Andy)")
    parser.add_argument("--session-mode", choices=SESSION_MODES, default="shared")
    parser.add_argument("--is-group", choices=("true", "false"), help="(default: by the id)")
    parser.add_argument("--engage-mode", choices=ENGAGE_MODES, help="(default: by the chat)")
    parser.add_argument("--template", default="assistant", help="(default: assistant)")
    _add_output(parser)


def _add_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--template", default="assistant", help="(default: assistant)")
    parser.add_argument("--folder", help="below groups/ (default: made from the name)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")

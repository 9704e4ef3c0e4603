"""Tools that ask the host for a change: new agents, packages, tool servers (R-174 to R-177).

The host decides, mostly by asking an administrator; the result comes later as a note. What is
checked here is what the host would refuse anyway, said at once.
"""

import re

from contract.actions import AddMcpServer, CreateAgent, InstallPackages
from contract.ids import new_id
from contract.inbound.row import MessageKind
from contract.shape import Shape
from runner.desk.desk import Desk
from runner.desk.errand import Errand, Letter
from runner.toolbox.base import ToolCall, ToolResult, ToolSpec, text_result
from runner.tools.nanoclaw.base import (
    SERVER_NAME,
    NanoclawTool,
    object_schema,
    string,
    strings,
)
from runner.tools.nanoclaw.given import BadArgumentError, Given

MAX_PACKAGES = 20
MAX_PACKAGE_NAME = 214
MAX_AGENT_NAME_BYTES = 200
MAX_INSTRUCTIONS_BYTES = 64 * 1024

_APT = re.compile(r"[a-z0-9][a-z0-9._+-]*", re.ASCII)
_NPM = re.compile(r"(?:@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*", re.ASCII)
_PIP = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_PIP_SEPARATORS = re.compile(r"[-_.]+")
_SERVER = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
_LATER = "An administrator decides; the result arrives later as a message. Do not wait for it."


def agent_tools(desk: Desk) -> tuple[NanoclawTool, ...]:
    return (
        NanoclawTool(
            ToolSpec(
                "create_agent",
                "Ask for a long-lived companion agent with its own memory and folder. Its name "
                "becomes a destination that you can write to. Only for administrators; it does "
                "not wait, a message tells when the agent is there.",
                object_schema(
                    {
                        "name": string("The new agent's name."),
                        "instructions": string("What it is for and how it behaves."),
                    },
                    ("name",),
                ),
            ),
            _Requests(desk).create_agent,
        ),
    )


def change_request_tools(desk: Desk) -> tuple[NanoclawTool, ...]:
    requests = _Requests(desk)
    return (
        NanoclawTool(
            ToolSpec(
                "install_packages",
                f"Ask for packages to be installed in your container for good. {_LATER}",
                object_schema(
                    {
                        "apt": strings("Names of Debian packages, without versions."),
                        "npm": strings("Names of npm packages, without versions."),
                        "pip": strings("Names of Python packages, without versions."),
                        "reason": string("What they are needed for; the administrator reads it."),
                    }
                ),
            ),
            requests.install_packages,
        ),
        NanoclawTool(
            ToolSpec(
                "add_mcp_server",
                f"Ask for a tool server (MCP) to be started with your container. {_LATER}",
                object_schema(
                    {
                        "name": string("Its name: letters, digits, '_' and '-'."),
                        "command": string("The program."),
                        "args": strings("Its arguments."),
                        "env": {
                            "type": "object",
                            "additionalProperties": {"type": "string"},
                            "description": "Environment variables for it. Never put secrets here.",
                        },
                    },
                    ("name", "command"),
                ),
            ),
            requests.add_mcp_server,
        ),
    )


class _Requests:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create_agent(self, given: Given, call: ToolCall) -> ToolResult:
        name = given.text("name", MAX_AGENT_NAME_BYTES).strip()
        instructions = given.optional_text("instructions", MAX_INSTRUCTIONS_BYTES)
        request_id = new_id("msg")
        action = CreateAgent(request_id=request_id, name=name, instructions=instructions)
        text = f"Creation of agent {name!r} requested; a message follows when it is done."
        return await self._submit(request_id, action, text, call)

    async def install_packages(self, given: Given, call: ToolCall) -> ToolResult:
        apt = _names(given, "apt", _APT)
        npm = _names(given, "npm", _NPM)
        pip = tuple(_PIP_SEPARATORS.sub("-", n).lower() for n in _names(given, "pip", _PIP))
        number = len(apt) + len(npm) + len(pip)
        if not 0 < number <= MAX_PACKAGES:
            raise BadArgumentError(
                f"give at least one and at most {MAX_PACKAGES} packages in 'apt', 'npm' and 'pip'"
            )
        reason = given.optional_text("reason", 4096) or ""
        action = InstallPackages(apt=apt, npm=npm, pip=pip, reason=reason)
        text = f"Installation of {number} package(s) requested. {_LATER}"
        return await self._submit(new_id("msg"), action, text, call)

    async def add_mcp_server(self, given: Given, call: ToolCall) -> ToolResult:
        name = given.text("name")
        if not _SERVER.fullmatch(name) or name.casefold() == SERVER_NAME:
            raise BadArgumentError(
                "'name' must have 1 to 48 letters, digits, '_' or '-', and not be 'nanoclaw'"
            )
        action = AddMcpServer(
            name=name,
            command=given.text("command", 4096),
            args=given.texts("args"),
            env=given.text_mapping("env"),
        )
        text = f"Tool server {name!r} requested. {_LATER}"
        return await self._submit(new_id("msg"), action, text, call)

    async def _submit(
        self, request_id: str, action: Shape, text: str, call: ToolCall
    ) -> ToolResult:
        letter = Letter(request_id, action, MessageKind.SYSTEM)
        return text_result(await self._desk.write(Errand((letter,), lambda _: text), call.id))


def _names(given: Given, field: str, form: re.Pattern[str]) -> tuple[str, ...]:
    """Without repetitions; raises BadArgumentError with the first that is no name."""
    names = tuple(dict.fromkeys(given.texts(field)))
    for name in names:
        if len(name) > MAX_PACKAGE_NAME or not form.fullmatch(name):
            raise BadArgumentError(
                f"{name[:100]!r} in '{field}' is not a package name; give names without versions"
            )
    return names

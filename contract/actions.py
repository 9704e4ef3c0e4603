"""System actions an agent asks the host for: ``messages_out`` rows of kind ``system`` (H-128).

Parsed through ``content.parse_outbound``. The session a row was found in is its only authority;
nothing in these fields may widen it (H-130). Unknown actions are kept, so that the host can say
which one it does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from contract.errors import BadContent
from contract.shape import UNSET, Shape, Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTask(Shape):
    """``tz``, ``catch_up`` and ``context`` None: the installation's zone, ``latest``, ``group``."""

    TAG = ("action", "schedule_task")
    task_id: str
    prompt: str
    script: str | None
    process_after: str
    recurrence: str | None
    platform_id: str | None
    channel_type: str | None
    thread_id: str | None
    tz: str | None = None
    catch_up: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTask(Shape):
    TAG = ("action", "cancel_task")
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseTask(Shape):
    TAG = ("action", "pause_task")
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeTask(Shape):
    TAG = ("action", "resume_task")
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTask(Shape):
    """Only given fields change; null clears recurrence and script (H-252)."""

    TAG = ("action", "update_task")
    task_id: str
    prompt: str | Unset = UNSET
    process_after: str | Unset = UNSET
    recurrence: str | Unset | None = UNSET
    script: str | Unset | None = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAgent(Shape):
    TAG = ("action", "create_agent")
    request_id: str
    name: str
    instructions: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPackages(Shape):
    TAG = ("action", "install_packages")
    apt: tuple[str, ...]
    npm: tuple[str, ...]
    pip: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMcpServer(Shape):
    TAG = ("action", "add_mcp_server")
    name: str
    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CliRequest(Shape):
    """An administrative command under the caller's scope; ``args`` as the command defines."""

    TAG = ("action", "cli_request")
    request_id: str
    command: str
    args: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownAction(Shape):
    """An action of a newer runner."""

    action: str


SystemAction = (
    ScheduleTask
    | CancelTask
    | PauseTask
    | ResumeTask
    | UpdateTask
    | CreateAgent
    | InstallPackages
    | AddMcpServer
    | CliRequest
    | UnknownAction
)

_ACTIONS: dict[object, type[SystemAction]] = {
    "schedule_task": ScheduleTask,
    "cancel_task": CancelTask,
    "pause_task": PauseTask,
    "resume_task": ResumeTask,
    "update_task": UpdateTask,
    "create_agent": CreateAgent,
    "install_packages": InstallPackages,
    "add_mcp_server": AddMcpServer,
    "cli_request": CliRequest,
}


def parse_action(value: dict[str, object]) -> SystemAction:
    """The action in a system row's content; raises BadContent."""
    action = value.get("action")
    if not isinstance(action, str):
        raise BadContent("system row without an action")
    return _ACTIONS.get(action, UnknownAction).read(value)

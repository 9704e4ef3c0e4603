"""Connects one chat with an agent, which is made if there is none of that folder (S-114 to S-120).

Called by ``nanoclaw register``. One transaction; a second run changes nothing and sends nothing.
The welcome goes through the running host, which writes the session; without one the agent stays
silent until somebody writes to it.
"""

from dataclasses import dataclass

from contract.clock import utc_now
from contract.ids import new_id
from nanoclaw.channels.cli.lines import Place
from nanoclaw.config import HostConfig
from nanoclaw.errors import ChannelError, ConfigError
from nanoclaw.first_agent import TERMINAL_USER
from nanoclaw.model import EngageMode, MessagingGroup, SessionMode, UnknownSenderPolicy, Wiring
from nanoclaw.routing.pattern.search import problem_of
from setup import agent_rows, templates
from setup.agent_rows import Work
from setup.central import answers, changing, opened
from setup.first_agent import EVERYTHING
from setup.names import folder_problem, is_group_chat
from setup.welcome import WELCOME, say

DEFAULT_CHANNEL, DEFAULT_NAME = "discord", "Andy"
SESSION_MODES = (SessionMode.SHARED, SessionMode.AGENT_SHARED, SessionMode.PER_THREAD)
ENGAGE_MODES = tuple(EngageMode)
BLOCK = "REGISTER_CHANNEL"
REQUIRED = ("platform_id", "name", "folder")


@dataclass(frozen=True, slots=True)
class Registration:
    """``is_group`` and ``engage_mode`` None: as the chat's id and the trigger suggest."""

    platform_id: str
    name: str
    folder: str
    channel: str = DEFAULT_CHANNEL
    trigger: str | None = None
    requires_trigger: bool = True
    assistant_name: str = DEFAULT_NAME
    session_mode: SessionMode = SessionMode.SHARED
    is_group: bool | None = None
    engage_mode: EngageMode | None = None
    template: str = templates.DEFAULT_TEMPLATE
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """``welcome`` says what became of it; empty: the chat was connected before."""

    platform_id: str
    agent_group_id: str
    wired: bool
    welcome: str = ""


def problem_with(wanted: Registration) -> tuple[str, str] | None:
    """The error's word for programs and what is wrong, or None."""
    missing = [name for name in REQUIRED if not getattr(wanted, name).strip()]
    if missing:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        return "missing_required_args", f"these are missing: {flags}"
    folder = folder_problem(wanted.folder)
    if folder is not None:
        return "invalid_folder", folder
    trigger = None if wanted.trigger is None else problem_of(wanted.trigger)
    if trigger is not None:
        return "invalid_trigger", f"--trigger {wanted.trigger!r}: {trigger}"
    if wanted.engage_mode is EngageMode.PATTERN and not wanted.trigger and wanted.requires_trigger:
        return "invalid_trigger", "--engage-mode pattern needs --trigger or --no-trigger-required"
    return None


def register(config: HostConfig, wanted: Registration) -> Registered:
    """Raises NanoclawError; then nothing was changed."""
    problem = problem_with(wanted)
    if problem is not None:
        raise ConfigError(problem[1])
    channel = wanted.channel.strip().lower()
    platform_id = agent_rows.chat_id(channel, wanted.platform_id.strip())
    text = templates.get(wanted.template).render(wanted.assistant_name)
    with opened(config, dry_run=wanted.dry_run) as conn, changing(conn, dry_run=wanted.dry_run):
        work = Work(conn, config, utc_now(), wanted.dry_run)
        group, _ = agent_rows.agent(work, wanted.assistant_name, wanted.folder, text)
        is_group = wanted.is_group
        if is_group is None:
            is_group = is_group_chat(channel, platform_id)
        chat, _ = agent_rows.chat(
            work,
            MessagingGroup(
                new_id("mg"), channel, platform_id, work.now, name=wanted.name.strip(),
                is_group=is_group, unknown_sender_policy=UnknownSenderPolicy.STRICT,
            ),
        )  # fmt: skip
        mode, pattern = engagement(wanted, is_group=chat.is_group)
        wired = agent_rows.wire(
            work,
            Wiring(
                new_id("mga"), chat.id, group.id, work.now, session_mode=wanted.session_mode,
                engage_mode=mode, engage_pattern=pattern,
            ),
        )  # fmt: skip
    welcome = _welcome(config, Place(channel, platform_id)) if wired and not wanted.dry_run else ""
    return Registered(platform_id, group.id, wired, welcome)


def engagement(wanted: Registration, *, is_group: bool) -> tuple[EngageMode, str | None]:
    """When the agent answers there: how it is asked, and the pattern if it is one."""
    if wanted.engage_mode is not None and wanted.engage_mode is not EngageMode.PATTERN:
        return wanted.engage_mode, None
    if wanted.trigger:
        return EngageMode.PATTERN, wanted.trigger
    if is_group and wanted.requires_trigger:
        return EngageMode.MENTION, None
    return EngageMode.PATTERN, EVERYTHING


def _welcome(config: HostConfig, place: Place) -> str:
    path = config.paths.socket("cli")
    if not answers(path):
        return "no host is running; the agent answers when somebody writes"
    try:
        return say(path, WELCOME, place, TERMINAL_USER, "setup").outcome
    except ChannelError as error:
        return str(error)

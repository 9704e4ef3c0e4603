"""``nanoclaw group``, ``init-first-agent`` and ``register``: agents made from the command line.

Called by ``commands``; the work itself is done by ``setup``. Exit codes: 0 done, 1 it failed and
nothing was changed, 2 wrong use; ``register`` says 4 for arguments that cannot be used (S-115).
"""

import argparse

from nanoclaw.cli.render import print_error, print_json, print_text, render_table
from nanoclaw.config import HostConfig
from nanoclaw.errors import NanoclawError
from nanoclaw.model import EngageMode, SessionMode
from setup import templates
from setup.blocks import format_block
from setup.first_agent import AgentWish, Made, Person, init_first_agent
from setup.group_new import new_group
from setup.register import BLOCK, Registered, Registration, problem_with, register

FAILED, UNUSABLE = 1, 4


def group_main(arguments: argparse.Namespace, config: HostConfig) -> int:
    try:
        if arguments.group_command == "templates":
            return _templates(as_json=arguments.json)
        return _group_new(arguments, config)
    except NanoclawError as error:
        print_error(str(error))
        return FAILED


def _templates(*, as_json: bool) -> int:
    found = templates.all_templates()
    if as_json:
        print_json([{"name": t.name, "title": t.title, "summary": t.summary} for t in found])
    else:
        print_text(render_table([("TEMPLATE", "FOR"), *((t.name, t.summary) for t in found)]))
    return 0


def _group_new(arguments: argparse.Namespace, config: HostConfig) -> int:
    wish = AgentWish(
        name=arguments.name, folder=arguments.folder, template=arguments.template,
        dry_run=arguments.dry_run,
    )  # fmt: skip
    group = new_group(config, wish, arguments.owner)
    place = config.paths.groups / group.folder
    if arguments.json:
        print_json({
            "id": None if wish.dry_run else group.id, "name": group.name, "folder": group.folder,
            "path": str(place), "template": wish.template, "dryRun": wish.dry_run,
        })  # fmt: skip
        return 0
    if wish.dry_run:
        print_text(f"would make {group.name} from the template {wish.template} in {place}")
        return 0
    print_text(
        f"{group.name} is {group.id} in {place}\n"
        "it listens in no chat yet; see the chats with `ncl messaging-groups list` and connect\n"
        f"one with: ncl wirings create --agent-group-id {group.id} --messaging-group-id CHAT"
    )
    return 0


def first_agent_main(arguments: argparse.Namespace, config: HostConfig) -> int:
    person = Person(
        arguments.channel, arguments.user_id, arguments.platform_id, arguments.display_name,
        arguments.role,
    )  # fmt: skip
    wish = AgentWish(
        name=arguments.agent_name, folder=arguments.folder, template=arguments.template,
        welcome=arguments.welcome, no_welcome=arguments.no_welcome, dry_run=arguments.dry_run,
    )  # fmt: skip
    try:
        made = init_first_agent(config, person, wish)
    except NanoclawError as error:
        print_error(str(error))
        return FAILED
    if arguments.json:
        print_json(_as_json(made, dry_run=wish.dry_run))
    else:
        print_text(_summary(made, dry_run=wish.dry_run))
    return 0


def _summary(made: Made, *, dry_run: bool) -> str:
    new = "made now" if made.created else "there already, nothing was changed"
    lines = [
        f"user     {made.user_id}",
        f"role     {made.role}",
        f"agent    {made.group.name} ({made.group.id}, folder {made.group.folder})",
        f"chat     {made.chat.channel_type} {made.chat.platform_id}",
        f"result   {'dry run: would be ' if dry_run else ''}{new}",
        f"welcome  {made.welcome or 'not sent'}",
    ]
    return "\n".join(lines)


def _as_json(made: Made, *, dry_run: bool) -> dict[str, object]:
    return {
        "userId": made.user_id,
        "role": made.role,
        "agentGroupId": None if dry_run and made.created else made.group.id,
        "name": made.group.name,
        "folder": made.group.folder,
        "channel": made.chat.channel_type,
        "platformId": made.chat.platform_id,
        "created": made.created,
        "welcome": made.welcome or None,
        "dryRun": dry_run,
    }


def register_main(arguments: argparse.Namespace, config: HostConfig) -> int:
    wanted = Registration(
        platform_id=arguments.platform_id,
        name=arguments.name,
        folder=arguments.folder,
        channel=arguments.channel.lower(),
        trigger=arguments.trigger,
        requires_trigger=not arguments.no_trigger_required,
        assistant_name=arguments.assistant_name,
        session_mode=SessionMode(arguments.session_mode),
        is_group=None if arguments.is_group is None else arguments.is_group == "true",
        engage_mode=None if arguments.engage_mode is None else EngageMode(arguments.engage_mode),
        template=arguments.template,
        dry_run=arguments.dry_run,
    )
    problem = problem_with(wanted)
    if problem is not None:
        word, text = problem
        return _registered(arguments, wanted, {"STATUS": "failed", "ERROR": word}, text)
    try:
        done = register(config, wanted)
    except NanoclawError as error:
        failed: dict[str, object] = {"STATUS": "failed", "ERROR": "register_failed"}
        _registered(arguments, wanted, failed, str(error))
        return FAILED
    return _registered(arguments, wanted, _fields(done), "")


def _fields(done: Registered) -> dict[str, object]:
    return {
        "PLATFORM_ID": done.platform_id,
        "AGENT_GROUP_ID": done.agent_group_id,
        "NEWLY_WIRED": done.wired,
        "WELCOME": done.welcome or "not sent",
        "STATUS": "success",
    }


def _registered(
    arguments: argparse.Namespace, wanted: Registration, outcome: dict[str, object], text: str
) -> int:
    """The block (S-119), as JSON if that is wanted; what is wrong also in words."""
    fields: dict[str, object] = {
        "PLATFORM_ID": wanted.platform_id,
        "NAME": wanted.name,
        "FOLDER": wanted.folder,
        "CHANNEL": wanted.channel,
        "TRIGGER": wanted.trigger or "",
        "REQUIRES_TRIGGER": wanted.requires_trigger,
        "ASSISTANT_NAME": wanted.assistant_name,
        "SESSION_MODE": wanted.session_mode.value,
        "NAME_UPDATED": False,
        "DRY_RUN": wanted.dry_run,
        **outcome,
        "LOG": "logs/setup.log",
    }
    if arguments.json:
        print_json({key.lower(): value for key, value in fields.items()})
    else:
        print_text(format_block(BLOCK, fields))
    if text:
        print_error(text)
    return UNUSABLE if outcome["STATUS"] == "failed" else 0

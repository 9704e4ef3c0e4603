"""The commands of ``nanoclaw`` and their options, as one argparse tree.

Called by ``main`` for everything but ``--version`` and ``ncl``. Each command's own module is
imported when it runs and offers ``main(arguments, config) -> int``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nanoclaw.cli.agents_options import add_agent_commands
from nanoclaw.cli.backup_options import add_commands as add_backup_commands
from nanoclaw.cli.doctor_options import add_commands as add_doctor_commands
from nanoclaw.cli.extras_options import add_commands as add_extras_commands
from nanoclaw.cli.secrets_options import add_commands as add_secrets_commands
from nanoclaw.cli.service_options import add_commands as add_service_commands
from nanoclaw.config import SETTINGS, HostConfig, load_config, read_service_manager
from nanoclaw.version import VERSION


def main(words: Sequence[str]) -> int:
    found = _words_of_setup(words)
    if found is not None:
        from setup.__main__ import main as setup_main

        return setup_main(found[1], home=found[0])
    arguments = build_parser().parse_args(words)
    given = vars(arguments)
    if "own_settings" in given:  # works with settings that cannot be read
        return int(given["own_settings"](arguments))
    flags = {
        setting.key: given[setting.key]
        for setting in SETTINGS
        if given.get(setting.key) is not None
    }
    config = load_config(home=given.get("home"), flags=flags)
    command = arguments.run_command
    return int(command(arguments, config))


def _words_of_setup(words: Sequence[str]) -> tuple[Path | None, Sequence[str]] | None:
    """``setup`` reads its own words: its flags are the questions of its steps."""
    home, rest = None, list(words)
    if rest[:1] == ["--home"] and len(rest) > 2:
        home, rest = Path(rest[1]), rest[2:]
    elif rest and rest[0].startswith("--home="):
        home, rest = Path(rest[0].partition("=")[2]), rest[1:]
    return (home, rest[1:]) if rest[:1] == ["setup"] else None


def build_parser() -> argparse.ArgumentParser:
    """The whole tree; also read by the test that compares it with the documentation."""
    parser = argparse.ArgumentParser(
        prog="nanoclaw", description="A personal agent that lives in your chats."
    )
    parser.add_argument("--version", action="version", version=f"nanoclaw {VERSION}")
    _add_home(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    commands.add_parser("setup", help="set up this installation, step by step")

    run = commands.add_parser("run", help="run the host until it is told to stop")
    _add_settings(run)
    run.add_argument("--drill", action="store_true", help=argparse.SUPPRESS)
    run.set_defaults(run_command=_run)

    status = commands.add_parser("status", help="show what the host is doing")
    status.add_argument("--json", action="store_true", help="print JSON for programs")
    status.set_defaults(run_command=_status)

    demo = commands.add_parser("demo", help="try it: one message through a throw-away host")
    _add_settings(demo)
    demo.set_defaults(run_command=_demo)

    chat = commands.add_parser("chat", help="talk to an agent from this terminal")
    _add_chat(chat)
    chat.set_defaults(run_command=_chat)

    image, build = _add_image(commands)

    sql = commands.add_parser("sql", help="run SQL on a database file, as a last resort")
    sql.add_argument("database", metavar="DATABASE", type=Path, help="the file")
    sql.add_argument("statements", metavar="SQL", help="rows are printed as a|b|c")
    sql.set_defaults(run_command=_sql)

    secrets = commands.add_parser("secrets", help="keep the owner's keys and tokens")
    secrets_commands = add_secrets_commands(secrets)
    secrets.set_defaults(run_command=_secrets)

    extras = commands.add_parser("extras", help="add libraries that only some installations want")
    extras_commands = add_extras_commands(extras)
    extras.set_defaults(run_command=_extras)

    others = [*add_agent_commands(commands), *add_backup_commands(commands)]
    others += [*add_service_commands(commands, _service), extras, *extras_commands, sql]
    others += add_doctor_commands(commands)
    for command in (*others, run, status, demo, chat, image, build, secrets, *secrets_commands):
        _add_home(command)
    return parser


def _add_image(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    image = commands.add_parser("image", help="manage the image that agents run in")
    image_commands = image.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = image_commands.add_parser("build", help="build the agent image now")
    build.set_defaults(run_command=_image_build)
    return image, build


def _add_home(parser: argparse.ArgumentParser) -> None:
    """Accepted before and behind the command; what is not given leaves the other one alone."""
    parser.add_argument(
        "--home", type=Path, metavar="FOLDER", default=argparse.SUPPRESS,
        help="folder of this installation (default: NANOCLAW_HOME, else the user's data folder)",
    )  # fmt: skip


def _add_chat(chat: argparse.ArgumentParser) -> None:
    chat.add_argument("-m", "--message", metavar="TEXT", help="send one message, print the answer")
    chat.add_argument(
        "--to", metavar="CHAT", help="CHANNEL:PLATFORM_ID[:THREAD] to speak in (default: cli:local)"
    )
    chat.add_argument("--json", action="store_true", help="print replies as lines of JSON")
    chat.add_argument(
        "--timeout", metavar="SECONDS", help="give up waiting for a reply (default: 120)"
    )
    chat.add_argument(
        "--save-files", metavar="FOLDER", type=Path, help="copy files of replies to this folder"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    settings = parser.add_argument_group("settings", "also keys of config.toml")
    for setting in SETTINGS:
        settings.add_argument(
            setting.flag,
            dest=setting.key,
            metavar="VALUE",
            help=f"{setting.help} [{setting.variable}]",
        )


def _run(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.daemon import CHILDREN, DRILL_CHILDREN, run_host

    children = DRILL_CHILDREN if arguments.drill else CHILDREN
    return run_host(config, read_service_manager(), children=children)


def _status(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import status

    return status.main(arguments, config)


def _demo(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import demo

    return demo.main(arguments, config)


def _chat(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import chat

    return chat.main(arguments, config)


def _image_build(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.containers import image_command

    return image_command.main(arguments, config)


def _sql(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import sql

    return sql.main(arguments)


def _secrets(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import secrets

    return secrets.main(arguments, config)


def _service(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import service

    return service.main(arguments, config)


def _extras(arguments: argparse.Namespace, config: HostConfig) -> int:
    from nanoclaw.cli import extras

    return extras.main(arguments, config)

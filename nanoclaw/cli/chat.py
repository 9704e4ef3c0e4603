"""``nanoclaw chat``: talk to an agent from a terminal, a script or another program.

Called by ``commands`` with parsed arguments; picks one of three modes. On a terminal it is a chat
window (``chat_window``), otherwise lines in and lines out, and with ``-m`` a single message
(``chat_script``). Exit codes of H-271: 0 answered, 1 wrong use, 2 no host, 3 no reply in time.
"""

import argparse
import sys
from enum import IntEnum
from shlex import quote
from typing import TextIO

from nanoclaw.channels.cli.lines import Place
from nanoclaw.cli.chat_script import Script, ScriptOptions, run_lines, run_once
from nanoclaw.cli.chat_show import ShowOptions, make_show
from nanoclaw.cli.render import print_error
from nanoclaw.cli.terminal import colours_wanted
from nanoclaw.config import HostConfig
from nanoclaw.reactor import Reactor

DEFAULT_TIMEOUT_SECONDS = 120.0


class ChatExit(IntEnum):
    DONE = 0
    USAGE = 1
    NO_HOST = 2
    NO_REPLY = 3


class _UsageError(Exception):
    """An argument makes no sense; the text says which and what would."""


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    try:
        return _run(arguments, config)
    except _UsageError as error:
        print_error(str(error))
        return ChatExit.USAGE


def _run(arguments: argparse.Namespace, config: HostConfig) -> int:
    message: str | None = arguments.message
    if message is not None and not message.strip():
        raise _UsageError("there is nothing to send; give a text with -m")
    to = None if arguments.to is None else parse_place(arguments.to)
    timeout_seconds = _timeout(arguments.timeout)
    on_terminal = _is_terminal(sys.stdout)
    interactive = message is None and on_terminal and _is_terminal(sys.stdin)
    show_options = ShowOptions(
        as_json=arguments.json,
        for_terminal=on_terminal and not arguments.json,
        coloured=colours_wanted(is_terminal=on_terminal),
        name=config.assistant_name if interactive else "",
        save_files=arguments.save_files,
    )
    if interactive:
        from nanoclaw.cli.chat_window import run_window

        connected = run_window(config, show_options, to)
        return ChatExit.DONE if connected else _no_host(config)
    reactor = Reactor()
    options = ScriptOptions(to, timeout_seconds, listens=message is None)
    script = Script(reactor, config.paths, make_show(show_options), options)
    if not script.link.connect():
        return _no_host(config)
    if message is not None:
        run_once(script, reactor, message)
    else:
        run_lines(script, reactor)
    return ChatExit.NO_REPLY if script.unanswered else ChatExit.DONE


def _is_terminal(stream: TextIO | None) -> bool:
    """Streams are None in a program that was started without them."""
    return stream is not None and stream.isatty()


def _no_host(config: HostConfig) -> int:
    path = config.paths.socket("cli")
    home = quote(str(config.home))
    print_error(f"no host answers on {path}; start one with: nanoclaw run --home {home}")
    return ChatExit.NO_HOST


def parse_place(text: str) -> Place:
    """``CHANNEL:PLATFORM_ID[:THREAD]``.

    Platform ids may start with their channel's name (``telegram:telegram:123``); the thread is
    what follows the colon after the id.
    """
    channel, _, rest = text.partition(":")
    prefix = f"{channel}:"
    namespaced = rest.startswith(prefix)
    platform, _, thread = rest.removeprefix(prefix).partition(":")
    if not channel or not platform:
        raise _UsageError(f"{text!r} is no chat; write CHANNEL:PLATFORM_ID, such as cli:local")
    return Place(channel, prefix + platform if namespaced else platform, thread or None)


def _timeout(text: str | None) -> float:
    if text is None:
        return DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise _UsageError(f"--timeout {text}: must be a number of seconds between 0 and 86400")
    return seconds

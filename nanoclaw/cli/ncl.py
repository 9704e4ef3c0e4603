"""``ncl``: one administrative command, asked of the running host.

Words that are no flags make up the command's name, joined by dashes (N-6, N-9). Exit codes are
those of N-28: 0 done, 1 the host said no, 2 nobody could be asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nanoclaw.admin.client import HostUnreachableError, TransportError, ask
from nanoclaw.admin.frames import Failure
from nanoclaw.cli.render import print_error, print_json, print_text, render_value
from nanoclaw.config import load_config

SECONDS = 30
REFUSED = 1
USAGE = 2

HELP = """usage: ncl COMMAND [--flag VALUE] [--json] [--home FOLDER]

commands: ping, status
"""


@dataclass(slots=True)
class Words:
    """What was typed, taken apart."""

    command: str = ""
    flags: dict[str, str | bool] = field(default_factory=dict)
    json: bool = False
    home: Path | None = None


def main(words: Sequence[str]) -> int:
    if not words or words[0] in ("--help", "-h"):
        print_text(HELP)
        return 0
    typed = parse_words(words)
    if not typed.command:
        print_error(f"missing command; {HELP}", program="ncl")
        return USAGE
    config = load_config(home=typed.home)
    try:
        answer = ask(config.paths.socket("ncl"), typed.command, typed.flags, SECONDS)
    except HostUnreachableError as error:
        print_error(
            f"cannot reach the host ({error}); is it running? Start it with `nanoclaw run`, "
            f"or look with `nanoclaw status --home {config.home}`",
            program="ncl",
        )
        return USAGE
    except TransportError as error:
        print_error(f"transport error: {error}", program="ncl")
        return USAGE
    if isinstance(answer, Failure):
        print_error(f"{answer.message} ({answer.code})", program="ncl")
        return REFUSED
    if typed.json:
        print_json(answer.data)
    else:
        print_text(render_value(answer.data))
    return 0


def parse_words(words: Sequence[str]) -> Words:
    """Flags take the following word as their value unless it is a flag itself, or ``--k=v``."""
    typed, names, rest = Words(), [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            names.append(word)
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        if key == "json":
            typed.json = True
        elif equals:
            typed.flags[key] = value
        elif rest and not rest[0].startswith("--"):
            typed.flags[key] = rest.pop(0)
        else:
            typed.flags[key] = True
    home = typed.flags.pop("home", None)
    typed.home = Path(home) if isinstance(home, str) else None
    typed.command = "-".join(names)
    return typed

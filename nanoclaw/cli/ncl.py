"""``ncl``: one administrative command, asked of the running host.

Exit codes are those of N-28: 0 done, 1 the host said no, 2 nobody could be asked. Every call pays
for what is imported here, so what is needed rarely is imported late; commands that run in this
process instead of the host are the modules in LOCAL.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from contract.ncl_answer import INVALID_ARGS, TRANSPORT_ERROR, Output, render, unanswered
from contract.ncl_words import Typed, parse_words
from nanoclaw.admin.client import HostUnreachableError, TransportError, ask
from nanoclaw.admin.frames import Request, response_frame
from nanoclaw.cli.ncl_known import is_destructive, usual_seconds
from nanoclaw.cli.render import print_output, print_text
from nanoclaw.cli.terminal import can_ask, confirmed, read_look
from nanoclaw.errors import NanoclawError
from nanoclaw.paths import HostPaths

USAGE = """usage: ncl RESOURCE VERB [ID] [--key VALUE | --flag]... [options]

Asks the running host. `ncl help` lists the resources, `ncl RESOURCE help` its verbs and fields.

options:
  --json | --csv | --ids   for programs: the whole answer, rows, or ids only
  --wide                   do not cut columns to the width of the terminal
  --dry-run                show what would change, and change nothing
  --yes                    do not ask before something is taken away
  --timeout SECONDS        wait so long for the answer (default: 30)
  --offline                read lists from the database when the host is down
  --home FOLDER            folder of the installation (default: NANOCLAW_HOME, else the user's)

commands of this program, which need no host:
"""


class LocalModule(Protocol):
    """What the module of a local command offers."""

    def run_local(self, typed: Typed, paths: HostPaths) -> int:
        """Prints through ``cli/render`` and returns the exit code."""


@dataclass(frozen=True, slots=True)
class LocalCommand:
    """``words``: what may stand behind the name; one word with bars between is a choice."""

    module: str
    words: str
    help: str


LOCAL: Mapping[str, LocalCommand] = {
    "completion": LocalCommand(
        "nanoclaw.cli.completion", "bash|zsh|fish", "print the completion for a shell"
    ),
    "man": LocalCommand("nanoclaw.cli.manpage", "", "print this manual as a page for `man`"),
}
"""By the first word of what is typed."""
VIEWS = frozenset({"containers logs", "containers-logs", "logs", "search", "status", "top", "why"})
"""Commands of the host that are shown in a way of their own; by the first one or two words."""


def main(words: Sequence[str]) -> int:
    typed = parse_words(words)
    if typed.help:
        print_text(usage())
        return 0
    if typed.problem or not typed.command:
        problem = typed.problem or f"missing command\n{usage()}"
        return print_output(unanswered(INVALID_ARGS, f"ncl: {problem}", typed))
    try:
        return _run(typed)
    except NanoclawError as error:
        return print_output(unanswered(TRANSPORT_ERROR, f"ncl: {error}", typed))


def _run(typed: Typed) -> int:
    paths = HostPaths(_home(typed))
    local = LOCAL.get(typed.positionals[0])
    if local is not None:
        return int(cast(LocalModule, import_module(local.module)).run_local(typed, paths))
    if typed.positionals[0] in VIEWS or " ".join(typed.positionals[:2]) in VIEWS:
        from nanoclaw.cli import ncl_views

        return ncl_views.run_local(typed, paths)
    if is_destructive(typed) and not typed.yes:
        refusal = _ask_person(typed)
        if refusal is not None:
            return print_output(refusal)
    return print_output(ask_host(typed, paths))


def usage() -> str:
    lines = (f"  {f'ncl {name} {local.words}':<32} {local.help}" for name, local in LOCAL.items())
    return USAGE + "\n".join(lines) + "\n"


def ask_host(typed: Typed, paths: HostPaths) -> Output:
    """One question, and what is to be printed."""
    seconds = typed.seconds or usual_seconds(typed)
    try:
        answer = ask(paths.socket("ncl"), typed.command, typed.args, seconds, typed.positionals)
    except HostUnreachableError as error:
        if not typed.offline:
            return _unreachable(typed, paths, str(error))
        from nanoclaw.cli import ncl_offline

        request = Request("offline", typed.command, typed.args, typed.positionals)
        if not ncl_offline.can_answer(request):
            text = f"ncl: this needs the running host; {ncl_offline.ADVICE}"
            return unanswered(TRANSPORT_ERROR, text, typed)
        answer = ncl_offline.answer_offline(request, paths)
    except TransportError as error:
        return unanswered(TRANSPORT_ERROR, f"ncl: transport error: {error}", typed)
    return render(response_frame(answer), typed, read_look(wide=typed.wide))


def _unreachable(typed: Typed, paths: HostPaths, problem: str) -> Output:
    from nanoclaw.cli.ncl_unreachable import look_around, unreachable_text

    text = unreachable_text(look_around(paths, problem, Path.home()))
    return unanswered(TRANSPORT_ERROR, text, typed)


def _home(typed: Typed) -> Path:
    given = typed.home or os.environ.get("NANOCLAW_HOME", "")
    if given:
        return Path(given).expanduser().absolute()
    from nanoclaw.config import default_home  # costs as much as all the rest together

    return default_home({})


def _ask_person(typed: Typed) -> Output | None:
    """None: go on."""
    line = " ".join(typed.positionals)
    if not can_ask():
        text = f"ncl: `{line}` takes something away; without a terminal it needs --yes"
        return unanswered(INVALID_ARGS, text, typed)
    if confirmed(f"{line}: go on?"):
        return None
    return unanswered(INVALID_ARGS, "ncl: nothing was done", typed)

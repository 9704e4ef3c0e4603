"""Commands of the host that ``ncl`` shows in a way of their own: search, why, status, top, logs.

Loaded by ``ncl`` for these only. With ``--json``, ``--csv`` and ``--ids`` they are like any other
command. ``status`` works without a host: it then tells what the status file says.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import replace

from contract.display import safe_text
from contract.ncl_answer import UNANSWERED, Output, render
from contract.ncl_words import Typed
from contract.table import render_json
from nanoclaw.admin.client import HostUnreachableError, TransportError, ask
from nanoclaw.admin.frames import response_frame
from nanoclaw.cli.ncl_known import usual_seconds
from nanoclaw.cli.ncl_view_text import Row, last_states, search_note, search_text, why_text
from nanoclaw.cli.render import print_error, print_output
from nanoclaw.cli.terminal import read_look
from nanoclaw.paths import HostPaths

Frame = Mapping[str, object]


def run_local(typed: Typed, paths: HostPaths) -> int:
    typed = with_flags(typed)
    words = typed.positionals
    if "help" in typed.args or typed.args.keys() & {"dry-run", "dry_run"}:
        return plainly(typed, paths)
    if words[0] == "status":
        return _status(typed, paths)
    if words[0] == "top" or _is_logs(words):
        from nanoclaw.cli import ncl_live

        run = ncl_live.run_top if words[0] == "top" else ncl_live.run_logs
        return run(typed, paths)
    if words[0] == "search":
        return _search(typed, paths)
    return _why(typed, paths)


def _is_logs(words: tuple[str, ...]) -> bool:
    return words[0] in ("logs", "containers-logs") or words[:2] == ("containers", "logs")


def with_flags(typed: Typed) -> Typed:
    """``-f`` is ``--follow``, which takes no word from those behind it."""
    positionals = tuple(word for word in typed.positionals if word != "-f")
    args = dict(typed.args)
    if len(positionals) < len(typed.positionals):
        args["follow"] = True
    taken = args.get("follow")
    if isinstance(taken, str):
        positionals += (taken,)
        args["follow"] = True
    return replace(typed, positionals=positionals, command="-".join(positionals), args=args)


def asked(typed: Typed, paths: HostPaths) -> Frame:
    """Raises HostUnreachableError and TransportError."""
    seconds = typed.seconds or usual_seconds(typed)
    answer = ask(paths.socket("ncl"), typed.command, typed.args, seconds, typed.positionals)
    return response_frame(answer)


def plainly(typed: Typed, paths: HostPaths) -> int:
    """As every other command: also the way to say that nobody answers."""
    from nanoclaw.cli.ncl import ask_host

    return print_output(ask_host(typed, paths))


def data_of(typed: Typed, paths: HostPaths) -> Row | int:
    """The data, or the exit code once an error or a machine's form of it has been printed."""
    try:
        frame = asked(typed, paths)
    except (HostUnreachableError, TransportError):
        return plainly(typed, paths)
    data = frame.get("data")
    if typed.json or frame.get("ok") is not True or not isinstance(data, Mapping):
        return print_output(render(frame, typed, read_look(wide=typed.wide)))
    return data


def _search(typed: Typed, paths: HostPaths) -> int:
    data = data_of(typed, paths)
    if isinstance(data, int):
        return data
    look = read_look(wide=typed.wide)
    if typed.csv or typed.ids:
        frame = {"id": "", "ok": True, "data": data.get("results")}
        status = print_output(render(frame, typed, look))
    else:
        status = print_output(Output(search_text(data, look)))
    note = search_note(data)
    if note:
        print_error(note, program="ncl")
    return status


def _why(typed: Typed, paths: HostPaths) -> int:
    data = data_of(typed, paths)
    if isinstance(data, int):
        return data
    look = read_look(wide=typed.wide)
    if typed.csv or typed.ids:
        frame = {"id": "", "ok": True, "data": data.get("timeline")}
        return print_output(render(frame, typed, look))
    return print_output(Output(why_text(data, look)))


def _status(typed: Typed, paths: HostPaths) -> int:
    """The same as ``nanoclaw status``; without a host the last states of its processes too."""
    from nanoclaw.cli.render import render_host_view
    from nanoclaw.cli.status import read_host_view
    from nanoclaw.config import HostConfig

    view = read_host_view(HostConfig(paths.home))
    if typed.json:
        frame = {"id": "", "ok": True, "data": dataclasses.asdict(view)}
        return print_output(Output(render_json(frame), 0 if view.running else UNANSWERED))
    if typed.csv or typed.ids:
        return plainly(typed, paths)
    if view.running:
        return print_output(Output(safe_text(render_host_view(view), keep="\n")))
    children = [dataclasses.asdict(child) for child in view.host.children] if view.host else []
    states = last_states(children, read_look(wide=typed.wide))
    text = safe_text(render_host_view(view), keep="\n") + (f"\n\n{states}" if states else "")
    return print_output(Output(text, UNANSWERED))

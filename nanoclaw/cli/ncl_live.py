"""``ncl top`` and ``ncl logs -f``: what goes on until Ctrl-C, by asking again and again.

A host that restarts is waited for. Without a terminal ``top`` is one look, so that it can be kept.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from contract.display import safe_text
from contract.ncl_answer import INVALID_ARGS, REFUSED, Output, error_line, unanswered
from contract.ncl_words import Typed
from nanoclaw.admin.client import HostUnreachableError, TransportError
from nanoclaw.cli.ncl_view_text import Row, Screen, top_text
from nanoclaw.cli.ncl_views import asked, data_of
from nanoclaw.cli.render import print_error, print_output
from nanoclaw.cli.terminal import read_look
from nanoclaw.paths import HostPaths

TOP_SECONDS = 2.0
FOLLOW_SECONDS = 0.4
FIRST_LOOK_SECONDS = 0.3
MIN_SECONDS, MAX_SECONDS = 0.2, 3600.0

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""A screen of its own without a cursor, and back."""
_REDRAW, _TO_END = "\x1b[H", "\x1b[J"


# --- top ------------------------------------------------------------------------------------------


def run_top(typed: Typed, paths: HostPaths) -> int:
    seconds = _interval(typed)
    if seconds is None:
        text = f"ncl: --every is a number of seconds from {MIN_SECONDS} to {MAX_SECONDS:.0f}"
        return print_output(unanswered(INVALID_ARGS, text, typed))
    first = _look(typed, paths)
    if isinstance(first, int):
        return first
    if not sys.stdout.isatty():
        time.sleep(FIRST_LOOK_SECONDS)  # shares of the processor need two looks
        second = _look(typed, paths)
        data = second if not isinstance(second, int) else first
        look = read_look(wide=typed.wide)
        return print_output(Output(top_text(data, first, Screen(look))))
    with _own_screen(), suppress(KeyboardInterrupt):
        _redraw(typed, paths, first, seconds)
    return 0


def _redraw(typed: Typed, paths: HostPaths, first: Row, seconds: float) -> None:
    """Until Ctrl-C."""
    before: Row | None = None
    now, trouble = first, ""
    while True:
        rows = _rows() - 1 if trouble else _rows()
        shown = top_text(now, before, Screen(read_look(wide=typed.wide), rows))
        lines = [f"{line}\x1b[K" for line in ([trouble] if trouble else []) + shown.split("\n")]
        sys.stdout.write(_REDRAW + "\n".join(lines) + _TO_END)
        sys.stdout.flush()
        time.sleep(seconds)
        try:
            frame = asked(typed, paths)
            data, trouble = frame.get("data"), ""
        except (HostUnreachableError, TransportError) as error:
            data, trouble = None, safe_text(f"no answer: {error}")
        if isinstance(data, Mapping):
            before, now = now, _timed(data)


def _look(typed: Typed, paths: HostPaths) -> Row | int:
    data = data_of(typed, paths)
    return data if isinstance(data, int) else _timed(data)


def _timed(data: Row) -> Row:
    return {**data, "seconds": time.monotonic()}


def _interval(typed: Typed) -> float | None:
    given = typed.args.get("every", str(TOP_SECONDS))
    try:
        seconds = float(given) if isinstance(given, str) else 0.0
    except ValueError:
        return None
    return seconds if MIN_SECONDS <= seconds <= MAX_SECONDS else None


def _rows() -> int:
    try:
        return max(5, os.get_terminal_size(sys.stdout.fileno()).lines)
    except OSError:
        return 24


@contextmanager
def _own_screen() -> Iterator[None]:
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


# --- logs -----------------------------------------------------------------------------------------


def run_logs(typed: Typed, paths: HostPaths) -> int:
    follow = typed.args.get("follow") is True and not typed.json
    data = data_of(typed, paths)
    if isinstance(data, int):
        return data
    cursor = _print_lines(data)
    try:
        return _follow(typed, paths, cursor) if follow else 0
    except KeyboardInterrupt:
        return 0


def _follow(typed: Typed, paths: HostPaths, cursor: str) -> int:
    """Goes on where it was, also when the host has been away; ends when it refuses."""
    away = False
    while True:
        time.sleep(FOLLOW_SECONDS)
        going_on = replace(typed, args={**typed.args, "cursor": cursor} if cursor else typed.args)
        try:
            frame = asked(going_on, paths)
        except (HostUnreachableError, TransportError) as error:
            if not away:
                print_error(f"no answer, waiting for the host: {error}", program="ncl")
            away = True
            continue
        away = False
        data = frame.get("data")
        if not isinstance(data, Mapping):
            refusal = frame.get("error")
            fields = refusal if isinstance(refusal, Mapping) else {}
            text = error_line(str(fields.get("code")), str(fields.get("message")))
            return print_output(Output(text, REFUSED, to_stderr=True))
        cursor = _print_lines(data) or cursor


def _print_lines(data: Row) -> str:
    """Where to go on."""
    lines = data.get("lines")
    shown = [safe_text(str(line), keep="\t") for line in lines] if isinstance(lines, list) else []
    if shown:
        print_output(Output("\n".join(shown)))
    return str(data.get("cursor") or "")

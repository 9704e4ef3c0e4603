"""What the person at the terminal sees: wrapped text, one progress line, one line per result.

Written to by ``wizard`` only. Without a terminal, on a dumb one and with NO_COLOR it uses no
escape sequence; the width is asked for at every line, because windows are resized.
"""

import json
import os
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from setup.report import elapsed_text, without_controls

FALLBACK_COLUMNS = 80
MIN_COLUMNS = 30
PLAIN_EVERY_SECONDS = 15.0
"""How often a long step says that it still works where no line can be redrawn."""


@dataclass(frozen=True, slots=True)
class Look:
    """``plain``: no cursor control, so also line prompts."""

    interactive: bool
    plain: bool
    json: bool = False


def read_look(environment: Mapping[str, str], *, as_json: bool) -> Look:
    """NO_COLOR with any value that is not empty counts (no-color.org)."""
    is_terminal = sys.stdout.isatty()
    dumb = environment.get("TERM", "") in ("", "dumb") or bool(environment.get("NO_COLOR"))
    letters = (sys.stdout.encoding or "").lower().startswith("utf")
    return Look(
        interactive=is_terminal and sys.stdin.isatty() and not as_json,
        plain=dumb or not is_terminal or not letters,
        json=as_json,
    )


class Screen:
    """All output of a run. With JSON, text for people is left out."""

    def __init__(self, look: Look, out: TextIO | None = None) -> None:
        self.look = look
        self._out = sys.stdout if out is None else out
        self._drawn = False
        self._next_plain = PLAIN_EVERY_SECONDS

    @property
    def columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._out.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return max(MIN_COLUMNS, columns or FALLBACK_COLUMNS)

    def text(self, text: str = "", *, indent: str = "") -> None:
        """Wrapped; a command or address longer than a line stays in one piece."""
        if self.look.json:
            return
        self._clear()
        for line in text.split("\n"):
            wrapped = textwrap.wrap(
                without_controls(line), min(self.columns, 100) - 1, initial_indent=indent,
                subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
            self._write("\n".join(wrapped or [""]) + "\n")

    def begin_step(self, title: str) -> None:
        self._next_plain = PLAIN_EVERY_SECONDS
        if self.look.plain:
            self.text(f"{title} ...")

    def progress(self, label: str, seconds: float, limit: float) -> None:
        """The one line that is redrawn; where none can be, a line now and then."""
        if self.look.json:
            return
        suffix = f" ({elapsed_text(seconds)} of at most {elapsed_text(limit)}, Ctrl-C stops)"
        label = without_controls(label).replace("\n", " ")
        if not self.look.plain:
            room = self.columns - 1 - len(suffix)
            cut = label if len(label) <= room else label[: max(0, room - 3)] + "..."
            self._write("\r\x1b[K" + (cut + suffix)[: self.columns - 1])
            self._drawn = True
        elif seconds >= self._next_plain:
            self._next_plain += PLAIN_EVERY_SECONDS
            self.text(f"  still working: {label}{suffix}")

    def result(self, mark: str, text: str, seconds: float | None = None) -> None:
        took = f" ({elapsed_text(seconds)})" if seconds is not None and seconds >= 1 else ""
        self.text(f"[{mark}] {text}{took}")

    def line_of_json(self, value: Mapping[str, object]) -> None:
        if self.look.json:
            self._write(json.dumps(value, ensure_ascii=True) + "\n")

    def block(self, block: str) -> None:
        """A status block, as it is."""
        self._write(block)

    def _clear(self) -> None:
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._out.flush()

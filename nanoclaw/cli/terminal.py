"""What the terminal can show: width, colours, letters; and the one question that ``ncl`` asks.

Used by ``ncl`` and ``chat``. Reads the environment; small, because every ``ncl`` call imports it.
"""

import os
import sys

from contract.table import Look

_YES = ("y", "yes")


def colours_wanted(*, is_terminal: bool) -> bool:
    """Never with NO_COLOR, whatever its value (no-color.org), nor on a dumb terminal."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"


def read_look(*, wide: bool) -> Look:
    """How tables look on standard output; for a file or a pipe nothing is cut."""
    is_terminal = sys.stdout.isatty()
    return Look(
        cells=_cells() if is_terminal and not wide else None,
        coloured=colours_wanted(is_terminal=is_terminal),
        plain=not (sys.stdout.encoding or "").lower().startswith("utf"),
    )


def _cells() -> int | None:
    """COLUMNS before what the terminal says, as everywhere; None: it does not say."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


def can_ask() -> bool:
    """Whether a person sits there: never asked otherwise, or a script would wait for ever."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(question: str) -> bool:
    """Only a yes is one."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in _YES

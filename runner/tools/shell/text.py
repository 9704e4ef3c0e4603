"""Makes a command's output fit for a model: bounded, without colours and progress bars. Pure.

Every step is linear in the length of the output, whatever it holds: the output is a stranger's.
"""

import re
from dataclasses import dataclass

HEAD_CHARACTERS = 10_000
TAIL_CHARACTERS = 20_000
MAX_CHARACTERS = HEAD_CHARACTERS + TAIL_CHARACTERS

_ANSI = re.compile(
    r"\x1b(?:"
    r"\[[0-?]{0,100}[ -/]{0,10}[@-~]"  # colours, cursor movements
    r"|[\]P_^X][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)"  # titles, links
    r"|[ -/]{1,3}[0-~]"  # character sets
    r"|[0-~])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Of an output of ``size`` bytes: ``head`` is all of it when ``tail`` is None."""

    head: bytes
    tail: bytes | None
    size: int


def clean(data: bytes) -> str:
    """Text as a terminal would show it in the end; bytes that are no text are marked."""
    text = _ANSI.sub("", data.decode("utf-8", "replace"))
    if "\r" in text:
        text = "\n".join(_rewritten(line) for line in text.split("\n"))
    return _CONTROL.sub("", text)


def shortened(excerpt: Excerpt, where: str) -> str:
    """At most MAX_CHARACTERS and a line that tells what was left out; ``where`` is the whole."""
    first = clean(excerpt.head)
    if excerpt.tail is None:
        if len(first) <= MAX_CHARACTERS:
            return first.rstrip("\n")
        last, left_out = first[-TAIL_CHARACTERS:], f"{len(first) - MAX_CHARACTERS} characters"
    else:
        last = clean(excerpt.tail)[-TAIL_CHARACTERS:]
        shown = len((first[:HEAD_CHARACTERS] + last).encode())
        left_out = f"{max(excerpt.size - shown, 0)} of {excerpt.size} bytes"
    note = f"\n\n[... {left_out} left out here; the whole output is in {where} ...]\n\n"
    return first[:HEAD_CHARACTERS] + note + last.rstrip("\n")


def whole_characters(data: bytes) -> int:
    """How many bytes to take now when more may follow: not the beginning of a character."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if wanted > back else len(data)
    return len(data)


def _rewritten(line: str) -> str:
    """What is left of a line that went back to its beginning, as progress bars do."""
    return line.rstrip("\r").rpartition("\r")[2]

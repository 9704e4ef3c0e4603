"""Makes a command's output fit for a model: bounded, without colours and progress bars. Pure."""

import re

HEAD_CHARACTERS = 10_000
TAIL_CHARACTERS = 20_000

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_REWRITTEN = re.compile(r"[^\n]*\r(?=[^\n\r])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean(data: bytes) -> str:
    """Text as a terminal would show it in the end; bytes that are no text are marked."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return _CONTROL.sub("", _REWRITTEN.sub("", _ANSI.sub("", text)).replace("\r", ""))


def shortened(head: bytes, tail: bytes | None, size: int, where: str) -> str:
    """``head`` is all of it when ``tail`` is None; ``where`` says where the whole output is."""
    first = clean(head)
    if tail is None:
        if len(first) <= HEAD_CHARACTERS + TAIL_CHARACTERS:
            return first.rstrip("\n")
        last = first[-TAIL_CHARACTERS:]
    else:
        last = clean(tail)[-TAIL_CHARACTERS:]
    note = (
        f"\n\n[... of {size} bytes only the beginning and the end are shown; all: {where} ...]\n\n"
    )
    return first[:HEAD_CHARACTERS] + note + last.rstrip("\n")

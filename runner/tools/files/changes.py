"""Changes to a text, and what of the result is shown. Pure."""

from dataclasses import dataclass

from runner.tools.files.opening import FileProblemError

AROUND = 3
MAX_SHOWN_LINES = 60


@dataclass(frozen=True, slots=True)
class Change:
    """``shown`` is the changed region with line numbers."""

    text: str
    shown: str


def edited(text: str, old: str, new: str, *, everywhere: bool) -> Change:
    """Raises FileProblemError unless ``old`` occurs as often as it must."""
    if not old:
        raise FileProblemError("old_text is empty")
    if "\r\n" in text and "\r\n" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    if old == new:
        raise FileProblemError("old_text and new_text are the same")
    count = text.count(old)
    if count == 0:
        raise FileProblemError("old_text does not occur in the file; read it again")
    if count > 1 and not everywhere:
        lines = ", ".join(str(line) for line in _lines_of(text, old)[:20])
        raise FileProblemError(
            f"old_text occurs {count} times (lines {lines}); give more of the text around it, "
            "or set replace_all"
        )
    first = text.index(old)
    result = text.replace(old, new)
    return Change(result, _region(result, first, first + len(new)))


def inserted(text: str, line: int, new: str) -> Change:
    """After that line; 0 is the top. Raises FileProblemError."""
    lines = text.splitlines(keepends=True)
    if line > len(lines):
        raise FileProblemError(f"the file has only {len(lines)} lines")
    ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    block = new if new.endswith("\n") or line == len(lines) else new + ending
    before = "".join(lines[:line])
    if before and not before.endswith("\n"):
        before += ending
    result = before + block + "".join(lines[line:])
    return Change(result, _region(result, len(before), len(before) + len(block)))


def _lines_of(text: str, part: str) -> list[int]:
    found: list[int] = []
    start = text.find(part)
    while start >= 0:
        found.append(text.count("\n", 0, start) + 1)
        start = text.find(part, start + len(part))
    return found


def _region(text: str, start: int, end: int) -> str:
    lines = text.splitlines()
    first = max(text.count("\n", 0, start) - AROUND, 0)
    last = min(text.count("\n", 0, end) + AROUND + 1, len(lines), first + MAX_SHOWN_LINES)
    return "\n".join(f"{n + 1:>6}\t{lines[n][:300]}" for n in range(first, last))

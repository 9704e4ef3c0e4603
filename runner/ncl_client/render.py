"""A response frame as text, and what the command's exit status is (R-183, R-184). Pure.

Standard library only and nothing of the runner: the command starts once per call, and a
model waits for it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

DONE, REFUSED, UNANSWERED = 0, 1, 2
"""Exit status: carried out; the host said no; nobody could be asked, or nothing was asked."""


@dataclass(frozen=True, slots=True)
class Output:
    """``to_stderr``: an error in words."""

    text: str
    status: int = DONE
    to_stderr: bool = False


def render(frame: Mapping[str, object], *, as_json: bool) -> Output:
    """What is printed for a frame; one that is no answer counts as a transport error."""
    done = frame.get("ok") is True
    if as_json:
        return Output(_indented(frame), DONE if done else REFUSED)
    if done:
        return Output(_data(frame.get("data")))
    error = frame.get("error")
    fields = error if isinstance(error, Mapping) else {}
    code = str(fields.get("code") or "transport-error")
    message = str(fields.get("message") or "the answer is neither data nor an error")
    return Output(f"error ({code}): {message}", REFUSED, to_stderr=True)


def _data(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if value == []:
        return "(no rows)"
    rows = value if isinstance(value, list) else []
    if rows and all(_is_flat(row) for row in rows):
        return _table([dict(row) for row in rows])
    return _indented(value)


def _is_flat(row: object) -> bool:
    return (
        isinstance(row, Mapping)
        and bool(row)
        and not any(isinstance(cell, Mapping | list) for cell in row.values())
    )


def _table(rows: list[dict[str, object]]) -> str:
    """The first row's keys are the columns."""
    names = list(rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split("\n"))


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

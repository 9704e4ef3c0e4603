"""Answers of ``ncl`` as text: tables, JSON, CSV, ids. Pure; the same on host and in container.

Called by ``contract/ncl_answer``. What is a table and what is JSON is decided by the shape of the
data alone (N-105, N-106); only the width of the terminal shortens anything, and never an id.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contract.display import cut, display_width, pad, safe_text

GAP = "  "
SMALLEST_CELLS = 8
"""A column is not cut below this; where that does not fit, rows become blocks of lines."""
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


ID_COLUMNS = ("id", "message_id")
FIRST_IDS = ("channel_type", "scope", "seq")
"""Names that make a first column an id, besides those that end so."""


class NoRowsError(Exception):
    """The answer is nothing that has rows."""


class NoIdsError(Exception):
    """The rows have no name of their own."""


@dataclass(frozen=True, slots=True)
class Look:
    """``cells``: width of the terminal; None: as wide as the data. ``plain``: only letters of
    ASCII for what the formatter itself draws."""

    cells: int | None = None
    coloured: bool = False
    plain: bool = False


def render_data(value: object, look: Look) -> str:
    """N-105, for people. No newline at the end."""
    if value is None:
        return ""
    if isinstance(value, str):
        return safe_text(value.replace("\r\n", "\n"), keep="\n\t")
    if value == []:
        return "(no rows)"
    rows = flat_rows(value)
    return render_json(value) if rows is None else render_rows(rows, look)


def render_json(value: object) -> str:
    """Indented, with letters as they are; what a terminal would obey is escaped as JSON does."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        letter if letter == "\n" or safe_text(letter) == letter else _json_escape(letter)
        for letter in text
    )


def _json_escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else json.dumps(letter)[1:-1]


def flat_rows(value: object) -> list[dict[str, object]] | None:
    """A list of objects without lists and objects in them; None for everything else."""
    if not isinstance(value, list) or not value:
        return None
    rows: list[dict[str, object]] = []
    for row in value:
        if not isinstance(row, Mapping) or not row or _has_depth(row):
            return None
        rows.append({str(key): cell for key, cell in row.items()})
    return rows


def _has_depth(row: Mapping[object, object]) -> bool:
    return any(isinstance(cell, Mapping | list) for cell in row.values())


def render_rows(rows: Sequence[Mapping[str, object]], look: Look) -> str:
    """The first row's keys are the columns (N-106)."""
    names = list(rows[0])
    head = [safe_text(name) for name in names]
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [
        max(display_width(text) for text in column) for column in zip(head, *cells, strict=True)
    ]
    fitting = widths if look.cells is None else _fit(widths, id_position(names) or 0, look.cells)
    if fitting is None:
        return _blocks(head, cells, look)
    mark = "~" if look.plain else "…"
    rule = ["-" * width if look.plain else "─" * width for width in fitting]
    lines = [_coloured(_line(head, fitting, mark), _BOLD, look)]
    lines.append(_coloured(GAP.join(rule), _DIM, look))
    lines += [_line(row, fitting, mark) for row in cells]
    return "\n".join(lines)


def _line(texts: Sequence[str], widths: Sequence[int], mark: str) -> str:
    shown = (pad(cut(text, width, mark), width) for text, width in zip(texts, widths, strict=True))
    return GAP.join(shown).rstrip()


def _fit(widths: Sequence[int], kept: int, cells: int) -> list[int] | None:
    """The widest columns lose first, all but the one at ``kept``. None: it does not fit."""
    room = cells - len(GAP) * (len(widths) - 1)
    if sum(widths) <= room:
        return list(widths)

    def limited(limit: int) -> list[int]:
        return [
            width if position == kept else min(width, limit)
            for position, width in enumerate(widths)
        ]

    if sum(limited(SMALLEST_CELLS)) > room:
        return None
    low, high = SMALLEST_CELLS, max(widths)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(limited(middle)) <= room else (low, middle - 1)
    return limited(low)


def _blocks(head: Sequence[str], cells: Sequence[Sequence[str]], look: Look) -> str:
    """A line per cell and an empty one between rows: nothing is cut."""
    width = max(display_width(name) for name in head)
    return "\n\n".join(
        "\n".join(
            f"{_coloured(pad(name, width), _BOLD, look)}{GAP}{text}".rstrip()
            for name, text in zip(head, row, strict=True)
        )
        for row in cells
    )


def _coloured(text: str, colour: str, look: Look) -> str:
    return f"{colour}{text}{_RESET}" if look.coloured else text


def _cell(value: object) -> str:
    text = _scalar(value)
    return safe_text(text if text.isprintable() else " ".join(text.split("\n")))


def _scalar(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def id_position(names: Sequence[str]) -> int | None:
    """Of the column that names a row: an id of its own, else the first if it is one (N-35)."""
    for name in ID_COLUMNS:
        if name in names:
            return names.index(name)
    return 0 if names and (names[0].endswith("_id") or names[0] in FIRST_IDS) else None


def render_ids(value: object) -> str:
    """One id per line. Raises NoRowsError and NoIdsError."""
    return "\n".join(_id_of(row) for row in _any_rows(value))


def _id_of(row: Mapping[str, object]) -> str:
    names = list(row)
    position = id_position(names)
    if position is None:
        raise NoIdsError
    return _cell(row[names[position]])


def render_csv(value: object) -> str:
    """With a head, and with JSON where a cell has depth. Raises NoRowsError."""
    rows = _any_rows(value)
    if not rows:
        return ""
    names = list(rows[0])
    lines = [_csv_line(names, str)]
    lines += [_csv_line([row.get(name) for name in names], _scalar) for row in rows]
    return "\n".join(lines)


def _csv_line(cells: Sequence[object], show: Callable[[object], str]) -> str:
    texts = (safe_text(show(cell), keep="\n\t") for cell in cells)
    return ",".join(
        '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text
        for text in texts
    )


def _any_rows(value: object) -> list[dict[str, object]]:
    """Rows, also deep ones; one object is one row."""
    rows: list[dict[str, object]] = []
    for row in value if isinstance(value, list) else [value]:
        if not isinstance(row, Mapping) or not row:
            raise NoRowsError
        rows.append({str(key): cell for key, cell in row.items()})
    return rows

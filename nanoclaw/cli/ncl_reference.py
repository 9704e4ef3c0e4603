"""The command reference in ``docs/ncl.md``, made from the registry. Pure.

Called by the test that holds the page to it; the part between MARKS is replaced, the rest of the
page is written by hand.
"""

from collections.abc import Iterator

from nanoclaw.cli.manpage import ENVIRONMENT, EXIT_CODES
from nanoclaw.cli.ncl_outline import (
    CLIENT_OPTIONS,
    DRY_RUN,
    Line,
    Outline,
    Section,
    flag_text,
    notes,
)

MARKS = ("<!-- commands -->", "<!-- end of commands -->")


def with_reference(page: str, outline: Outline) -> str:
    """The page with the reference in place. Raises ValueError when the marks are missing."""
    head, first, rest = page.partition(MARKS[0])
    _, last, tail = rest.partition(MARKS[1])
    if not first or not last:
        raise ValueError(f"the page needs the marks {MARKS[0]} and {MARKS[1]}")
    return f"{head}{first}\n\n{render_reference(outline)}\n\n{last}{tail}"


def render_reference(outline: Outline) -> str:
    options = [(item.shown, item.help) for item in CLIENT_OPTIONS]
    parts = ["## Options of every command", "", *_table(("option", "what it does"), options)]
    parts += ["", f"Commands that change something also take `{DRY_RUN.flag}`: {DRY_RUN.help}."]
    parts += ["", "## Exit status", "", *_table(("status", "meaning"), list(EXIT_CODES))]
    parts += ["", "## Environment", "", *_table(("variable", "meaning"), list(ENVIRONMENT))]
    parts += ["", "## General commands", ""]
    parts += [part for line in outline.general for part in _command(line)]
    for section in outline.sections:
        parts += _resource(section)
    return "\n".join(parts).rstrip()


def _resource(section: Section) -> Iterator[str]:
    yield from (f"## `{section.plural}`", "", _sentence(section.description), "")
    columns = ", ".join(f"`{column.name}`" for column in section.columns)
    if columns:
        yield from (f"Fields: {columns}.", "")
    for line in section.lines:
        if line.words[-1] != "help":
            yield from _command(line)


def _command(line: Line) -> Iterator[str]:
    more = line.for_agents or ("" if line.access else "Needs no host.")
    yield from (f"### `ncl {line.shown}`", "", f"{_sentence(line.help)} {more}".rstrip(), "")
    if line.arguments:
        rows = [(flag_text(spec), f"{spec.help} {notes(spec)}".strip()) for spec in line.arguments]
        yield from (*_table(("flag", "meaning"), rows), "")
    if line.examples:
        yield from ("```", *line.examples, "```", "")


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |"
    yield "|---|---|"
    for name, text in rows:
        yield f"| `{_cell(name)}` | {_cell(text)} |".replace("  |", " |")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

"""``ncl man``: the manual page of ``ncl``, made from the registry; ``docs/ncl.1`` is its copy.

Written for ``man``: requests of the -man macros and nothing else. Pure but for printing.
"""

from collections.abc import Iterator

from contract.ncl_words import Typed
from nanoclaw.cli.ncl_outline import (
    CLIENT_OPTIONS,
    DRY_RUN,
    Line,
    Outline,
    Section,
    flag_text,
    notes,
    read_outline,
)
from nanoclaw.cli.render import print_text
from nanoclaw.paths import HostPaths
from nanoclaw.version import VERSION

EXIT_CODES = (
    ("0", "The host did what was asked."),
    ("1", "The host refused, or somebody has to approve first; the reason is on standard error."),
    ("2", "Nothing was asked or nobody answered: a wrong line, no host, no answer in time."),
    ("130", "Interrupted from the keyboard."),
)
ENVIRONMENT = (
    ("NANOCLAW_HOME", "Folder of the installation; --home goes before it."),
    ("NO_COLOR", "When set, nothing is coloured."),
    ("COLUMNS", "Width of tables, instead of the terminal's own."),
)
FILES = (
    ("run/ncl.sock", "Below the home; the running host listens there, for its own user only."),
    ("data/v2.db", "Below the home; what --offline reads."),
)


def run_local(typed: Typed, paths: HostPaths) -> int:
    print_text(render_page(read_outline()))
    return 0


def render_page(outline: Outline) -> str:
    parts = [
        f'.TH NCL 1 "" "nanoclaw {VERSION}" "User Commands"',
        ".SH NAME",
        "ncl \\- administer a running nanoclaw",
        ".SH SYNOPSIS",
        *_synopsis(),
        ".SH DESCRIPTION",
        *_description(),
        ".SH OPTIONS",
        *(part for option in CLIENT_OPTIONS for part in _tagged(option.shown, option.help)),
        *_tagged(DRY_RUN.flag, DRY_RUN.help + " (every command that changes something)"),
        ".SH GENERAL COMMANDS",
        *(part for line in outline.general for part in _command(line)),
    ]
    for section in outline.sections:
        parts += _resource(section)
    for title, rows in (
        ("EXIT STATUS", EXIT_CODES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
    ):
        parts.append(f".SH {title}")
        parts += [part for name, text in rows for part in _tagged(name, text)]
    return "\n".join(parts) + "\n"


def _synopsis() -> list[str]:
    return [
        ".B ncl",
        ".I resource verb",
        "[\\fIid\\fR] [\\fB\\-\\-key\\fR \\fIvalue\\fR | \\fB\\-\\-flag\\fR]...",
        "[\\fB\\-\\-json\\fR | \\fB\\-\\-csv\\fR | \\fB\\-\\-ids\\fR]",
    ]


def _description() -> list[str]:
    paragraphs = (
        "Asks the running host to show or to change what it knows: agent groups, chats, wirings, "
        "users, sessions, tasks and the rest. Verbs of several words may be written with blanks "
        "or with dashes.",
        "A flag takes the following word unless that begins with two dashes; --key=value always "
        "works, --no-flag is the opposite of --flag, and two dashes alone end the flags.",
        "Data goes to standard output, everything else to standard error. On a terminal, tables "
        "are cut to its width, ids are not. What takes something away is confirmed by a person "
        "at a terminal, or by --yes.",
    )
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += [".PP", _text(paragraph)]
    return lines


def _resource(section: Section) -> Iterator[str]:
    yield f".SH {_text(section.plural.upper())}"
    yield _text(section.description)
    for line in section.lines:
        if line.words[-1] != "help":
            yield from _command(line)


def _command(line: Line) -> Iterator[str]:
    yield ".TP"
    yield f".B ncl {_text(line.shown)}"
    yield _text(f"{line.help}. {line.for_agents}" if line.for_agents else line.help) or "\\&"
    if line.arguments or line.mutating:
        yield ".RS"
        for spec in line.arguments:
            yield from _tagged(flag_text(spec), f"{spec.help} {notes(spec)}".strip())
        if line.mutating:
            yield from _tagged(DRY_RUN.flag, DRY_RUN.help)
        yield ".RE"
    for example in line.examples:
        yield ".IP"
        yield f"Example: \\fB{_text(example)}\\fR"


def _tagged(tag: str, text: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_text(tag)}"
    yield _text(text) or "\\&"


def _text(text: str) -> str:
    """Letters that roff would read as its own, and a line that would begin with a request."""
    quoted = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    quoted = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in quoted)
    return "\\&" + quoted if quoted.startswith((".", "'")) else quoted

"""The manual page and the reference are what the registry says."""

from pathlib import Path

import pytest
from helpers.golden import check_golden

from contract.ncl_words import SWITCHES, VALUED
from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.frames import ErrorCode
from nanoclaw.admin.registry import Access, ArgumentSpec, Kind, Operation, Registry, ResourceSpec
from nanoclaw.cli.manpage import render_page
from nanoclaw.cli.ncl import LOCAL, usage
from nanoclaw.cli.ncl_outline import CLIENT_OPTIONS, read_outline
from nanoclaw.cli.ncl_reference import render_reference, with_reference

DOCS = Path(__file__).resolve().parents[4] / "docs"

THINGS = ResourceSpec(
    "thing",
    "things",
    "id",
    "what there is",
    (),
    (
        Operation("forget it", Access.HIDDEN, "not shown", lambda *_: None),
        Operation(
            "paint",
            Access.APPROVAL,
            ".paint it 'blue' \\ \"red\" — or not",
            lambda *_: None,
            (
                ArgumentSpec("id", positional=True, required=True),
                ArgumentSpec("colour", "which", choices=("a|b", "c"), default="c"),
                ArgumentSpec("wet", "", Kind.FLAG, host_only=True),
            ),
            mutating=True,
            examples=("ncl things paint t-1 --colour c",),
        ),
        Operation("list", Access.OPEN, "", lambda *_: None),
    ),
)
SMALL = Registry((THINGS,), (Operation("help", Access.OPEN, "show it", lambda *_: None),))


def test_manual_page_is_current(request: pytest.FixtureRequest) -> None:
    check_golden(request, DOCS / "ncl.1", render_page(read_outline()))


def test_reference_is_current(request: pytest.FixtureRequest) -> None:
    page = DOCS / "ncl.md"

    check_golden(request, page, with_reference(page.read_text(), read_outline()))


def test_conventions_name_every_code_and_option() -> None:
    text = (DOCS / "ncl.md").read_text().partition("<!-- commands -->")[0]

    assert not [code for code in ErrorCode if f"`{code}`" not in text]
    assert not [option for option in SWITCHES if f"--{option}" not in text]


def test_options_of_the_client_are_those_of_its_grammar() -> None:
    known = {f"--{name}" for name in SWITCHES | VALUED | {"help"}}

    assert {option.flag for option in CLIENT_OPTIONS} == known
    assert not [flag for flag in known - {"--help"} if flag not in usage()]
    assert not [name for name in LOCAL if f"ncl {name}" not in usage()]


def test_every_command_of_the_registry_is_in_both_pages() -> None:
    outline = read_outline()
    page, reference = render_page(outline), render_reference(outline)

    for command in host_registry():
        if command.operation.verb.split()[-1] != "help" and command.name not in LOCAL:
            assert f".B ncl {command.words}".replace("-", "\\-") in page
            assert f"### `ncl {command.words}" in reference


def test_standard_verbs_come_first_and_hidden_ones_never() -> None:
    (section,) = read_outline(SMALL).sections

    assert [line.words for line in section.lines] == [("things", "list"), ("things", "paint")]
    assert [line.shown for line in section.lines] == ["things list", "things paint <id>"]


def test_manual_page_escapes_what_roff_would_read() -> None:
    page = render_page(read_outline(SMALL))

    assert "\\&.paint it 'blue' \\e \\(dqred\\(dq \\[u2014] or not. Agents need" in page
    assert ".B \\-\\-colour <string>\nwhich (default: c, values: a|b | c)" in page
    assert "Example: \\fBncl things paint t\\-1 \\-\\-colour c\\fR" in page
    assert page.isascii()
    assert "\n\n" not in page


def test_reference_escapes_what_markdown_would_read() -> None:
    text = render_reference(read_outline(SMALL))

    assert "| `--colour <string>` | which (default: c, values: a\\|b \\| c) |" in text
    assert "Agents need an approval." in text
    assert "Needs no host." in text


def test_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the marks"):
        with_reference("no marks", read_outline(SMALL))

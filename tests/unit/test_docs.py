"""What the documentation names exists, and what exists is named where users look for it."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoclaw.cli.commands import build_parser
from nanoclaw.config import SETTINGS
from nanoclaw.daemon import CHILDREN

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCE_PATH = re.compile(
    r"`((?:contract|nanoclaw|runner|setup|migrate|tests|docs|tools|lock)/[\w./-]*)`"
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MAX_README_LINES = 150


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def words_of(parser: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    """All commands, with the commands below them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield f"{before}{name}"
                yield from words_of(below, f"{before}{name} ")


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_source_file_that_is_named_exists(document: Path) -> None:
    named = set(SOURCE_PATH.findall(document.read_text()))

    assert not {name for name in named if not (ROOT / name).exists()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = {target for target in LINK.findall(document.read_text()) if "://" not in target}

    assert not {target for target in targets if not (document.parent / target).exists()}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < MAX_README_LINES


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"^make ([\w-]+)|`make ([\w-]+)", document.read_text(), re.M)
        for target in target
        if target
    }

    assert named <= targets


def test_every_setting_is_in_the_operations_page() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()

    for setting in SETTINGS:
        assert f"| `{setting.key}` | `{setting.variable}` |" in text


def test_every_command_is_shown_to_users() -> None:
    text = "".join((ROOT / name).read_text() for name in ("README.md", "docs/operations.md"))

    missing = [words for words in words_of(build_parser()) if f"nanoclaw {words}" not in text]

    assert not [words for words in missing if not any(m.startswith(f"{words} ") for m in missing)]


def test_every_process_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()

    for child in CHILDREN:
        assert f"| {child.name.partition(':')[0]} | `nanoclaw/process/" in text


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    folder = ROOT / "docs" / "adr"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    index = (folder / "README.md").read_text()

    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    assert not [name for name in records if f"({name})" not in index]

"""Every command of ``ncl`` that a text, a comment or a page names is one that there is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanoclaw.admin.commands import host_registry
from nanoclaw.admin.frames import Request
from nanoclaw.admin.lookup import find
from nanoclaw.admin.problems import CommandError
from nanoclaw.cli.ncl import LOCAL

ROOT = Path(__file__).parents[4]
PROGRAMS = ("nanoclaw", "runner", "contract", "tools")
ANY = "{}"
"""Stands for what is only known later."""
QUOTED = re.compile(r"`ncl\s+([^`]+)`")
LINE = re.compile(r"^\s*(?:[$!#] )?ncl ([a-z-].*)$", re.MULTILINE)
WORD = re.compile(r"[a-z][a-z-]*")


def texts_of(file: Path) -> Iterator[str]:
    """String literals of a program, docstrings included; f-strings with gaps; whole pages."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else ANY for part in node.values)
            yield "".join(str(part) for part in parts)


def files() -> list[Path]:
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "runner").rglob("*.md"), ROOT / "README.md"]
    return [*(path for name in PROGRAMS for path in (ROOT / name).rglob("*.py")), *pages]


def named(text: str) -> Iterator[str]:
    yield from (found[1] for found in QUOTED.finditer(text))
    yield from (found[1] for found in LINE.finditer(text))


def words_of(line: str) -> list[str]:
    """Up to the first flag or value; flags before the command are left out."""
    words = line.split()
    while words and words[0].startswith("--"):
        words.pop(0)
    found: list[str] = []
    for word in words:
        if WORD.fullmatch(word) is None:
            break
        found.append(word)
    return found


def is_known(words: list[str]) -> bool:
    """As the host finds it; one more word may be a value."""
    if not words or words[0] in LOCAL or words == ["help"]:
        return True
    registry = host_registry()
    if registry.resource(words[0]) is not None and len(words) == 1:
        return True
    try:
        find(registry, Request("1", "-".join(words), {}, tuple(words)), lambda _: True)
    except CommandError:
        return False
    return True


def test_every_command_that_is_named_exists() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: ncl {' '.join(words)}"
        for file in files()
        for text in texts_of(file)
        for words in map(words_of, named(text))
        if not is_known(words)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("see `ncl deliveries retry`, then", ["deliveries", "retry"]),
        ("$ ncl groups list --json\n", ["groups", "list"]),
        ("`ncl --offline tasks show {}`", ["tasks", "show"]),
    ],
)
def test_named_commands_are_found_in_texts(text: str, words: list[str]) -> None:
    assert [words_of(line) for line in named(text)] == [words]


def test_command_that_is_none_is_noticed() -> None:
    assert not is_known(["deliveries", "retry"])
    assert is_known(["messages", "retry"])
    assert is_known(["groups", "config", "get"])

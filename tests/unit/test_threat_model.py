"""The threat model names tests that exist, and every attack in a real container is in it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text()
ATTACKS = "tests/docker/test_attacks.py"
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
DEFINED = re.findall(r"^- \*\*(I-\d+)\*\*", TEXT, re.MULTILINE)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| attack |")
]


@cache
def functions_of(name: str) -> list[str]:
    tree = ast.parse((ROOT / name).read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [function for function in functions if function.startswith("test_")]


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_exists(file: str) -> None:
    named = {name for other, name in NAMED if other == file}

    assert named - set(functions_of(file)) == set()


def test_every_attack_in_a_container_is_in_the_table() -> None:
    named = {name for file, name in NAMED if file == ATTACKS}

    assert functions_of(ATTACKS)
    assert set(functions_of(ATTACKS)) - named == set()


def test_every_row_has_an_invariant_a_refusal_and_a_test() -> None:
    assert len(ROWS) > 50
    for row in ROWS:
        attack, invariant, refusal, tests = row
        assert attack
        assert refusal
        assert invariant in DEFINED, row
        assert tests.startswith("`tests/"), row


def test_invariants_are_numbered_without_gaps_and_each_is_attacked() -> None:
    assert [f"I-{number}" for number in range(1, len(DEFINED) + 1)] == DEFINED
    assert {row[1] for row in ROWS} == set(DEFINED)


def test_no_name_of_a_test_is_written_so_that_it_is_overlooked() -> None:
    assert len(TEXT.split("::test_")) - 1 == len(re.findall(r"`tests/[\w/]+\.py::\w+`", TEXT))

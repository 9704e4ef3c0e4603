"""Every acceptance scenario and every known weakness has a test that shows it.

Read from the source: scenario T-n of the host is a test function ``test_t<n>_...``, one of ``ncl``
is ``test_scenario_<n>_...``, and docs/weaknesses.md names at least one existing test for each
weakness of the earlier program.
"""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = range(1, 77)
NCL_SCENARIOS = range(1, 68)
WEAKNESSES = range(1, 63)
ROW = re.compile(r"^\| W-(\d+) \|(.+)\|(.+)\|$", re.MULTILINE)
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def known_tests() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        names = {
            node.name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        }
        found[str(file.relative_to(ROOT))] = frozenset(names)
    return found


def test_every_scenario_of_ncl_has_a_test_by_its_number() -> None:
    numbers = {
        int(number)
        for names in known_tests().values()
        for name in names
        if (match := re.match(r"test_scenario_((?:\d+_)+)", name))
        for number in match[1].split("_")[:-1]
    }

    assert sorted(set(NCL_SCENARIOS) - numbers) == []


def test_every_scenario_of_the_host_has_a_test_by_its_number() -> None:
    numbers = {
        int(match[1])
        for names in known_tests().values()
        for name in names
        if (match := re.match(r"test_t(\d+)_", name))
    }

    assert sorted(set(SCENARIOS) - numbers) == []


def test_every_weakness_has_an_answer_and_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "weaknesses.md").read_text()
    answered: dict[int, list[tuple[str, str]]] = {}
    for number, answer, tests in ROW.findall(text):
        assert answer.strip(), f"W-{number} has no answer"
        answered.setdefault(int(number), []).extend(NODE.findall(tests))

    assert sorted(set(WEAKNESSES) - answered.keys()) == []
    for number, nodes in answered.items():
        assert nodes, f"W-{number} names no test"
        for file, name in nodes:
            assert name in known_tests().get(file, frozenset()), f"W-{number}: {file}::{name}"

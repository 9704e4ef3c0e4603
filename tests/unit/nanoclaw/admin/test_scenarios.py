"""Every acceptance scenario of ``ncl`` on the host's side has a test by its number."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[3]
NUMBERS = {*range(4, 41), 54, *range(56, 64), 65, 66, 67}
"""1 to 3, 55 and 64 are the client's, 41 to 46 the runner's, 47 to 53 those of another tool."""
NAME = re.compile(r"test_scenario_(\d+(?:_\d+)*)_")


def test_every_scenario_of_the_server_has_a_test_by_its_number() -> None:
    found: set[int] = set()
    for file in TESTS.rglob("admin/test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match = NAME.match(node.name) if isinstance(node, ast.FunctionDef) else None
            if match is not None:
                found |= {int(number) for number in match[1].split("_")}

    assert sorted(NUMBERS - found) == []

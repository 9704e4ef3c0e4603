"""Every durable step has a test that kills somebody there."""

import pytest
from helpers.kill_points import NOT_A_HOP, ROOT, find_kill_points

HERE = "test_kill_points.py"


def test_every_step_beside_a_messages_way_is_named_by_a_test() -> None:
    tests = [file for file in (ROOT / "tests").rglob("test_*.py") if file.name != HERE]
    texts = "\n".join(file.read_text() for file in tests)

    beside = [point for point in find_kill_points() if point.startswith(NOT_A_HOP)]

    assert [point for point in beside if f'"{point}"' not in texts] == []


@pytest.mark.parametrize("prefix", NOT_A_HOP)
def test_exception_from_the_hops_is_still_needed(prefix: str) -> None:
    assert any(point.startswith(prefix) for point in find_kill_points())

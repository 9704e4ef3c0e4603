import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.providers.claude.rhythm import gaps_of, pays_for_long


@pytest.mark.parametrize(
    "recurrence",
    ["@every 5m", "@every 60m", "*/30 * * * *", "0 * * * *", "0,3 8-18 * * 1-5", "15 9,10 * * *"],
)
def test_task_that_comes_back_within_the_hour_pays_for_a_long_entry(recurrence: str) -> None:
    assert pays_for_long([recurrence])


@pytest.mark.parametrize(
    "recurrence",
    ["@every 4m", "@every 61m", "* * * * *", "0 9 * * 1-5", "0 8,17 * * *", "nonsense"],
)
def test_more_frequent_and_rarer_tasks_do_not(recurrence: str) -> None:
    assert not pays_for_long([recurrence])


def test_one_task_of_many_is_enough() -> None:
    assert pays_for_long(["0 9 * * *", "*/20 * * * *"])
    assert not pays_for_long([])


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="0123456789*/,-@every smhd ", max_size=40))
def test_any_text_is_read_without_failing(text: str) -> None:
    assert all(gap.total_seconds() > 0 for gap in gaps_of(text))

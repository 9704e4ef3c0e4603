"""Which backups are superfluous."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.backup.retention import Keep, parse_keep, superfluous

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def test_the_newest_of_each_day_stays() -> None:
    times = [NOON, NOON - timedelta(hours=1), NOON - timedelta(days=1)]

    assert superfluous(times, Keep(7, 0, 0)) == [1]


def test_weeks_and_months_keep_what_the_days_let_go() -> None:
    times = [NOON - timedelta(days=days) for days in range(200)]

    kept = set(range(200)) - set(superfluous(times, Keep(7, 4, 6)))

    assert set(range(7)) <= kept
    assert len({times[place].strftime("%Y-%m") for place in kept}) == 6
    assert len(kept) <= 7 + 4 + 6


def test_the_newest_stays_even_when_nothing_is_to_be_kept() -> None:
    assert superfluous([NOON], Keep(0, 0, 0)) == []


@given(st.lists(st.integers(0, 500_000), max_size=60), st.integers(1, 9), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_pruning_twice_is_pruning_once(minutes: list[int], days: int, months: int) -> None:
    keep = Keep(days, 2, months)
    times = [NOON - timedelta(minutes=value) for value in minutes]

    gone = set(superfluous(times, keep))
    left = [time for place, time in enumerate(times) if place not in gone]

    assert superfluous(left, keep) == []
    assert not times or max(times) in left


@pytest.mark.parametrize("text", ["", "7", "7,4", "7,4,6,1", "a,b,c", "-1,2,3", "0,4,6"])
def test_words_that_are_no_rule_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_keep(text)


def test_a_rule_is_read() -> None:
    assert parse_keep("3, 2,1") == Keep(3, 2, 1)

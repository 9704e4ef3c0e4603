from datetime import UTC, datetime, timedelta

import pytest

from nanoclaw.effects.decide import (
    DELAYS_SECONDS,
    LIFETIME,
    GiveUp,
    RetryFacts,
    TryAgain,
    decide_retry,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def delay_after(attempts: int, asked: float | None = None) -> float:
    decision = decide_retry(RetryFacts(NOW, NOW, attempts, asked))
    assert isinstance(decision, TryAgain)
    return (decision.at - NOW).total_seconds()


def test_delay_grows_to_a_quarter_of_an_hour() -> None:
    assert [delay_after(attempt) for attempt in range(1, 9)] == [*DELAYS_SECONDS, 900.0]


@pytest.mark.parametrize(("asked", "given"), [(5.0, 5.0), (0.0, 0.1), (10_000.0, 900.0)])
def test_a_handlers_wish_is_kept_within_bounds(asked: float, given: float) -> None:
    assert delay_after(3, asked) == given


def test_after_a_day_it_is_given_up() -> None:
    assert decide_retry(RetryFacts(NOW, NOW - LIFETIME, 40)) == GiveUp()
    assert decide_retry(RetryFacts(NOW, NOW - LIFETIME + timedelta(seconds=1), 40)) != GiveUp()

"""Decides when an effect that could not be carried out is tried again, and when it is given up.

Pure; called by ``effects.runner``. Every retry has a growing delay and an end that the agent is
told of.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

DELAYS_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0)
LIFETIME = timedelta(hours=24)
"""As long as a message may wait for its channel; a request that is older surprises more than it
helps."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It was tried for as long as anything is tried."""


RetryDecision = TryAgain | GiveUp


@dataclass(frozen=True, slots=True)
class RetryFacts:
    """``attempts`` counts the one that has just failed; ``asked`` is the handler's own wish."""

    now: datetime
    created_at: datetime
    attempts: int
    asked: float | None = None


def decide_retry(facts: RetryFacts) -> RetryDecision:
    if facts.now - facts.created_at >= LIFETIME:
        return GiveUp()
    last = len(DELAYS_SECONDS) - 1
    delay = DELAYS_SECONDS[min(max(facts.attempts - 1, 0), last)]
    if facts.asked is not None:
        delay = min(max(facts.asked, DELAYS_SECONDS[0] / 10), DELAYS_SECONDS[-1])
    return TryAgain(facts.now + timedelta(seconds=delay))

"""Whether a failed model call is tried again, and when (R-313).

Pure: jitter and elapsed time are passed in. Called by ``calls`` after every failed attempt. Each
class has so many tries within so much time; a server's own wish is followed as far as it fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.providers.claude.errors import CallClass, CallError

LONGEST_WISH_SECONDS = 120.0
"""Above this a ``retry-after`` is not waited for, except for rate limits, where it is exact."""
OVERLOADS_BEFORE_FALLBACK = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """So many attempts in all, within so many seconds."""

    tries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryRules:
    """The limits; tests pass shorter ones."""

    patience: Mapping[CallClass, Patience] = field(
        default_factory=lambda: {
            CallClass.NETWORK: Patience(8, 600),
            CallClass.OVERLOADED: Patience(10, 900),
            CallClass.SERVER: Patience(5, 900),
            CallClass.RATE: Patience(60, 900),
        }
    )
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    jitter: float = 0.25


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


@dataclass(frozen=True, slots=True)
class Attempts:
    """What happened in one model call so far, the last failure included."""

    failures: Mapping[CallClass, int]
    elapsed_seconds: float
    overloads_in_a_row: int = 0


def decide_retry(
    error: CallError, attempts: Attempts, jitter: float, rules: RetryRules
) -> Wait | GiveUp:
    """``jitter`` is from -1 to 1."""
    patience = rules.patience.get(error.kind)
    if patience is None:
        return GiveUp("another try would not help")
    tried = attempts.failures.get(error.kind, 1)
    if tried >= patience.tries:
        return GiveUp(f"failed {tried} times")
    seconds = _pause(error, attempts, jitter, rules)
    if attempts.elapsed_seconds + seconds > patience.seconds:
        return GiveUp(f"failing for {attempts.elapsed_seconds:.0f} s")
    return Wait(seconds)


def wants_fallback(attempts: Attempts) -> bool:
    """Another model may have room (``fallbackModel``)."""
    return attempts.overloads_in_a_row >= OVERLOADS_BEFORE_FALLBACK


def _pause(error: CallError, attempts: Attempts, jitter: float, rules: RetryRules) -> float:
    wish = error.retry_after_seconds
    if wish is not None and (wish <= LONGEST_WISH_SECONDS or error.kind is CallClass.RATE):
        return wish
    doublings = min(sum(attempts.failures.values()) - 1, 30)
    seconds = min(rules.first_seconds * 2.0**doublings, rules.longest_seconds)
    return seconds * (1 + jitter * rules.jitter)

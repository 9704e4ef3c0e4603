"""When a request goes to another endpoint, and how long a failing one is left alone. Pure.

Asked by ``pool`` and ``exchange``. Only overload and outage lead on, never a client's error and
never anything after the first byte was passed back. What may have been worked on already is sent
elsewhere only if doing it twice does no more than cost money.
"""

from dataclasses import dataclass
from enum import StrEnum

ELSEWHERE = frozenset({503, 529})
"""It says itself that it did nothing."""
PERHAPS_ELSEWHERE = frozenset({502, 504})
"""Something in between gave up; what is behind it may have begun."""
FIRST_REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 300.0
LONG_SECONDS = 900.0
"""An outage of this length is not over in a moment: an owner should know."""
LONG_FAILURES = 3
"""So many at least, because an endpoint that nobody asked may have worked meanwhile."""


class Failure(StrEnum):
    """How far a request came that got no usable answer."""

    NOT_SENT = "not sent"
    NO_ANSWER = "no answer"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rest:
    """``failures`` in a row, the first at ``since``; times are of the monotonic clock."""

    failures: int = 0
    until: float = 0.0
    probing: bool = False
    """One request is finding out whether it works again."""
    since: float = 0.0

    def is_over(self, now: float) -> bool:
        return self.failures == 0 or (now >= self.until and not self.probing)


def is_failure(status: int) -> bool:
    """Of the endpoint, not of the request."""
    return status in ELSEWHERE or status in PERHAPS_ELSEWHERE


def may_go_on(failure: Failure, status: int | None, *, repeatable: bool) -> bool:
    """Whether the next endpoint may be asked."""
    if failure is Failure.NOT_SENT:
        return True
    if failure is Failure.REFUSED and status in ELSEWHERE:
        return True
    return repeatable and (status is None or status in PERHAPS_ELSEWHERE)


def rest_after(rest: Rest, now: float, wish: float | None) -> Rest:
    """After one more failure; ``wish`` is what the endpoint asked for."""
    failures = rest.failures + 1
    seconds = min(FIRST_REST_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_REST_SECONDS)
    if wish is not None:
        seconds = min(max(seconds, wish), LONGEST_REST_SECONDS)
    return Rest(failures, now + seconds, since=rest.since if rest.failures else now)


def seconds_of_long(rest: Rest, now: float) -> float | None:
    """How long it has been failing; None: not for long."""
    seconds = now - rest.since
    return seconds if rest.failures >= LONG_FAILURES and seconds >= LONG_SECONDS else None


def order(rests: list[Rest], now: float) -> list[int]:
    """Which to ask, and in which order: those that rest come last, never not at all."""
    awake = [number for number, rest in enumerate(rests) if rest.is_over(now)]
    resting = [number for number, rest in enumerate(rests) if not rest.is_over(now)]
    return awake + sorted(resting, key=lambda number: rests[number].until)

"""How long a connection waits before it is tried again (C-41, section 1.7).

Pure; the jitter comes in as a number between 0 and 1.
"""

from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.events import FailureClass

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
AUTH_SECONDS = 15 * 60.0
"""A refused key does not get better by asking often; it is tried again on its own all the same."""
CONFLICT_SECONDS = 30.0


def reconnect_seconds(failure: ChannelFailure, attempt: int, jitter: float) -> float:
    """``attempt`` counts the failures since the connection last held."""
    if failure.failure is FailureClass.AUTH:
        return AUTH_SECONDS
    if failure.failure is FailureClass.CONFLICT:
        return CONFLICT_SECONDS
    if failure.failure is FailureClass.RATE_LIMITED and failure.retry_after_ms is not None:
        return failure.retry_after_ms / 1000
    longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt, 10))
    return longest * max(0.1, jitter)

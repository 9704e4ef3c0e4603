"""The only wait that tests use: look again until it is true, or fail with what was awaited."""

import time
from collections.abc import Callable
from typing import TypeVar

_LOOK_EVERY_SECONDS = 0.01

_Truth = TypeVar("_Truth")


def wait_until(
    predicate: Callable[[], _Truth], *, within: float = 5.0, what: str | None = None
) -> _Truth:
    """The first true value of ``predicate``; AssertionError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (value := predicate()):
        if time.monotonic() > deadline:
            awaited = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"waited {within} s in vain for: {awaited}")
        time.sleep(_LOOK_EVERY_SECONDS)
    return value

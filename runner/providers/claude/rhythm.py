"""How often recurring tasks come, as far as the cache of the prompt is concerned (R-266). Pure.

Asked at the beginning of a turn. A task that comes back after more than five minutes and within the
hour finds its prefix only in an entry that is kept for an hour; more frequent ones keep a short one
alive, and rarer ones find neither.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from contract.errors import BadContent
from contract.recurrence import check_recurrence

SHORTEST = timedelta(minutes=5)
LONGEST = timedelta(minutes=60)

_SPAN = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HOUR = 60


def pays_for_long(recurrences: Iterable[str]) -> bool:
    """One of these tasks profits from an entry that is kept for an hour."""
    return any(SHORTEST <= gap <= LONGEST for text in recurrences for gap in gaps_of(text))


def gaps_of(recurrence: str) -> frozenset[timedelta]:
    """The times between two runs within one day; nothing for a text that names no repetition."""
    try:
        words = check_recurrence(recurrence).split()
    except BadContent:
        return frozenset()
    if words[0] == "@every":
        seconds = sum(int(number) * _SECONDS[unit] for number, unit in _SPAN.findall(words[1]))
        return frozenset({timedelta(seconds=seconds)})
    minutes, hours = _numbers(words[0], 59), _numbers(words[1], 23)
    runs = [hour * _HOUR + minute for hour in hours for minute in minutes]
    gaps = {later - earlier for earlier, later in pairwise(runs)}
    return frozenset(timedelta(minutes=gap) for gap in gaps)


def _numbers(field: str, highest: int) -> list[int]:
    """All numbers of a valid field."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = 0, highest
        else:
            start = int(first)
            end = int(last) if dash else start
        found.update(range(start, end + 1, int(step or 1)))
    return sorted(found)

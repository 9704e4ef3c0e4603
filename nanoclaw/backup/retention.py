"""Which backups may go: the newest of each of the last days, weeks and months stay.

Pure; called by ``catalog`` for ``prune`` and the schedule. The newest one always stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Keep:
    """How many days, weeks and months have a backup that is kept."""

    days: int = 7
    weeks: int = 4
    months: int = 6


def parse_keep(text: str) -> Keep:
    """``7,4,6`` for days, weeks, months. Raises ValueError."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isdecimal() and int(part) <= 1000 for part in parts):
        raise ValueError("must be three numbers such as 7,4,6: days, weeks, months")
    days, weeks, months = (int(part) for part in parts)
    if days < 1:
        raise ValueError("must keep at least one day")
    return Keep(days, weeks, months)


def superfluous(times: Sequence[datetime], keep: Keep) -> list[int]:
    """Places in ``times`` of those that no rule keeps, oldest first."""
    order = sorted(range(len(times)), key=lambda place: times[place], reverse=True)
    kept: set[int] = set(order[:1])
    rules = (
        (keep.days, "%Y-%m-%d"),
        (keep.weeks, "%G-%V"),
        (keep.months, "%Y-%m"),
    )
    for count, form in rules:
        seen: set[str] = set()
        for place in order:
            period = times[place].strftime(form)
            if period not in seen and len(seen) < count:
                seen.add(period)
                kept.add(place)
    return [place for place in reversed(order) if place not in kept]

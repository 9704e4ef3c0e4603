"""Reads cron expressions, also in the wider forms that rows of the earlier program contain. Pure.

The grammar is croniter's. New expressions are checked by ``contract.recurrence`` before, which
takes five plain fields or ``@every``; a row of the earlier program may have a seconds field in
front, ``?``, ``L``, ``#``, ``H`` or a macro (H-255), and its task goes on. When an expression fires
is ``recurrence``'s business: croniter has other rules for clock changes than H-254 (ADR 0018).
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.errors import BadContent
from contract.recurrence import MAX_TEXT

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@minutely": "* * * * *",
    "@secondly": "* * * * * *",
    "@weekdays": "0 0 * * 1-5",
    "@weekends": "0 0 * * 0,6",
}
"""As the earlier program's library had them."""
LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DAYS_IN_WEEK = 7
LAST = "l"
"""How croniter writes the last day of a month, and the last weekday of a kind in it."""

_LAST_WEEKDAY = re.compile(r"\b(\w{1,3})L\b", re.ASCII | re.IGNORECASE)


Value = int | str
"""A number of a field, ``*`` or LAST."""


@dataclass(frozen=True, slots=True)
class Cron:
    """All times of day and all days at which it fires, in wall-clock time of some zone.

    ``weekdays`` count from Sunday, 0. ``nth`` are weekdays with their place in the month. Where
    days of month and of week are both restricted, one of them is enough.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    last_weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool


def parse_cron(text: str) -> Cron:
    """Raises BadContent, whose words are for the agent."""
    if len(text) > MAX_TEXT:
        raise BadContent(f"longer than {MAX_TEXT} characters")
    words = MACROS.get(text.strip().lower(), text).split()
    if len(words) not in (5, 6):
        raise BadContent(f"{len(words)} fields instead of five")
    words[-1] = _LAST_WEEKDAY.sub(r"L\1", words[-1])
    fields, nth = _expand(" ".join(words))
    minutes, hours, days, months, weekdays = fields[:5]
    seconds = fields[5] if len(fields) > 5 else [0]
    cron = Cron(
        seconds=_numbers(seconds, range(60)),
        minutes=_numbers(minutes, range(60)),
        hours=_numbers(hours, range(24)),
        days=frozenset(_numbers(days, range(1, 32))),
        last_day=LAST in days,
        months=frozenset(_numbers(months, range(1, 13))),
        weekdays=frozenset(_numbers(weekdays, range(DAYS_IN_WEEK))) - nth.keys(),
        nth=frozenset(
            (day, place)
            for day, places in nth.items()
            for place in places
            if isinstance(place, int)
        ),
        last_weekdays=frozenset(day for day, places in nth.items() if LAST in places),
        any_day=days == ["*"],
        any_weekday=weekdays == ["*"],
    )
    _refuse_impossible(cron)
    return cron


def _expand(text: str) -> tuple[list[list[Value]], Mapping[int, frozenset[Value]]]:
    """Fields in croniter's order, seconds last, and places of weekdays in the month."""
    from croniter import CroniterError, croniter  # late: only tasks that repeat pay for it

    # ``H`` is some number, always the same one for the same expression.
    seed = zlib.crc32(text.encode("utf-8", "replace")).to_bytes(4, "big")
    try:
        fields, nth = croniter.expand(text, hash_id=seed, second_at_beginning=True)
    except (CroniterError, ValueError, KeyError, AttributeError) as error:
        raise BadContent(f"no cron expression: {error}") from error
    places = {int(day): frozenset(found) for day, found in nth.items()}
    return [list(field) for field in fields], places


def _numbers(field: Sequence[Value], every: range) -> tuple[int, ...]:
    if "*" in field:
        return tuple(every)
    return tuple(sorted({number for number in field if isinstance(number, int)}))


def _refuse_impossible(cron: Cron) -> None:
    """The 31st of February never comes; a weekday beside it does."""
    if not cron.any_weekday or cron.last_day:
        return
    if all(min(cron.days) > LONGEST_MONTH[month - 1] for month in cron.months):
        raise BadContent("there is no such day of the month in these months")

"""Reads cron expressions, also in the wider forms that rows of the earlier program contain. Pure.

New ones are checked by ``contract.recurrence``, which takes five plain fields or ``@every``. A row
of the earlier program may have a seconds field, ``?``, ``L``, ``#``, ``H`` or a macro (H-255), and
its task goes on. When an expression fires is ``recurrence``'s business.
"""

import re
import zlib
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
LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DAYS_IN_WEEK = 7

_NUMBER = re.compile(r"\d{1,2}", re.ASCII)
_HASHED = re.compile(r"H(?:\((\d{1,2})-(\d{1,2})\))?", re.ASCII)
_NTH = re.compile(r"(\w{1,3})#([1-5])", re.ASCII)
_LAST = re.compile(r"(\w{1,3})L", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cron:
    """All times of day and all days at which it fires, in wall-clock time of some zone.

    ``weekdays`` count from Sunday, 0. ``nth`` are weekdays with their place in the month.
    ``either``: days of month and of week are both restricted, so one of them is enough.
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


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31)
_MONTH = _Field(
    "month",
    1,
    12,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAY = _Field("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))


def parse_cron(text: str) -> Cron:
    """Raises BadContent, whose words are for the agent."""
    if len(text) > MAX_TEXT:
        raise BadContent(f"longer than {MAX_TEXT} characters")
    words = MACROS.get(text.strip().lower(), text).split()
    if len(words) == 5:
        words = ["0", *words]
    if len(words) != 6:
        raise BadContent(f"{len(words)} fields instead of five")
    seed = zlib.crc32(" ".join(words).encode("utf-8", "replace"))
    day_parts, last_day = _without_last_day(words[3])
    week_parts, nth, last_weekdays = _without_special_weekdays(words[5])
    days = _values(_DAY, day_parts, seed)
    months = _values(_MONTH, words[4].split(","), seed)
    weekdays = frozenset(day % DAYS_IN_WEEK for day in _values(_WEEKDAY, week_parts, seed))
    cron = Cron(
        seconds=_sorted(_SECOND, words[0], seed),
        minutes=_sorted(_MINUTE, words[1], seed),
        hours=_sorted(_HOUR, words[2], seed),
        days=days,
        last_day=last_day,
        months=months,
        weekdays=weekdays,
        nth=nth,
        last_weekdays=last_weekdays,
        any_day=len(days) == _DAY.high,
        any_weekday=len(weekdays) == DAYS_IN_WEEK,
    )
    _refuse_impossible(cron)
    return cron


def _refuse_impossible(cron: Cron) -> None:
    """The 31st of February never comes; a weekday beside it does."""
    if not cron.any_weekday or cron.last_day:
        return
    if all(min(cron.days) > LONGEST_MONTH[month - 1] for month in cron.months):
        raise BadContent("there is no such day of the month in these months")


def _without_last_day(word: str) -> tuple[list[str], bool]:
    parts = word.split(",")
    return [part for part in parts if part not in ("L", "l")], any(p in ("L", "l") for p in parts)


def _without_special_weekdays(
    word: str,
) -> tuple[list[str], frozenset[tuple[int, int]], frozenset[int]]:
    plain: list[str] = []
    nth: set[tuple[int, int]] = set()
    last: set[int] = set()
    for part in word.split(","):
        if found := _NTH.fullmatch(part):
            nth.add((_number(_WEEKDAY, found[1]) % DAYS_IN_WEEK, int(found[2])))
        elif found := _LAST.fullmatch(part):
            last.add(_number(_WEEKDAY, found[1]) % DAYS_IN_WEEK)
        else:
            plain.append(part)
    return plain, frozenset(nth), frozenset(last)


def _sorted(field: _Field, word: str, seed: int) -> tuple[int, ...]:
    return tuple(sorted(_values(field, word.split(","), seed)))


def _values(field: _Field, parts: list[str], seed: int) -> frozenset[int]:
    return frozenset(number for part in parts for number in _part(field, part, seed))


def _part(field: _Field, part: str, seed: int) -> range:
    span, slash, step_text = part.partition("/")
    step = 1
    if slash:
        if not _NUMBER.fullmatch(step_text) or int(step_text) == 0:
            raise BadContent(f"{field.name}: the step in {part!r} is not a number from 1 to 99")
        step = int(step_text)
    for read in (_whole, _hashed, _range):
        found = read(field, span, step, seed)
        if found is not None:
            return found
    first = _number(field, span)
    return range(first, (field.high if slash else first) + 1, step)


def _whole(field: _Field, span: str, step: int, seed: int) -> range | None:
    del seed
    if span == "*" or (span == "?" and field in (_DAY, _WEEKDAY)):
        high = min(field.high, DAYS_IN_WEEK - 1) if field is _WEEKDAY else field.high
        return range(field.low, high + 1, step)
    return None


def _hashed(field: _Field, span: str, step: int, seed: int) -> range | None:
    """``H``: some number, always the same one for the same expression."""
    found = _HASHED.fullmatch(span)
    if found is None:
        return None
    low = field.low if found[1] is None else _number(field, found[1])
    high = field.high if found[2] is None else _number(field, found[2])
    if high < low:
        raise BadContent(f"{field.name}: the range {span!r} runs backwards")
    if step > 1:
        return range(low + seed % step, high + 1, step)
    chosen = low + seed % (high - low + 1)
    return range(chosen, chosen + 1)


def _range(field: _Field, span: str, step: int, seed: int) -> range | None:
    del seed
    first_text, dash, last_text = span.partition("-")
    if not dash:
        return None
    first, last = _number(field, first_text), _number(field, last_text)
    if field is _WEEKDAY and last == 0:
        last = DAYS_IN_WEEK  # fri-sun
    if last < first:
        raise BadContent(f"{field.name}: the range {span!r} runs backwards")
    return range(first, last + 1, step)


def _number(field: _Field, text: str) -> int:
    folded = text.lower()
    if folded in field.words:
        return field.words.index(folded) + field.low
    if not _NUMBER.fullmatch(text) or not field.low <= int(text) <= field.high:
        raise BadContent(f"{field.name}: {text!r} is not a number from {field.low} to {field.high}")
    return int(text)

"""Which texts name a repetition: five cron fields, or ``@every`` with a span. Pure.

The runner checks what an agent asks for before it is sent, so that a wrong expression is told at
once and not after the first run; the host may check the same. When the next run is, only the host
works out.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from contract.errors import BadContent

MIN_INTERVAL = timedelta(minutes=1)
MAX_INTERVAL = timedelta(days=366)
MAX_TEXT = 200

_SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SPANS = re.compile(r"(?:\d{1,6}[smhd]){1,4}", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = re.compile(r"\d{1,2}", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    """A field's place in the expression: its name, lowest and highest number, and words."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        folded = text.lower()
        if folded in self.words:
            return self.words.index(folded) + self.low
        if not _NUMBER.fullmatch(text) or not self.low <= int(text) <= self.high:
            raise BadContent(
                f"{self.name}: {text!r} is not a number from {self.low} to {self.high}"
            )
        return int(text)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)


def check_recurrence(text: str) -> str:
    """The text with single blanks; raises BadContent, whose words are for the agent."""
    if len(text) > MAX_TEXT:
        raise BadContent(f"longer than {MAX_TEXT} characters")
    words = text.split()
    if words and words[0].startswith("@"):
        return _check_every(words)
    if len(words) != len(_FIELDS):
        raise BadContent(
            f"{len(words)} fields instead of five (minute hour day-of-month month weekday); "
            "for a plain interval write for example '@every 90m'"
        )
    values = [_values(field, word) for field, word in zip(_FIELDS, words, strict=True)]
    _check_dates(values[2], values[3], any_weekday=words[4].startswith("*"))
    return " ".join(words)


def _check_every(words: list[str]) -> str:
    if words[0] != "@every" or len(words) != 2 or not _SPANS.fullmatch(words[1]):
        raise BadContent("after '@' only '@every' with a span such as 90m, 6h or 1d12h is known")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _SPAN.findall(words[1]))
    if not MIN_INTERVAL.total_seconds() <= seconds <= MAX_INTERVAL.total_seconds():
        raise BadContent("an interval is at least one minute and at most 366 days")
    return " ".join(words)


def _values(field: _Field, word: str) -> frozenset[int]:
    """All numbers that a list of numbers, ranges and steps stands for."""
    return frozenset(number for part in word.split(",") for number in _part(field, part))


def _part(field: _Field, part: str) -> range:
    span, slash, step_text = part.partition("/")
    step = 1
    if slash:
        if not _NUMBER.fullmatch(step_text) or int(step_text) == 0:
            raise BadContent(f"{field.name}: the step in {part!r} is not a number from 1 to 99")
        step = int(step_text)
    if span == "*":
        return range(field.low, field.high + 1, step)
    first_text, dash, last_text = span.partition("-")
    first = field.number(first_text)
    if not dash:
        if slash:
            raise BadContent(f"{field.name}: a step needs a range or '*', as in '*/{step}'")
        return range(first, first + 1)
    last = field.number(last_text)
    if last < first:
        raise BadContent(f"{field.name}: the range {span!r} runs backwards")
    return range(first, last + 1, step)


def _check_dates(days: frozenset[int], months: frozenset[int], *, any_weekday: bool) -> None:
    """Refuses what never comes, such as the 31st of February."""
    if any_weekday and all(min(days) > _LONGEST_MONTH[month - 1] for month in months):
        raise BadContent("there is no such day of the month in these months")

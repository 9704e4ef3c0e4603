"""Works out when a recurring task runs next. Pure: text, times and a zone in, times out.

Cron fields are wall-clock times of the zone (H-254): a time inside the hour that a clock change
leaves out fires once, moved by the gap; one inside the hour that comes twice fires once, the first
time. ``@every`` counts real time from when the task was due, so clock changes do not touch it.
"""

import re
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from contract.recurrence import check_recurrence
from nanoclaw.tasks.cron import DAYS_IN_WEEK, Cron, parse_cron

SEARCHED_DAYS = 9 * 366
"""From one 29 February over a year without one to the next are eight years."""
WINDOWS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 7 * 24, 30 * 24, 366 * 24))

_SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Every:
    """A plain interval."""

    interval: timedelta


Recurrence = Cron | Every


def parse_recurrence(text: str) -> Recurrence | None:
    """None for a blank text, which is no repetition (H-255); raises BadContent."""
    if not text.strip():
        return None
    if text.lstrip().startswith("@every"):
        words = check_recurrence(text).split()
        spans = _SPAN.findall(words[1])
        return Every(timedelta(seconds=sum(int(n) * _SECONDS[unit] for n, unit in spans)))
    return parse_cron(text)


def next_after(
    recurrence: Recurrence, after: datetime, due: datetime, zone: tzinfo
) -> datetime | None:
    """The first time later than ``after``. ``due`` is when the task last was: intervals count from
    it. None when it never fires again."""
    if isinstance(recurrence, Every):
        passed = (after - due) // recurrence.interval
        return due + recurrence.interval * max(passed + 1, 1)
    try:
        return _next_cron(recurrence, after.astimezone(UTC), zone)
    except OverflowError:
        return None


def latest_missed(
    recurrence: Recurrence, due: datetime, now: datetime, zone: tzinfo, limit: int
) -> tuple[datetime, ...]:
    """The last times later than ``due`` and not later than ``now``, oldest first."""
    for window in (*WINDOWS, now - due):
        start = max(due, now - window)
        found: deque[datetime] = deque(maxlen=limit)
        moment = next_after(recurrence, start, due, zone)
        while moment is not None and moment <= now:
            found.append(moment)
            moment = next_after(recurrence, moment, due, zone)
        if len(found) == limit or start <= due:
            return tuple(found)
    return ()


# --- cron -----------------------------------------------------------------------------------------


def _next_cron(cron: Cron, after: datetime, zone: tzinfo) -> datetime | None:
    # A whole day may be left out (the date line moved), so its times come up to a day later.
    first = after.astimezone(zone).date() - _DAY
    best: datetime | None = None
    best_day: date | None = None
    for offset in range(SEARCHED_DAYS):
        day = first + timedelta(days=offset)
        if best_day is not None and day > best_day + _DAY:
            break
        if day.month not in cron.months or not _fires_on(cron, day):
            continue
        found = _first_on(cron, day, after, zone)
        if found is not None and (best is None or found < best):
            best, best_day = found, best_day or day
    return best


def _fires_on(cron: Cron, day: date) -> bool:
    if cron.any_day or cron.any_weekday:
        return (cron.any_day or _is_day(cron, day)) and (cron.any_weekday or _is_weekday(cron, day))
    return _is_day(cron, day) or _is_weekday(cron, day)


def _is_day(cron: Cron, day: date) -> bool:
    return day.day in cron.days or (cron.last_day and (day + _DAY).day == 1)


def _is_weekday(cron: Cron, day: date) -> bool:
    weekday = day.isoweekday() % DAYS_IN_WEEK
    if weekday in cron.weekdays or (weekday, (day.day + 6) // DAYS_IN_WEEK) in cron.nth:
        return True
    return weekday in cron.last_weekdays and (day + timedelta(days=7)).month != day.month


def _first_on(cron: Cron, day: date, after: datetime, zone: tzinfo) -> datetime | None:
    """The first firing of that day's date later than ``after``; maybe on the day after it."""
    start = _utc(datetime.combine(day, time()), zone)
    end = _utc(datetime.combine(day + _DAY, time()), zone)
    if end <= after - _DAY:
        return None
    if end - start == _DAY:
        return _first_on_plain_day(cron, after, start)
    return _first_on_change_day(cron, day, after, zone)


def _first_on_plain_day(cron: Cron, after: datetime, start: datetime) -> datetime | None:
    """Without a clock change wall-clock times are seconds from midnight."""
    passed = after - start
    if passed < timedelta(0):
        return start + timedelta(
            hours=cron.hours[0], minutes=cron.minutes[0], seconds=cron.seconds[0]
        )
    total = passed // timedelta(seconds=1)
    hour, minute, second = total // 3600, total // 60 % 60, total % 60
    found = _later(cron, hour, minute, second)
    return None if found is None else start + found


def _later(cron: Cron, hour: int, minute: int, second: int) -> timedelta | None:
    """The next time of day after the given one."""
    hours, minutes, seconds = cron.hours, cron.minutes, cron.seconds
    if hour in hours:
        if minute in minutes:
            place = bisect_right(seconds, second)
            if place < len(seconds):
                return timedelta(hours=hour, minutes=minute, seconds=seconds[place])
        place = bisect_right(minutes, minute)
        if place < len(minutes):
            return timedelta(hours=hour, minutes=minutes[place], seconds=seconds[0])
    place = bisect_right(hours, hour)
    if place < len(hours):
        return timedelta(hours=hours[place], minutes=minutes[0], seconds=seconds[0])
    return None


def _first_on_change_day(cron: Cron, day: date, after: datetime, zone: tzinfo) -> datetime | None:
    """Every minute looked at: order of wall-clock times is not the order of moments here."""
    best: datetime | None = None
    for hour in cron.hours:
        for minute in cron.minutes:
            moment = _utc(datetime.combine(day, time(hour, minute)), zone)
            if moment + _MINUTE <= after or (best is not None and moment >= best):
                continue
            for second in cron.seconds:
                candidate = moment + timedelta(seconds=second)
                if candidate > after and (best is None or candidate < best):
                    best = candidate
                    break
    return best


def _utc(local: datetime, zone: tzinfo) -> datetime:
    """``fold`` 0 is the first of two; in a gap it is the offset from before: later by the gap."""
    return local.replace(tzinfo=zone).astimezone(UTC)

"""When a repetition fires, also against an oracle that looks at every minute of ten years."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import BadContent
from nanoclaw.tasks.cron import Cron, parse_cron
from nanoclaw.tasks.recurrence import Every, Recurrence, latest_missed, next_after, parse_recurrence

ZONES = (
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Chatham",
    "UTC",
)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
FIRST_YEAR, YEARS = 2024, 10


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def parsed(text: str) -> Recurrence:
    found = parse_recurrence(text)
    assert found is not None
    return found


def local_next(text: str, zone: tzinfo, after: str) -> str:
    """The next firing after a local time, as a local time."""
    start = datetime.fromisoformat(after).replace(tzinfo=zone).astimezone(UTC)
    found = next_after(parsed(text), start, start, zone)
    assert found is not None
    return found.astimezone(zone).isoformat(timespec="minutes")


# --- clock changes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "text", "after", "fires"),
    [
        # W-26: the pinned library of the reference skipped these days.
        (NEW_YORK, "0 9 * * *", "2026-03-07T10:00", "2026-03-08T09:00-04:00"),
        (BERLIN, "0 9 * * *", "2026-03-28T10:00", "2026-03-29T09:00+02:00"),
        (NEW_YORK, "30 2 * * *", "2026-03-07T10:00", "2026-03-08T03:30-04:00"),
        (BERLIN, "30 2 * * *", "2026-03-28T10:00", "2026-03-29T03:30+02:00"),
        (NEW_YORK, "30 2 * * *", "2026-03-08T10:00", "2026-03-09T02:30-04:00"),
        (NEW_YORK, "0 9 * * *", "2026-10-31T10:00", "2026-11-01T09:00-05:00"),
        (BERLIN, "0 9 * * *", "2026-10-24T10:00", "2026-10-25T09:00+01:00"),
        (NEW_YORK, "30 1 * * *", "2026-10-31T10:00", "2026-11-01T01:30-04:00"),
        (BERLIN, "30 2 * * *", "2026-10-24T10:00", "2026-10-25T02:30+02:00"),
        (BERLIN, "30 2 * * *", "2026-10-25T02:30", "2026-10-26T02:30+01:00"),
    ],
)
def test_t76_cron_on_both_clock_change_days(
    zone: tzinfo, text: str, after: str, fires: str
) -> None:
    assert local_next(text, zone, after) == fires


def minutes_of(cron: Cron, zone: tzinfo, first: datetime, last: datetime) -> list[datetime]:
    """The oracle: every wall-clock minute of every day, turned into its moment."""
    found: set[datetime] = set()
    day = first.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    day -= timedelta(days=2)
    end = last.astimezone(zone).replace(tzinfo=None) + timedelta(days=2)
    while day < end:
        if _is_day(cron, day):
            for hour in cron.hours:
                for minute in cron.minutes:
                    local = day.replace(hour=hour, minute=minute, tzinfo=zone)
                    found.add(local.astimezone(UTC))
        day += timedelta(days=1)
    return sorted(one for one in found if first < one <= last)


def _is_day(cron: Cron, day: datetime) -> bool:
    in_month = day.day in cron.days
    in_week = (day.weekday() + 1) % 7 in cron.weekdays
    if not cron.any_day and not cron.any_weekday:
        return day.month in cron.months and (in_month or in_week)
    return day.month in cron.months and in_month and in_week


def firings(cron: Cron, zone: tzinfo, first: datetime, last: datetime) -> Iterator[datetime]:
    found = next_after(cron, first, first, zone)
    while found is not None and found <= last:
        yield found
        found = next_after(cron, found, first, zone)


@pytest.mark.parametrize("zone_name", ZONES)
@pytest.mark.parametrize("text", ["30 2 * * *", "15 0,1,2,3 * * 0", "0 9 29 2 *"])
def test_ten_years_of_firings_are_those_of_the_oracle(zone_name: str, text: str) -> None:
    zone, cron = ZoneInfo(zone_name), parse_cron(text)
    first = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    last = datetime(FIRST_YEAR + YEARS, 1, 1, tzinfo=UTC)

    assert list(firings(cron, zone, first, last)) == minutes_of(cron, zone, first, last)


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    some = st.lists(st.integers(low, high), min_size=1, max_size=3, unique=True)
    return st.one_of(
        st.just("*"),
        st.integers(2, 20).map(lambda step: f"*/{step}"),
        some.map(lambda chosen: ",".join(map(str, sorted(chosen)))),
    )


EXPRESSIONS = st.tuples(
    numbers(0, 59), numbers(0, 23), numbers(1, 28), numbers(1, 12), numbers(0, 6)
).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(
    text=EXPRESSIONS,
    zone_name=st.sampled_from(ZONES),
    passed=st.timedeltas(timedelta(0), timedelta(days=YEARS * 365)),
)
def test_next_firing_is_the_first_of_the_oracle(
    text: str, zone_name: str, passed: timedelta
) -> None:
    zone, cron = ZoneInfo(zone_name), parse_cron(text)
    first = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) + passed
    window = first + timedelta(days=45)

    found = next_after(cron, first, first, zone)
    expected = minutes_of(cron, zone, first, window)

    if expected:
        assert found == expected[0]
    else:
        assert found is None or found > window


@settings(deadline=None, max_examples=40)
@given(
    zone_name=st.sampled_from(ZONES[:-1]),
    year=st.integers(FIRST_YEAR, FIRST_YEAR + YEARS - 1),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
)
def test_a_daily_task_fires_once_on_every_day(
    zone_name: str, year: int, hour: int, minute: int
) -> None:
    """W-26: no day is left out and none is doubled, whatever the clocks do."""
    zone, cron = ZoneInfo(zone_name), parse_cron(f"{minute} {hour} * * *")
    first, last = datetime(year, 1, 2, tzinfo=UTC), datetime(year, 12, 30, tzinfo=UTC)

    fired = list(firings(cron, zone, first, last))

    gaps = {later - earlier for earlier, later in pairwise(fired)}
    assert all(timedelta(hours=22) <= gap <= timedelta(hours=26) for gap in gaps)
    assert len(fired) in (362, 363)


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "after", "fires"),
    [
        ("@hourly", "2026-01-01T10:30", "2026-01-01T11:00+00:00"),
        ("@daily", "2026-01-01T10:30", "2026-01-02T00:00+00:00"),
        ("@weekdays", "2026-01-02T10:30", "2026-01-05T00:00+00:00"),
        ("30 0 9 * * *", "2026-01-01T08:59", "2026-01-01T09:00+00:00"),
        ("0 9 ? * MON", "2026-01-01T10:00", "2026-01-05T09:00+00:00"),
        ("0 9 L * *", "2026-02-01T10:00", "2026-02-28T09:00+00:00"),
        ("0 9 L,1 * *", "2026-02-28T10:00", "2026-03-01T09:00+00:00"),
        ("0 9 * * 5L", "2026-01-01T10:00", "2026-01-30T09:00+00:00"),
        ("0 9 * * 1#2", "2026-01-01T10:00", "2026-01-12T09:00+00:00"),
        ("0 9 * * fri-sun", "2026-01-05T10:00", "2026-01-09T09:00+00:00"),
        ("0 9 * * 7", "2026-01-01T10:00", "2026-01-04T09:00+00:00"),
        ("0 9 13 * 5", "2026-01-01T10:00", "2026-01-02T09:00+00:00"),
        ("5/20 * * * *", "2026-01-01T10:06", "2026-01-01T10:25+00:00"),
        ("0 0 29 2 *", "2096-03-01T00:00", "2104-02-29T00:00+00:00"),
    ],
)
def test_forms_of_the_earlier_program_fire_as_there(text: str, after: str, fires: str) -> None:
    assert local_next(text, UTC, after) == fires


def test_a_hashed_field_is_one_fixed_value() -> None:
    first, second = parse_cron("H H(2-4) * * *"), parse_cron("H H(2-4) * * *")

    assert first == second
    assert len(first.minutes) == 1
    assert first.hours[0] in (2, 3, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9am", "1 fields"),
        ("0 0 0 9 * * *", "7 fields"),
        ("0 25 * * *", "out of range"),
        ("0 9 31 2 *", "no such day"),
        ("0 H(9-3) * * *", "Range end"),
        ("*/0 * * * *", "step"),
        ("x" * 300, "longer than"),
        ("@every soon", "@every"),
    ],
)
def test_what_never_fires_says_why(text: str, words: str) -> None:
    with pytest.raises(BadContent, match=words):
        parse_recurrence(text)


def test_blank_is_no_repetition() -> None:
    assert parse_recurrence("  ") is None


# --- intervals and missed times -------------------------------------------------------------------

DUE = moment("2026-03-28T12:00+00:00")


def test_an_interval_counts_from_when_the_task_was_due() -> None:
    recurrence = parsed("@every 90m")

    assert recurrence == Every(timedelta(minutes=90))
    late = DUE + timedelta(hours=4)
    assert next_after(recurrence, late, DUE, BERLIN) == DUE + timedelta(minutes=270)
    assert next_after(recurrence, DUE, DUE, BERLIN) == DUE + timedelta(minutes=90)


@pytest.mark.parametrize(
    ("text", "later", "limit", "missed"),
    [
        ("@every 1h", timedelta(minutes=59), 100, 0),
        ("@every 1h", timedelta(hours=3), 100, 3),
        ("@every 1m", timedelta(days=400), 100, 100),
        ("0 9 * * *", timedelta(days=3), 100, 3),
        ("* * * * *", timedelta(days=30), 100, 100),
        ("0 0 1 1 *", timedelta(days=4000), 100, 11),
    ],
)
def test_missed_times_are_counted_up_to_the_limit(
    text: str, later: timedelta, limit: int, missed: int
) -> None:
    now = DUE + later

    found = latest_missed(parsed(text), DUE, now, BERLIN, limit)

    assert len(found) == missed
    assert all(DUE < one <= now for one in found)
    assert list(found) == sorted(set(found))
    if found:
        following = next_after(parsed(text), found[-1], DUE, BERLIN)
        assert following is not None
        assert following > now

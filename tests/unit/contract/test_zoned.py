from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import to_text
from contract.zoned import local_text, parse_zoned
from runner.zone import find_zone

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        pytest.param("2026-01-15T10:00:00.000Z", NEW_YORK, "2026-01-15T10:00:00.000Z", id="Z"),
        pytest.param("2026-01-15T10:00z", NEW_YORK, "2026-01-15T10:00:00.000Z", id="small z"),
        pytest.param("2026-01-15T10:00:00+05:30", UTC, "2026-01-15T04:30:00.000Z", id="offset"),
        pytest.param("2026-01-15T10:00-0500", BERLIN, "2026-01-15T15:00:00.000Z", id="-0500"),
        pytest.param("2026-01-15T10:00:00", NEW_YORK, "2026-01-15T15:00:00.000Z", id="New York"),
        pytest.param("2026-01-15 10:00", BERLIN, "2026-01-15T09:00:00.000Z", id="east of UTC"),
        pytest.param("2026-01-15", BERLIN, "2026-01-14T23:00:00.000Z", id="date only"),
        pytest.param("2026-01-15T10:00:00.5", UTC, "2026-01-15T10:00:00.500Z", id="fraction"),
        pytest.param(
            "2026-01-15T10:00:00.1234567Z", UTC, "2026-01-15T10:00:00.123Z", id="7 digits"
        ),
        pytest.param("2026-03-29T02:30", BERLIN, "2026-03-29T01:30:00.000Z", id="gap"),
        pytest.param("2026-03-08T02:30", NEW_YORK, "2026-03-08T07:30:00.000Z", id="gap, west"),
        pytest.param("2026-10-25T02:30", BERLIN, "2026-10-25T00:30:00.000Z", id="fold: the first"),
        pytest.param("2026-11-01T01:30", NEW_YORK, "2026-11-01T05:30:00.000Z", id="fold, west"),
        pytest.param("  2026-01-15T10:00  ", UTC, "2026-01-15T10:00:00.000Z", id="blanks"),
    ],
)
def test_text_is_read_in_the_zone(text: str, zone: ZoneInfo, utc: str) -> None:
    moment = parse_zoned(text, zone)

    assert moment is not None
    assert to_text(moment) == utc


def test_time_in_the_gap_moves_forward_by_the_gap() -> None:
    moment = parse_zoned("2026-03-29T02:30", BERLIN)

    assert moment is not None
    assert local_text(moment, BERLIN) == "Mar 29, 2026, 3:30 AM"


def test_invalid_zone_is_treated_as_utc() -> None:
    name, zone = find_zone("Mars/Olympus")

    assert name == "UTC"
    assert parse_zoned("2026-01-15T10:00", zone) == datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "10:00",
        "2026-1-5",
        "2026-13-01",
        "2026-02-30T10:00",
        "2026-01-15T25:00",
        "2026-01-15T10:00+99:00",
        "2026-01-15T10:00+10:75",
        "2026-01-15T10",
        "2026-01-15T10:00 and more",
        "0001-01-01T00:00+10:00",
        "9999-12-31T23:59-10:00",
        "٢٠٢٦-01-15",
        "2026-01-15" + " " * 50,
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_zoned(text, BERLIN) is None


@given(st.text(max_size=45))
def test_any_text_is_read_or_refused(text: str) -> None:
    moment = parse_zoned(text, NEW_YORK)

    assert moment is None or moment.tzinfo is UTC


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001 wall-clock times
    st.sampled_from(["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_wall_clock_time_is_kept_unless_it_does_not_exist(naive: datetime, name: str) -> None:
    naive = naive.replace(microsecond=0)
    zone = ZoneInfo(name)

    moment = parse_zoned(naive.isoformat(), zone)

    assert moment is not None
    back = moment.astimezone(zone).replace(tzinfo=None)
    exists = back == naive
    assert exists or timedelta(0) < back - naive <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        (datetime(2026, 2, 4, 18, 30, tzinfo=UTC), NEW_YORK, "Feb 4, 2026, 1:30 PM"),
        (datetime(2026, 2, 4, 18, 30, tzinfo=UTC), BERLIN, "Feb 4, 2026, 7:30 PM"),
        (datetime(2026, 12, 31, 0, 5, tzinfo=UTC), UTC, "Dec 31, 2026, 12:05 AM"),
        (datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=1))), UTC,
         "Jul 1, 2026, 11:00 AM"),
    ],
)  # fmt: skip
def test_same_instant_is_shown_in_each_zone(moment: datetime, zone: ZoneInfo, text: str) -> None:
    assert local_text(moment, zone) == text

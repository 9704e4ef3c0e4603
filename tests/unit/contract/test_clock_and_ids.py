import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from contract.clock import parse_text, to_text, utc_now
from contract.ids import new_id

MOMENT = datetime(2026, 11, 21, 8, 0, 0, 123000, tzinfo=UTC)


def test_written_times_are_utc_with_milliseconds_and_z() -> None:
    berlin = MOMENT.astimezone(timezone(timedelta(hours=1)))

    assert to_text(MOMENT) == "2026-11-21T08:00:00.123Z"
    assert to_text(berlin) == "2026-11-21T08:00:00.123Z"


def test_microseconds_are_cut_not_rounded_up() -> None:
    assert to_text(MOMENT.replace(microsecond=999_999)) == "2026-11-21T08:00:00.999Z"


def test_a_time_without_zone_is_never_written() -> None:
    with pytest.raises(ValueError, match="zone"):
        to_text(MOMENT.replace(tzinfo=None))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T08:00:00.123Z",
        "2026-11-21T10:00:00.123+02:00",
        "2026-11-21T10:00:00.123+0200",
        "2026-11-21T05:30:00.123-02:30",
        "2026-11-21 08:00:00.123",
    ],
)
def test_every_stored_form_is_read_as_the_same_moment(text: str) -> None:
    assert parse_text(text) == MOMENT


def test_sqlite_form_without_zone_is_utc() -> None:
    assert parse_text("2026-11-21 08:00:00") == MOMENT.replace(microsecond=0)


@pytest.mark.parametrize(
    "value",
    [None, 5, b"2026-11-21", "", "soon", "2026-13-01", "0001-01-01T00:00:00+14:00", "2026" * 20],
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert parse_text(value) is None


def test_now_survives_writing_and_reading() -> None:
    now = utc_now()

    read = parse_text(to_text(now))

    assert read is not None
    assert timedelta(0) <= now - read < timedelta(milliseconds=1)


def test_ids_have_prefix_milliseconds_and_six_characters() -> None:
    before = int(utc_now().timestamp() * 1000)

    found = re.fullmatch(r"appr-note-(\d{13})-[0-9a-z]{6}", new_id("appr-note"))

    assert found is not None
    assert before <= int(found[1]) <= int(utc_now().timestamp() * 1000)


def test_ids_do_not_repeat() -> None:
    assert len({new_id("msg") for _ in range(1000)}) == 1000

"""Times that stand in rows of any age are compared as moments, never as texts (H-7, W-23, W-60)."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from contract.clock import parse_text, to_text
from contract.inbound.select import Candidate, PendingQuery, select_batch

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["UTC", "Asia/Kathmandu", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's own zone, which must not matter."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-05 12:00:00", NOON),
        ("2026-03-05T12:00:00", NOON),
        ("2026-03-05T12:00:00Z", NOON),
        ("2026-03-05T12:00:00z", NOON),
        ("2026-03-05t12:00:00.000z", NOON),
        ("2026-03-05T14:00:00+02:00", NOON),
        ("2026-03-05T14:00:00+0200", NOON),
        ("2026-03-05T07:00:00-05:00", NOON),
        ("garbage", None),
        ("", None),
        (None, None),
    ],
)
def test_t41_time_parsing(zone: str, text: object, moment: datetime | None) -> None:
    assert parse_text(text) == moment


@pytest.mark.parametrize(
    ("text", "is_due"),
    [
        ("2026-03-05 11:59:59", True),
        ("2026-03-05T11:59:59.999Z", True),
        ("2026-03-05T13:59:59+02:00", True),
        ("2026-03-05 12:00:01", False),
        ("2026-03-05T12:00:00.001Z", False),
        ("2026-03-05T13:00:00", False),
        ("someday", False),
    ],
)
def test_w23_a_time_is_due_on_its_own_day_in_every_form(text: str, is_due: bool) -> None:
    """As text an ISO time sorts after every time of the other form until the next day."""
    row = Candidate(2, "m", "task", trigger=True, on_wake=False, process_after=text)

    selection = select_batch([row], PendingQuery(now=NOON, limit=10))

    assert bool(selection.ids) is is_due


def test_w60_new_rows_have_one_form() -> None:
    assert to_text(NOON) == "2026-03-05T12:00:00.000Z"

"""Wall-clock times of a person's zone: from text to UTC, and as people read them.

Used for tasks and prompts; columns of session files are ``clock``'s business. The zone comes in
as an object, because looking one up costs time and may fail, which its owner decides about.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

_MAX_TEXT = 40
_FORM = re.compile(
    r"""
    (?P<date> \d{4}-\d{2}-\d{2})
    (?: [Tt\ ] (?P<time> \d{2}:\d{2} (?: :\d{2} )?) (?: [.,] (?P<fraction> \d{1,9}) )?
        \s* (?P<zone> [Zz] | [+-]\d{2}(?: :?\d{2} )? )?
    )?
    """,
    re.VERBOSE | re.ASCII,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun",
           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # fmt: skip


def parse_zoned(text: str, zone: tzinfo) -> datetime | None:
    """The UTC moment that the text names, or None for anything that is no time (R-127).

    With ``Z`` or an offset it is absolute, else wall-clock time in the zone: in the gap of a
    clock change it moves forward by the gap, in the repeated hour it is the first of the two.
    """
    form = _FORM.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if form is None:
        return None
    clock_time = form["time"] or "00:00"
    try:
        moment = datetime.fromisoformat(f"{form['date']}T{clock_time}").replace(
            microsecond=int((form["fraction"] or "0").ljust(6, "0")[:6]),
            tzinfo=_zone_of(form["zone"], zone),
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def local_text(moment: datetime, zone: tzinfo) -> str:
    """``Feb 4, 2026, 1:30 PM``, whatever the locale (R-125)."""
    t = moment.astimezone(zone)
    half = "AM" if t.hour < 12 else "PM"
    return f"{_MONTHS[t.month - 1]} {t.day}, {t.year}, {t.hour % 12 or 12}:{t.minute:02d} {half}"


def _zone_of(text: str | None, zone: tzinfo) -> tzinfo:
    """Raises ValueError for an offset of a day and more."""
    if text is None:
        return zone
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59:
        raise ValueError("no offset has so many minutes")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text.startswith("-") else offset)

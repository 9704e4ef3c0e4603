"""UTC times to and from text: the only place where either happens.

New rows carry ISO text with milliseconds and ``Z``. Readers also accept explicit offsets and
SQLite's form without a zone, which is UTC and never local time (H-5, H-6). Unreadable text gives
None, which every caller treats as "never due".
"""

from datetime import UTC, datetime

_MAX_TEXT = 40
"""No accepted form is longer; keeps a hostile megabyte away from the parser."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """``2026-11-21T08:00:00.123Z``. A time without zone is a programming error."""
    if moment.tzinfo is None:
        raise ValueError("a stored time needs a zone")
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text[: -len("+00:00")] + "Z"


def parse_text(text: object) -> datetime | None:
    """An aware UTC time, or None for anything that is not a time."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None

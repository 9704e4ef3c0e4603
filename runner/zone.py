"""The time zone in which the agent is shown times (R-124).

Asked once, by the loop. ``zoneinfo`` and its data are loaded only for a zone other than UTC: an
image without zone data, or a wrong name, means UTC and never an error.
"""

from datetime import UTC, tzinfo


def find_zone(name: str) -> tuple[str, tzinfo]:
    """The name that is in force, and the zone."""
    if name and name != "UTC":
        # Imported late: 5 ms on the way to the first answer, which nobody in UTC has to pay.
        from zoneinfo import ZoneInfo

        try:
            return name, ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            pass
    return "UTC", UTC

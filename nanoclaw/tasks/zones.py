"""Time zones by name, for tasks. An unknown name is the caller's to refuse or to replace."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

MAX_NAME = 64


def find_zone(name: str) -> tzinfo | None:
    """None when there is no such zone."""
    if name == "UTC":
        return UTC
    if not name or len(name) > MAX_NAME:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def zone_of(name: str | None, default: str) -> tzinfo:
    """The task's zone, else the installation's, else UTC: a row must run, whatever it says."""
    return find_zone(name or default) or find_zone(default) or UTC

"""What the runner's exit code tells the host (R-3, style 2.9).

Written by ``runner/__main__.py``, read by whoever settles a stopped container. Docker itself
uses 125 to 127; we do not.
"""

from enum import IntEnum


class RunnerExit(IntEnum):
    """Planned end, crash, try again later, or do not start again until someone acts."""

    DONE = 0
    FAILED = 1
    TEMPFAIL = 75
    CONFIG = 78

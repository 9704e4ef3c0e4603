"""Named points at which a test may stop or kill the process, one per durable step.

``reached`` costs one comparison unless ``NANOCLAW_KILL_DIR`` names a folder. There, a file with
the point's name arms it once: content ``self`` kills this process with SIGKILL, content ``pause``
holds it (bounded) while the test kills somebody else. The crash matrix finds all points by
reading the code, so the name must be a string literal.
"""

import os
import signal
import time
from pathlib import Path

VARIABLE = "NANOCLAW_KILL_DIR"
PAUSE_SECONDS = 30.0
_POLL_SECONDS = 0.005

_folder = os.environ.get(VARIABLE)


def reached(point: str) -> None:
    """Marks that everything before this line is durable and nothing after it has happened."""
    if _folder is not None:
        _act(Path(_folder), point)


def to_environment() -> dict[str, str]:
    """What a child process needs to have the same points armed; empty outside crash tests."""
    return {} if _folder is None else {VARIABLE: _folder}


def _act(folder: Path, point: str) -> None:
    armed, taken = folder / point, folder / f"{point}.reached"
    try:
        armed.rename(taken)  # one process only, even if several reach the point at once
        action = taken.read_text()
    except OSError:
        return  # not armed, or let go again at once
    if action == "self":
        os.kill(os.getpid(), signal.SIGKILL)
    deadline = time.monotonic() + PAUSE_SECONDS
    while taken.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)

"""Whether the service really runs (S-124): its manager says so and the host answers.

Used by ``actions``. A host that has given up, or was never started, is not waited for.
"""

import time
from collections.abc import Callable
from pathlib import Path

from nanoclaw.admin.client import ask
from nanoclaw.errors import NanoclawError
from nanoclaw.paths import HostPaths
from nanoclaw.service.kinds import ManagerState
from nanoclaw.service.manager import Manager

READY_SECONDS = 30.0
POLL_SECONDS = 0.2
ASK_SECONDS = 3.0
ERROR_LINES = 20
TAIL_BYTES = 64 * 1024
PROGRESS_SECONDS = 5.0

Say = Callable[[str], None]


def host_answers(paths: HostPaths) -> bool:
    try:
        ask(paths.socket("ncl"), "status", {}, ASK_SECONDS)
    except NanoclawError:
        return False
    return True


def wait_until_running(
    manager: Manager, paths: HostPaths, say: Say, *, seconds: float = READY_SECONDS
) -> tuple[bool, ManagerState]:
    """Whether it runs within ``seconds``, and the manager's last word."""
    deadline = time.monotonic() + seconds
    next_word = time.monotonic() + PROGRESS_SECONDS
    while True:
        state = manager.state()
        if state.active and host_answers(paths):
            return True, state
        if state.failed or time.monotonic() > deadline:
            return False, state
        if time.monotonic() > next_word:
            say(f"waiting for the host to answer; {manager.name} is {state.text}")
            next_word += PROGRESS_SECONDS
        time.sleep(POLL_SECONDS)


def last_lines(path: Path, count: int = ERROR_LINES) -> tuple[str, ...]:
    """The end of a log file, however long it is; nothing when it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ()
    lines = text.splitlines()
    return tuple(lines[-count:]) if count > 0 else ()

"""What the running host is doing, for ``status`` and ``ncl status``: processes and work.

Used by the ``admin`` process. Opens the database for one question at a time and closes it again,
so that an idle admin process holds nothing. Reads only.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

from contract.clock import utc_now
from nanoclaw.db.connection import open_read_only
from nanoclaw.db.overview import WorkCounts, read_work_counts
from nanoclaw.paths import HostPaths
from nanoclaw.supervise.status import HostStatus, read_status

MAX_STATE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pong:
    """A sign of life."""

    version: str
    pid: int


@dataclass(frozen=True, slots=True)
class Overview:
    """``containers`` is what the sweep wrote last about the engine; empty before it has."""

    host: HostStatus | None
    work: WorkCounts
    containers: Mapping[str, str] = field(default_factory=dict)


def read_overview(paths: HostPaths) -> Overview:
    """Raises StateError when the database cannot be read."""
    with closing(open_read_only(paths.central_db)) as conn:
        work = read_work_counts(conn, utc_now())
    return Overview(read_status(paths.status_file), work, read_sweep_state(paths))


def read_sweep_state(paths: HostPaths) -> dict[str, str]:
    """The plain values of ``run/sweep.json`` as text; anything unreadable is left out."""
    try:
        with (paths.run / "sweep.json").open("rb") as file:
            state = json.loads(file.read(MAX_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(state, dict):
        return {}
    return {
        key: str(value)
        for key, value in state.items()
        if isinstance(value, str | int | float) and value != ""
    }

"""``run/sweep.json``: what the sweep has to tell, for ``nanoclaw status`` and the admin process.

Written by ``loop`` whenever something in it changes, as a whole; flat, plain values only. A file
that cannot be written stops nothing.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from contract.clock import to_text
from nanoclaw.config import HostConfig
from nanoclaw.containers.network import door_text, read_network
from nanoclaw.paths import HostPaths
from nanoclaw.sweep.agents import AgentTable, Stage
from nanoclaw.sweep.engine import Engine

NAME = "sweep.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Empty text stands for nothing to say."""

    runtime: str
    engine: str
    reason: str
    since: str
    image: str
    code: str
    running: int
    starting: int
    stopping: int
    waiting: int
    max_running: int
    build: str = ""
    door: str = ""
    build_failures: int = 0
    build_error: str = ""
    build_next_attempt: str = ""


def read_status(
    config: HostConfig, engine: Engine, agents: AgentTable, waiting: int
) -> SweepStatus:
    """How things stand just now."""
    builds = engine.builds
    stages = [agent.stage for agent in agents.all()]
    return SweepStatus(
        runtime=config.runtime.value,
        engine=engine.state.value,
        reason=engine.reason,
        since=to_text(engine.since),
        image=engine.image_id or "",
        code=engine.payload.version,
        running=stages.count(Stage.RUNNING),
        starting=stages.count(Stage.STARTING),
        stopping=stages.count(Stage.STOPPING) + stages.count(Stage.SETTLING),
        waiting=waiting,
        max_running=config.max_running,
        build=builds.progress,
        door=door_text(read_network(config.paths)) if engine.is_docker else "",
        build_failures=builds.failures,
        build_error=builds.error,
        build_next_attempt=to_text(builds.next_at) if builds.next_at else "",
    )


class StatusFile:
    """Writes only what differs from the last time."""

    def __init__(self, paths: HostPaths) -> None:
        self.path: Path = paths.run / NAME
        self._last: SweepStatus | None = None

    def write(self, status: SweepStatus) -> bool:
        """True when it was different."""
        if status == self._last:
            return False
        self._last = status
        temporary = self.path.with_name(NAME + ".new")
        try:
            temporary.write_text(json.dumps(asdict(status), indent=1) + "\n")
            temporary.replace(self.path)
        except OSError as error:
            log.warning("status not written", extra={"reason": str(error)})
        return True

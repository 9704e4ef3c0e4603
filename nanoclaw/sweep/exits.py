"""Follows each container from the moment it must or did end until its session is free again.

Called by ``loop``. Reads how it ended, keeps the end of its log, has ``settle`` draw the
consequences, removes what is left of it, and only then lets go of the session: until then a second
start would meet the old container's name. An engine that vanishes in between loses nothing, because
the next comparison finds the dead container again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from contract.clock import utc_now
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileCorrupt, SnapshotBusy
from contract.killpoint import reached
from nanoclaw.containers.logs import append_entry
from nanoclaw.containers.runtime import EngineDown, ExitReport, Runtime
from nanoclaw.containers.spec import STOP_SECONDS
from nanoclaw.errors import ContainerError
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor
from nanoclaw.sweep.agents import Agent, AgentTable, Stage
from nanoclaw.sweep.decide import Stop
from nanoclaw.sweep.doors import DoorKeeper
from nanoclaw.sweep.engine import Engine
from nanoclaw.sweep.offload import Offload
from nanoclaw.sweep.settle import Ending, Settler

BUSY_RETRY_SECONDS = 0.25
CALL_RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExitParts:
    """What ``loop`` shares with it."""

    reactor: Reactor
    paths: HostPaths
    agents: AgentTable
    engine: Engine
    offload: Offload
    settler: Settler
    doors: DoorKeeper


class Exits:
    """``on_free`` is called when a session has been settled and its place is free."""

    def __init__(self, parts: ExitParts, on_free: Callable[[], None]) -> None:
        self._parts = parts
        self._on_free = on_free

    def stop(self, agent: Agent, stop: Stop) -> None:
        """Has a running container ended; what follows is the same as for any other end."""
        runtime = self._parts.engine.runtime
        if agent.stage is not Stage.RUNNING or runtime is None:
            return
        agent.stage, agent.stop = Stage.STOPPING, stop
        log.info(
            "agent is stopped",
            extra={
                "session": agent.session_id,
                "container": agent.container_id[:12],
                "reason": f"{stop.reason.value} {stop.detail}".strip(),
            },
        )
        container_id = agent.container_id
        self._parts.offload.submit(
            lambda: runtime.stop(container_id, STOP_SECONDS),
            lambda _: self.ended(agent),
            lambda error: self._not_stopped(agent, error),
        )

    def ended(self, agent: Agent) -> None:
        """Its container is dead; called as often as somebody notices."""
        runtime = self._parts.engine.runtime
        if agent.stage is Stage.SETTLING or runtime is None:
            return
        agent.stage = Stage.SETTLING
        reached("sweep.exit_seen")
        self._parts.offload.submit(
            lambda: self._read(runtime, agent),
            lambda report: self._on_report(agent, report),
            lambda error: self._not_read(agent, error),
        )

    def vanished(self, agent: Agent) -> None:
        """The runtime does not know it any more, so nobody can say how it ended."""
        if agent.stage is not Stage.SETTLING:
            agent.stage = Stage.SETTLING
            self._on_report(agent, ExitReport(None, detail="it is gone"))

    def _read(self, runtime: Runtime, agent: Agent) -> ExitReport:
        """On a worker thread."""
        report = runtime.read_exit(agent.container_id)
        heading = f"container {agent.container_id[:12]} ended with code {report.code}"
        if report.out_of_memory:
            heading += ", out of memory"
        try:
            path = self._parts.paths.session_log(agent.session_id)
            append_entry(path, heading, report.log_tail, utc_now())
        except OSError as error:
            log.warning("log not kept", extra={"session": agent.session_id, "reason": str(error)})
        return report

    def _on_report(self, agent: Agent, report: ExitReport) -> None:
        if self._parts.settler.mark_stopped(agent, utc_now()):
            self._parts.doors.closed()
        self._settle(agent, report)

    def _settle(self, agent: Agent, report: ExitReport) -> None:
        settler, now = self._parts.settler, utc_now()
        try:
            settler.settle(Ending(agent, report, now))
        except (SessionFileBusy, SnapshotBusy):
            self._parts.reactor.call_later(BUSY_RETRY_SECONDS, lambda: self._settle(agent, report))
            return
        except SessionFileCorrupt as error:
            settler.set_aside(agent, now, str(error))
        except SchemaMismatch as error:
            settler.abandon(agent, now, str(error))
        self._remove(agent)

    def _remove(self, agent: Agent) -> None:
        runtime = self._parts.engine.runtime
        if runtime is None:
            self._free(agent)
            return
        container_id = agent.container_id
        self._parts.offload.submit(
            lambda: runtime.remove(container_id),
            lambda _: self._free(agent),
            lambda error: self._not_removed(agent, error),
        )

    def _free(self, agent: Agent) -> None:
        self._parts.agents.remove(agent)
        self._on_free()

    def _not_stopped(self, agent: Agent, error: ContainerError) -> None:
        """Perhaps it is dead all the same: the comparison after the interruption will tell."""
        if agent.stage is not Stage.STOPPING:
            return
        agent.stage = Stage.RUNNING
        if isinstance(error, EngineDown):
            self._parts.engine.lost(error)
            return
        log.error("agent not stopped", extra={"session": agent.session_id, "reason": str(error)})

    def _not_read(self, agent: Agent, error: ContainerError) -> None:
        agent.stage = Stage.RUNNING
        if isinstance(error, EngineDown):
            self._parts.engine.lost(error)
            return
        log.error("end not read", extra={"session": agent.session_id, "reason": str(error)})
        self._parts.reactor.call_later(CALL_RETRY_SECONDS, lambda: self.ended(agent))

    def _not_removed(self, agent: Agent, error: ContainerError) -> None:
        """The dead container keeps the name; the next start of the session removes it."""
        log.warning("not removed", extra={"session": agent.session_id, "reason": str(error)})
        self._free(agent)
        if isinstance(error, EngineDown):
            self._parts.engine.lost(error)

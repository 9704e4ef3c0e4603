"""The sweep's loop: starts agents that have work, watches those that run, settles those that end.

Woken by frames, its bell, the runtime's events and the exact time of the next due message; with
nothing running and nothing due it sleeps, whatever the number of sessions. Joins ``engine``,
``starter``, ``exits``, ``adoption`` and ``rounds``; holds no policy itself.
"""

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contract.clock import to_text, utc_now
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.config import HostConfig
from nanoclaw.containers.mounts import MountPolicy
from nanoclaw.containers.payload import remove_unused
from nanoclaw.containers.runtime import Found
from nanoclaw.db import sessions
from nanoclaw.events import BuildImage, Frame, Ok, StopContainers, Wake
from nanoclaw.link import Peer, QuietHandler
from nanoclaw.model import Session
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.sessions.notice import Notice, chat_of, for_people, queue_notice
from nanoclaw.sessions.quarantine import WorkMarker
from nanoclaw.sweep import notices
from nanoclaw.sweep.adoption import Adoption, AdoptionParts
from nanoclaw.sweep.agents import Agent, AgentTable, Stage
from nanoclaw.sweep.decide import Stop, StopReason
from nanoclaw.sweep.disk import DiskWatch
from nanoclaw.sweep.doors import DoorKeeper
from nanoclaw.sweep.engine import Engine
from nanoclaw.sweep.exits import ExitParts, Exits
from nanoclaw.sweep.full_disk import HOLD_SECONDS, FullDisk
from nanoclaw.sweep.group_builds import GroupBuilds, GroupEntry
from nanoclaw.sweep.group_images import GroupImages
from nanoclaw.sweep.health import Health
from nanoclaw.sweep.offload import Offload
from nanoclaw.sweep.output import OutputReader
from nanoclaw.sweep.queue import Queue
from nanoclaw.sweep.recovery import is_given_up, recover, try_once_more
from nanoclaw.sweep.rounds import Rounds
from nanoclaw.sweep.settle import Settler
from nanoclaw.sweep.starter import Starter, StarterParts, StartRefused
from nanoclaw.sweep.status import StatusFile, read_status
from nanoclaw.sweep.task_watch import TaskWatch

SAFETY_SECONDS = 30.0
PRESSURE_SECONDS = 1.0
STOP_LIMIT_SECONDS = 15.0
REMEMBERED_DEATHS = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepParts:
    """What the composition root has built."""

    reactor: Reactor
    conn: sqlite3.Connection
    config: HostConfig
    owner: str
    offload: Offload
    engine: Engine
    marker: WorkMarker
    passed_on: tuple[tuple[str, str], ...]
    note: Callable[[str, str], None]
    build_group: GroupEntry | None = None
    """What the builder process runs for the image of one group."""


class SweepLoop(QuietHandler):
    """Serves ``run/sweep.sock`` and listens to the engine; every method runs on the reactor."""

    def __init__(self, parts: SweepParts) -> None:
        self._reactor = parts.reactor
        self._conn = parts.conn
        self._config = parts.config
        self._paths = parts.config.paths
        self._engine = parts.engine
        self._offload = parts.offload
        self._marker = parts.marker
        self._note = parts.note
        self._agents = AgentTable()
        reader = OutputReader(parts.marker, self._paths.run)
        self._tasks = TaskWatch(parts.conn, parts.config)
        settler = Settler(parts.conn, self._paths, parts.marker, reader, self._tasks.keeper)
        self._doors = DoorKeeper(parts.reactor, parts.conn, self._paths)
        self._exits = Exits(
            ExitParts(
                parts.reactor, self._paths, self._agents, parts.engine, parts.offload, settler,
                self._doors,
            ),
            self._look_soon,
        )  # fmt: skip
        builds = GroupBuilds(parts.reactor, parts.config, parts.engine, parts.build_group)
        self._images = GroupImages(parts.conn, parts.config, parts.engine, builds)
        self._starter = Starter(
            StarterParts(
                parts.conn, parts.config, parts.owner, self._agents, parts.engine, parts.offload,
                self._doors, parts.passed_on, self._images, MountPolicy(parts.config.home),
            ),
            self._on_up, self._look_soon, self._remove_stranger,
        )  # fmt: skip
        self._adoption = Adoption(
            AdoptionParts(
                parts.conn, self._paths, parts.owner, parts.engine.payload.version, self._agents,
                self._exits, self._starter.limits_of, self._remove_stranger,
            )
        )  # fmt: skip
        disk = DiskWatch(parts.offload, parts.conn)
        self._full_disk = FullDisk(parts.conn, self._paths, disk)
        watches = (Health(parts.conn, reader), disk, self._tasks)
        self._rounds = Rounds(parts.reactor, parts.conn, self._agents, watches, parts.owner)
        self._status = StatusFile(self._paths)
        self._started_at = utc_now()
        self._held: set[str] = set()
        self._recently_died: OrderedDict[str, None] = OrderedDict()
        self._look_planned = False
        self._due_timer: Timer | None = None
        self._pressure_timer: Timer | None = None
        self._queue = Queue(parts.conn, self._agents)
        self._stopping = False
        self._on_stopped: Callable[[], None] | None = None

    # --- life -------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Before anything else; see ``recovery``."""
        recover(self._conn, self._paths, self._marker)
        self._doors.recover(utc_now())

    def start(self) -> None:
        self._rounds.start(self._stop_agent)
        self._engine.start(self)
        if sessions.running(self._conn):
            self._engine.want()
        self._safety()

    def stop(self, on_stopped: Callable[[], None]) -> None:
        """Starts nothing more. Agents stay for the next sweep to adopt, unless they are to go with
        the host or cannot live without it."""
        if self._stopping:
            return
        self._stopping = True
        self._on_stopped = on_stopped
        if not self._config.stop_agents_on_exit and self._engine.is_docker:
            self._finish_stop()
            return
        self._reactor.call_later(STOP_LIMIT_SECONDS, self._finish_stop)
        for agent in self._agents.up():
            self._exits.stop(agent, Stop(StopReason.HOST_STOPS))
        self._look_soon()

    def close(self) -> None:
        self._images.close()
        self._engine.close()
        self._doors.close()
        self._marker.close()

    def _finish_stop(self) -> None:
        on_stopped, self._on_stopped = self._on_stopped, None
        if on_stopped is not None:
            on_stopped()

    # --- who wants something ----------------------------------------------------------------------

    def on_notice(self, peer: Peer, body: Frame) -> None:
        if isinstance(body, Wake):
            self._wake(body.session_ids)
        elif isinstance(body, StopContainers):
            self._stop_containers(body)

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, BuildImage):
            self._images.build(body, lambda answer: peer.answer(request_id, answer))
            return
        if not isinstance(body, Wake | StopContainers):
            super().on_request(peer, request_id, body)
            return
        self.on_notice(peer, body)
        peer.answer(request_id, Ok())

    def on_bell(self) -> None:
        self._look_soon()

    def _wake(self, session_ids: Iterable[str]) -> None:
        """A hint only: what is due stands in the database."""
        now = utc_now()
        for session_id in session_ids:
            session = sessions.get(self._conn, session_id)
            if session is not None and is_given_up(session, now):
                self._wake_given_up(session)
        self._look_soon()

    def _wake_given_up(self, session: Session) -> None:
        if try_once_more(self._conn, session, self._started_at):
            return
        now = utc_now()
        occasion = f"given-up/{session.container_failures}/{to_text(now)[:13]}"  # once an hour
        reason = session.container_error or "something has to be put right first"
        text = notices.CANNOT_START.format(reason=for_people(reason))
        notice = Notice(occasion, text, chat_of(self._conn, session))
        if queue_notice(self._conn, session, notice, now):
            ring(self._paths, DELIVERY)

    def _stop_containers(self, body: StopContainers) -> None:
        """A container that is only coming up is stopped as soon as it is there (W-34)."""
        leases = dict(zip(body.session_ids, body.leases, strict=False))
        for session_id in body.session_ids:
            agent = self._agents.get(session_id)
            if agent is None or leases.get(session_id, agent.lease) != agent.lease:
                continue
            stop = Stop(StopReason.REQUESTED, body.reason)
            if agent.stage is Stage.STARTING:
                agent.stop = stop
            else:
                self._exits.stop(agent, stop)

    # --- starting ---------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        """Any number of calls in one round of the reactor are one look."""
        if not self._look_planned:
            self._look_planned = True
            self._reactor.post(self._look)

    def _look(self) -> None:
        self._look_planned = False
        if self._stopping:
            if not len(self._agents):
                self._finish_stop()
            return
        now = utc_now()
        due = [session for session in self._queue.due(now) if session.id not in self._held]
        due = self._tasks.still_due(due, now)
        if due:
            self._engine.want()
        self._start_some(due)
        self._make_room()
        self._rounds.keep_going()
        self._set_due_timer()
        self._write_status()

    def _start_some(self, due: list[Session]) -> None:
        runtime = self._engine.runtime
        free = self._config.max_running - len(self._agents) if runtime is not None else 0
        for session in self._queue.choose(due, free, self._started_at):
            assert runtime is not None, "nobody was chosen without it"
            try:
                self._refuse_full_disk(session)
                self._starter.begin(session, runtime)
            except StartRefused as error:
                self._hold(session.id, error)

    def _refuse_full_disk(self, session: Session) -> None:
        """Raises StartRefused for one whose files took too much when they were last measured."""
        folders = self._adoption.disk_folders(session)
        disk_bytes = self._starter.limits_of(session.agent_group_id).disk_bytes
        if self._full_disk.keeps_out(session, folders, disk_bytes):
            raise StartRefused(StopReason.DISK.value, HOLD_SECONDS)

    def _hold(self, session_id: str, refused: StartRefused) -> None:
        """Not now, but soon; in between others may go first."""
        log.info("start put off", extra={"session": session_id, "reason": str(refused)})
        self._held.add(session_id)

        def release() -> None:
            self._held.discard(session_id)
            self._look_soon()

        self._reactor.call_later(refused.seconds, release)

    def _make_room(self) -> None:
        """Idle agents leave earlier while others wait."""
        if self._pressure_timer is not None:
            self._pressure_timer.cancel()
            self._pressure_timer = None
        if not self._queue.waiting or self._engine.runtime is None:
            return
        for session_id in self._queue.victims(self._rounds.idle_agents()):
            agent = self._agents.get(session_id)
            if agent is not None:
                self._exits.stop(agent, Stop(StopReason.PRESSURE))
        self._pressure_timer = self._reactor.call_later(PRESSURE_SECONDS, self._look_soon)

    def _set_due_timer(self) -> None:
        """At the exact time of the next due message, not in the next minute."""
        if self._due_timer is not None:
            self._due_timer.cancel()
            self._due_timer = None
        due_at = sessions.next_due_at(self._conn)
        if due_at is None:
            return
        delay = (due_at - utc_now()).total_seconds()
        if delay > 0:  # else it waits for a place or for the engine, which tell us themselves
            wait = min(delay + 0.001, SAFETY_SECONDS)
            self._due_timer = self._reactor.call_later(wait, self._look_soon)

    def _safety(self) -> None:
        """Hints may get lost; this is one question to an index, and one to the runtime."""
        self._look_soon()
        if self._agents.up():
            self._engine.check()
        self._reactor.call_later(SAFETY_SECONDS, self._safety)

    # --- what happens to those that run -----------------------------------------------------------

    def _on_up(self, agent: Agent) -> None:
        if agent.container_id in self._recently_died:
            self._exits.ended(agent)
        elif self._stopping:
            self._exits.stop(agent, Stop(StopReason.HOST_STOPS))
        elif agent.stop is not None:
            self._exits.stop(agent, agent.stop)
        self._rounds.keep_going()
        self._write_status()

    def _stop_agent(self, agent: Agent, stop: Stop) -> None:
        if stop.reason is StopReason.DISK:
            self._full_disk.stopped(agent)
        self._exits.stop(agent, stop)
        self._write_status()

    def _remove_stranger(self, container_id: str) -> None:
        """A container of ours that works for nobody."""
        runtime = self._engine.runtime
        if runtime is not None:
            self._offload.submit(
                lambda: runtime.remove(container_id),
                lambda _: self._look_soon(),
                self._engine.lost,
            )

    # --- the engine -------------------------------------------------------------------------------

    def on_engine_change(self) -> None:
        self._look_soon()
        if sessions.running(self._conn):
            self._engine.want()

    def known_containers(self) -> frozenset[str]:
        return frozenset(agent.container_id for agent in self._agents.up())

    def on_connected(self, found: list[Found], known_before: frozenset[str]) -> None:
        self._adoption.compare(found, known_before)
        for agent in self._agents.up():
            # The list is older than the events that came while it was on its way.
            if agent.container_id in self._recently_died:
                self._exits.ended(agent)
        used = {agent.runtime_version for agent in self._agents.all()}
        remove_unused(self._paths, {*used, self._engine.payload.version})
        if self._stopping:
            for agent in self._agents.up():
                self._exits.stop(agent, Stop(StopReason.HOST_STOPS))
        self._look_soon()

    def on_checked(self, found: list[Found], known_before: frozenset[str]) -> None:
        self._adoption.confirm(found, known_before)

    def on_died(self, container_id: str) -> None:
        """It may have died before its start was reported back, so its name is kept for a while."""
        self._recently_died[container_id] = None
        if len(self._recently_died) > REMEMBERED_DEATHS:
            self._recently_died.popitem(last=False)
        agent = self._agents.by_container(container_id)
        if agent is not None:
            self._exits.ended(agent)

    # --- what is shown ----------------------------------------------------------------------------

    def _write_status(self) -> None:
        status = read_status(self._config, self._engine, self._agents, self._queue.waiting)
        if self._status.write(status):
            self._note("engine", f"{status.engine} {status.reason}".strip())

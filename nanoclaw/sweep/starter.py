"""Starts one container: lease, files, mounts, runtime; in this order, each step repeatable.

Called by ``loop`` for a session that is due. What needs the database or the host's own folders is
done here at once, what may take long (changing owners, the engine) on a worker thread. A start that
fails leaves the messages where they are and says in the session's row when the next one is due.
"""

import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from contract import layout
from contract.clock import utc_now
from contract.config import DoorConfig
from contract.errors import SchemaMismatch, SessionFileBusy, SessionFileCorrupt, SessionFileMissing
from contract.killpoint import reached
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.config import HostConfig, host_environment
from nanoclaw.containers.gateway.client import Gateway
from nanoclaw.containers.group_folder import ensure_group_folder, ensure_home, shared_memory
from nanoclaw.containers.materialize import (
    InstallFacts,
    StartFacts,
    decide_provider,
    idle_exit_seconds,
    materialize,
)
from nanoclaw.containers.mounts import MountPolicy
from nanoclaw.containers.ownership import Owner, hand_over
from nanoclaw.containers.runtime import EngineDown, ImageMissing, NameTaken, Runtime
from nanoclaw.containers.spec import (
    ContainerSpec,
    Folders,
    Mount,
    SpecFacts,
    build_spec,
    decide_limits,
    decide_user,
)
from nanoclaw.containers.trust import materialize_trust
from nanoclaw.db import agent_groups, container_configs, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.errors import ConfigError, ContainerError
from nanoclaw.model import AgentGroup, ContainerConfig, ContainerStart, Session
from nanoclaw.paths import HostPaths
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.notice import Notice, chat_of, for_people, queue_notice
from nanoclaw.sessions.set_aside import set_aside
from nanoclaw.sweep import notices
from nanoclaw.sweep.agents import Agent, AgentLimits, AgentTable, Stage, agent_of
from nanoclaw.sweep.decide import decide_door
from nanoclaw.sweep.doors import DoorKeeper, NewDoor
from nanoclaw.sweep.ends.decide import TELL_AFTER_FAILURES, UNTIL_SOMEBODY_ACTS, start_delay
from nanoclaw.sweep.engine import Engine
from nanoclaw.sweep.group_images import BeingBuilt, GroupImages
from nanoclaw.sweep.offload import Offload
from nanoclaw.sweep.output import forget_heartbeat

LEASE_TTL = timedelta(seconds=90)
HOLD_SECONDS = 0.25
BUILD_SECONDS = 5.0
"""A build takes minutes; nobody has to look four times a second."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StarterParts:
    """What ``loop`` shares with it."""

    conn: sqlite3.Connection
    config: HostConfig
    owner: str
    """Whose leases these are: this installation on this machine."""
    agents: AgentTable
    engine: Engine
    offload: Offload
    doors: DoorKeeper
    passed_on: tuple[tuple[str, str], ...]
    images: GroupImages
    mounts: MountPolicy


class StartRefused(Exception):  # noqa: N818
    """Not now. Nothing was counted against the session, which may try again soon."""

    def __init__(self, reason: str, seconds: float = HOLD_SECONDS) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Starter:
    """``on_free`` is called when a place has become free again without an exit."""

    def __init__(
        self,
        parts: StarterParts,
        on_up: Callable[[Agent], None],
        on_free: Callable[[], None],
        on_stranger: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._paths: HostPaths = parts.config.paths
        self._on_up = on_up
        self._on_free = on_free
        self._on_stranger = on_stranger
        self._user = decide_user(os.getuid(), os.getgid())
        self._gateway = Gateway(parts.config, host_environment())

    def limits_of(self, agent_group_id: str) -> AgentLimits:
        """For a container that is adopted rather than started."""
        config = self._config_of(agent_group_id)
        group = agent_groups.get(self._parts.conn, agent_group_id)
        own = config.idle_exit_seconds if group is not None else None
        idle = self._parts.config.idle_exit_seconds if own is None else own
        return _agent_limits(config, idle)

    def begin(self, session: Session, runtime: Runtime) -> None:
        """Puts the session into the table and starts it. Raises StartRefused."""
        conn, now = self._parts.conn, utc_now()
        group = agent_groups.get(conn, session.agent_group_id)
        if group is None:
            self._give_up(session, "its agent group is gone", UNTIL_SOMEBODY_ACTS)
            return
        lease = sessions.acquire_lease(conn, session.id, self._parts.owner, now, LEASE_TTL)
        if lease is None:
            raise StartRefused("another host works on it")
        reached("sweep.leased")
        try:
            agent, spec = self._prepare(session, group, lease, now)
        except (SessionFileBusy, StartRefused, BeingBuilt) as error:
            self._let_go(session.id, lease)
            seconds = BUILD_SECONDS if isinstance(error, BeingBuilt) else HOLD_SECONDS
            raise StartRefused(str(error), seconds) from error
        except SessionFileCorrupt as error:
            self._let_go(session.id, lease)
            set_aside(conn, self._paths, session, str(error), now)
            return
        except (SchemaMismatch, ConfigError) as error:
            self._let_go(session.id, lease)
            self._give_up(session, str(error), UNTIL_SOMEBODY_ACTS)
            return
        except (OSError, ContainerError) as error:
            self._let_go(session.id, lease)
            about = "its files cannot be prepared: " if isinstance(error, OSError) else ""
            self._give_up(session, f"{about}{error}")
            return
        reached("sweep.materialized")
        self._parts.agents.add(agent)
        self._parts.offload.submit(
            lambda: self._start(runtime, spec, group, agent.folder.in_dir),
            lambda container_id: self._started(agent, container_id),
            lambda error: self._failed(agent, session, spec, error),
        )

    def _let_go(self, session_id: str, lease: int) -> None:
        """Nothing was started: the token goes with the lease."""
        self._parts.doors.close_of(session_id, utc_now())
        sessions.release_lease(self._parts.conn, session_id, lease)

    def _prepare(
        self, session: Session, group: AgentGroup, lease: int, now: datetime
    ) -> tuple[Agent, ContainerSpec]:
        config = self._config_of(group.id)
        install = self._parts.config
        facts = StartFacts(
            session=session,
            group=group,
            config=config,
            install=InstallFacts(
                install.timezone,
                install.assistant_name,
                install.provider,
                install.idle_exit_seconds,
                install.prices,
            ),
            lease=lease,
        )
        folder = SessionFolder.of(self._paths, group.id, session.id)
        if not folder.exists():
            folder.create()  # due before the router has got to writing its file
        forget_heartbeat(folder)
        door = self._open_door(facts, now)
        if door is not None:
            inside = layout.MOUNT_DOOR if self._parts.engine.is_docker else str(door.folder)
            facts = replace(facts, door=DoorConfig(token=door.token, folder=inside))
        spec = build_spec(self._spec_facts(facts, folder, door))
        try:
            materialize_trust(self._paths, folder.in_dir, has_door=door is not None)
            materialize(self._parts.conn, folder, facts)
        except SessionFileMissing as error:
            raise StartRefused(str(error)) from error
        agent = agent_of(session, folder, _agent_limits(config, idle_exit_seconds(facts)), now)
        agent.lease = lease
        agent.started_at = now
        agent.runtime_version = self._parts.engine.payload.version
        agent.disk_folders = tuple(
            str(mount.source) for mount in spec.mounts if not mount.read_only
        )
        return agent, spec

    def _open_door(self, facts: StartFacts, now: datetime) -> NewDoor | None:
        """Only for those that need one, so that a host of scripted agents runs no vault."""
        if not decide_door(decide_provider(facts), facts.config.egress_mode):
            return None
        return self._parts.doors.open(facts.session, facts.lease, now)

    def _spec_facts(
        self, facts: StartFacts, folder: SessionFolder, door: NewDoor | None
    ) -> SpecFacts:
        payload = self._parts.engine.payload
        return SpecFacts(
            slug=self._paths.slug,
            session=facts.session,
            group=facts.group,
            config=facts.config,
            image=self._parts.images.image_for(facts.config),
            lease=facts.lease,
            runtime_version=payload.version,
            folders=Folders(
                in_dir=folder.in_dir,
                out_dir=folder.out_dir,
                group=ensure_group_folder(self._paths, facts.group.folder),
                home=ensure_home(self._paths, facts.group.id),
                app=payload.folder,
                log_file=self._paths.session_log(facts.session.id),
                global_dir=shared_memory(self._paths),
                door=door.folder if door is not None else None,
            ),
            user=self._user,
            timezone=facts.install.timezone,
            passed_on=self._parts.passed_on,
            extra_mounts=self._extra_mounts(facts),
        )

    def _extra_mounts(self, facts: StartFacts) -> tuple[Mount, ...]:
        """Without a sandbox there is nothing to mount into."""
        if not self._parts.engine.is_docker:
            return ()
        checked = self._parts.mounts.check(facts.config.additional_mounts)
        for line in checked.refused:
            log.warning("mount refused", extra={"group": facts.group.id, "reason": line})
        return checked.mounts

    def _config_of(self, agent_group_id: str) -> ContainerConfig:
        """With defaults for a group that other tools have made (W-58)."""
        found = container_configs.get(self._parts.conn, agent_group_id)
        if found is None:
            container_configs.ensure(self._parts.conn, agent_group_id, utc_now())
            found = container_configs.get(self._parts.conn, agent_group_id)
        return found or ContainerConfig(agent_group_id, utc_now())

    def _start(self, runtime: Runtime, spec: ContainerSpec, group: AgentGroup, in_dir: Path) -> str:
        """On a worker thread. No container without the gateway, where one is needed (H-189)."""
        if spec.source_of(layout.MOUNT_DOOR) is not None:
            given = self._gateway.apply(group.id, group.name, in_dir)
            spec = replace(spec, environment=(*given, *spec.environment))
        if self._parts.engine.is_docker and spec.user.hand_over:
            owner = Owner(spec.user.uid, spec.user.gid)
            for mount in spec.mounts:
                if not mount.read_only:
                    hand_over(Path(mount.source), owner)
        container_id = runtime.start(spec)
        reached("sweep.container_started")
        return container_id

    def _started(self, agent: Agent, container_id: str) -> None:
        agent.container_id = container_id
        agent.started_at = utc_now()
        agent.stage = Stage.RUNNING
        start = ContainerStart(container_id, agent.started_at, agent.runtime_version)
        sessions.set_running(self._parts.conn, agent.session_id, start)
        reached("sweep.marked_running")
        self._parts.doors.remind()
        ring(self._paths, DELIVERY)
        log.info(
            "agent started",
            extra={
                "session": agent.session_id,
                "group": agent.agent_group_id,
                "container": container_id[:12],
            },
        )
        self._on_up(agent)

    def _failed(
        self, agent: Agent, session: Session, spec: ContainerSpec, error: ContainerError
    ) -> None:
        self._parts.agents.remove(agent)
        self._let_go(session.id, agent.lease)
        if isinstance(error, EngineDown):
            self._parts.engine.lost(error)
        elif isinstance(error, ImageMissing) and spec.image == self._parts.engine.image_id:
            self._parts.engine.image_gone()
        elif isinstance(error, ImageMissing) and self._parts.images.is_own(spec.image):
            self._parts.images.gone(spec.image)
        elif isinstance(error, NameTaken):
            log.warning("a container of its name runs already", extra={"session": session.id})
            self._on_stranger(str(error))
            return
        else:
            self._give_up(session, str(error))
        self._on_free()

    def _give_up(self, session: Session, error: str, delay: timedelta | None = None) -> None:
        """This start counts as failed; the chat is told when it goes on for long or for good."""
        now = utc_now()
        failures = session.container_failures
        retry_at = now + (start_delay(failures) if delay is None else delay)
        log.error("agent cannot start", extra={"session": session.id, "reason": error})
        with transaction(self._parts.conn):
            sessions.record_container_failure(self._parts.conn, session.id, error, retry_at)
            if delay is not None or failures + 1 == TELL_AFTER_FAILURES:
                text = notices.KEEPS_FAILING if delay is None else notices.CANNOT_START
                notice = Notice(
                    occasion=f"start/{session.lease_token}/{failures}",
                    text=text.format(reason=for_people(error)),
                    address=chat_of(self._parts.conn, session),
                )
                queue_notice(self._parts.conn, session, notice, now)
        ring(self._paths, DELIVERY)


def _agent_limits(config: ContainerConfig, idle_seconds: int) -> AgentLimits:
    return AgentLimits(
        idle=timedelta(seconds=idle_seconds) if idle_seconds else None,
        turn=timedelta(seconds=config.max_turn_seconds) if config.max_turn_seconds else None,
        disk_bytes=decide_limits(config).disk_bytes,
    )

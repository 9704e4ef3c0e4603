"""The delivery loop: watches running sessions, takes in what they say, sends it, reports back.

Woken by inotify on the ``out`` folders of running sessions and by its bell; a slow timer is the
safety net, because a notification is only a hint. One session's broken files never stop the
others. Joins ``intake``, ``lanes``, ``sender`` and ``projection``; holds no policy itself.
"""

import logging
import sqlite3
from collections.abc import Iterable
from datetime import datetime

from contract.clock import utc_now
from contract.layout import OUTBOUND_DB
from contract.watch import Watch
from nanoclaw.bell import DELIVERY
from nanoclaw.config import HostConfig, host_environment
from nanoclaw.db import deliveries, sessions
from nanoclaw.db.connection import transaction
from nanoclaw.delivery.busy import BusyLooks
from nanoclaw.delivery.companion import Companion
from nanoclaw.delivery.held import end_denied
from nanoclaw.delivery.intake import Intake
from nanoclaw.delivery.lanes import LaneKey, Lanes, key_of
from nanoclaw.delivery.leak_guard import LeakGuard
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.projection import Projection
from nanoclaw.delivery.sender import Sender, Settled
from nanoclaw.delivery.spooling import Spooler
from nanoclaw.delivery.telling import Telling
from nanoclaw.delivery.typing import TypingSigns
from nanoclaw.model import Delivery, DeliveryState, FilesState, Session
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.quarantine import WorkMarker

SAFETY_SECONDS = 5.0
PROJECTION_SECONDS = 0.05
LOST_EVENTS = -1
"""What the watch says after an overflow: look everywhere."""

log = logging.getLogger(__name__)


class DeliveryLoop:
    """Owned by the ``delivery`` process; every method runs on its reactor."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        config: HostConfig,
        watch: Watch,
        links: Links,
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths = config.paths
        self._watch = watch
        self._lanes = Lanes(self._fetch)
        self._marker = WorkMarker(paths, DELIVERY)
        guard = LeakGuard(conn, config, host_environment())
        self._intake = Intake(conn, paths, self._marker, guard)
        self._busy = BusyLooks(reactor, lambda session_id: self._drain_ids([session_id]))
        self._projection = Projection(conn, paths)
        self._links = links
        self._sender = Sender(reactor, conn, links, self._lanes, self._settled, guard)
        self._spooler = Spooler(reactor, conn, paths, self._files_taken, guard)
        self._telling = Telling(reactor, conn, paths)
        self._typing = TypingSigns(reactor, conn, paths, links, self._lanes)
        self._companions: tuple[Companion, ...] = ()
        self._looking = False
        self._sessions: dict[str, Session] = {}
        self._watched: dict[int, str] = {}
        self._bell_wd = watch.add(paths.bells)
        self._due_timer: Timer | None = None
        self._scheduled: datetime | None = None
        """When the next message is due whose agent wants it to be sent later."""
        self._to_project: set[str] = set()
        self._projection_timer: Timer | None = None

    def start(self, companions: tuple[Companion, ...] = ()) -> None:
        """Takes up what an earlier process left, then waits for hints."""
        self._companions = (self._telling, self._typing, *companions)
        self._links.start(self._sender.pump)
        self._marker.count_death(self._conn, utc_now())
        with transaction(self._conn):
            deliveries.requeue_interrupted(self._conn)
        self._sender.expire()
        self._spooler.take_up()
        self._reload_lanes()
        self.look()
        self._plan_projection(session.id for session in deliveries.sessions_to_project(self._conn))
        fd = self._watch.fileno()
        if fd is not None:
            self._reactor.watch(fd, self._on_events)
        else:
            self._poll()
        for companion in self._companions:
            companion.start()
        self._safety()

    def close(self) -> None:
        for companion in self._companions:
            companion.close()
        self._spooler.close()
        self._links.close()
        fd = self._watch.fileno()
        if fd is not None:
            self._reactor.unwatch(fd)
        self._watch.close()
        self._marker.close()

    def look(self) -> None:
        """Follows the set of running sessions and drains those that have something new."""
        running = {session.id: session for session in sessions.running(self._conn)}
        for session_id in self._sessions.keys() - running.keys():
            self._unwatch(session_id)
        for session in running.values():
            if session.id not in self._sessions:
                self._add_watch(session)
        self._sessions = running
        for session in running.values():
            self._drain(session)
        for session in sessions.dirty(self._conn):
            if self._drain(session) and session.id not in running:
                sessions.clear_dirty(self._conn, session.id)
                self._intake.forget(session.id)
                self._projection.forget(session.id)
        self._end_denied()
        self._pump()
        self._look_companions()

    def _look_companions(self) -> None:
        for companion in self._companions:
            companion.look()

    def _look_soon(self) -> None:
        """Once for many reasons, and never inside somebody's own look."""
        if self._looking:
            return
        self._looking = True

        def look() -> None:
            self._looking = False
            self._look_companions()

        self._reactor.post(look)

    def _on_events(self) -> None:
        changed: set[str] = set()
        look = False
        for event in self._watch.read():
            if event.wd == LOST_EVENTS:
                look = True
            elif event.wd == self._bell_wd:
                look = look or event.name == DELIVERY
            elif event.name == OUTBOUND_DB and event.wd in self._watched:
                changed.add(self._watched[event.wd])
        if look:
            self._reload_lanes()
            self.look()
        else:
            self._drain_ids(changed)

    def _poll(self) -> None:
        """Fallback without inotify; correctness is the same, latency is not."""
        self._on_events()
        self._reactor.call_later(self._watch.poll_seconds or SAFETY_SECONDS, self._poll)

    def _safety(self) -> None:
        self._sender.expire()
        self._reload_lanes()
        self.look()
        self._reactor.call_later(SAFETY_SECONDS, self._safety)

    def _drain_ids(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            session = sessions.get(self._conn, session_id)
            if session is not None:
                self._drain(session)
        self._pump()

    def _drain(self, session: Session) -> bool:
        """True when everything the session has written so far is in our books."""
        drained = self._intake.drain(session, utc_now())
        for delivery in drained.deliveries:
            self._accept(delivery)
        if drained.effects:
            self._look_soon()
        if drained.acks and self._projection.note_acks(session.id, drained.acks):
            self._plan_projection([session.id])
        if drained.more:
            self._reactor.post(lambda: self._drain_ids([session.id]))
        self._busy.note(session.id, busy=drained.busy)
        return not (drained.more or drained.busy)

    def _accept(self, delivery: Delivery) -> None:
        if delivery.files_state is FilesState.WANTED:
            self._spooler.want(delivery)
        if delivery.state is DeliveryState.QUEUED and not self._is_for_later(delivery):
            self._lanes.add(delivery)

    def _is_for_later(self, delivery: Delivery) -> bool:
        """Its agent wants it to be sent later; the lane must not wait with it."""
        later = delivery.next_attempt_at
        if later <= utc_now():
            return False
        self._scheduled = min(self._scheduled or later, later)
        return True

    def _files_taken(self, delivery: Delivery) -> None:
        """A held one is in no lane yet; then somebody has just been asked about it."""
        if delivery.state is DeliveryState.FAILED:
            self._lanes.drop(key_of(delivery), {delivery.delivery_id})
            self._settled(Settled(ended=(delivery,)))
            return
        self._lanes.replace(delivery)
        self._pump()
        if not delivery.told or delivery.state is DeliveryState.HELD:
            self._look_soon()

    def _settled(self, settled: Settled) -> None:
        self._plan_due()
        self._plan_projection({item.session_id for item in settled.ended if item.session_id})
        self._spooler.finished(settled.ended)
        for delivery in settled.delivered:
            self._typing.delivered(delivery)
        if len(settled.delivered) < len(settled.ended) or any(
            delivery.files for delivery in settled.delivered
        ):
            self._look_soon()

    def _end_denied(self) -> None:
        denied = end_denied(self._conn, utc_now())
        if denied:
            self._settled(Settled(ended=tuple(denied)))

    def _plan_projection(self, session_ids: Iterable[str]) -> None:
        """Soon, and once for many messages: nobody waits for it, and it wakes the runner."""
        self._to_project.update(session_ids)
        if self._to_project and self._projection_timer is None:
            self._projection_timer = self._reactor.call_later(
                PROJECTION_SECONDS, self._project_planned
            )

    def _project_planned(self) -> None:
        self._projection_timer = None
        planned, self._to_project = self._to_project, set()
        busy = []
        for session_id in planned:
            session = sessions.get(self._conn, session_id)
            if session is not None and not self._projection.write(session, utc_now()):
                busy.append(session_id)
        self._plan_projection(busy)

    def _pump(self) -> None:
        self._sender.pump()
        self._plan_due()

    def _plan_due(self) -> None:
        """Wakes for what has a time. What is due and waits for its channel is woken by that."""
        now = utc_now()
        times = (self._lanes.next_due(now), self._scheduled)
        due = min((at for at in times if at is not None), default=None)
        if self._due_timer is not None:
            self._due_timer.cancel()
            self._due_timer = None
        if due is not None:
            delay = max(0.01, (due - now).total_seconds())
            self._due_timer = self._reactor.call_later(delay, self._due)

    def _due(self) -> None:
        self._due_timer = None
        self._reload_lanes()
        self._pump()

    def _reload_lanes(self) -> None:
        """Open receipts that somebody else stored: host-made messages, or our predecessor's."""
        for instance, platform_id, thread_id in deliveries.open_lanes(self._conn):
            self._lanes.reload(LaneKey(instance, platform_id, thread_id))
        self._scheduled = deliveries.next_scheduled(self._conn, utc_now())

    def _fetch(self, key: LaneKey, after: int, limit: int) -> list[Delivery]:
        window = deliveries.Window(after, limit, utc_now())
        return deliveries.open_in_lane(
            self._conn, key.instance, key.platform_id, key.thread_id, window
        )

    def _add_watch(self, session: Session) -> None:
        folder = SessionFolder.of(self._paths, session.agent_group_id, session.id)
        try:
            self._watched[self._watch.add(folder.out_dir)] = session.id
        except OSError as error:
            # The safety timer still drains it; only the speed is gone.
            log.warning("cannot watch", extra={"session": session.id, "reason": str(error)})

    def _unwatch(self, session_id: str) -> None:
        for wd in [wd for wd, watched in self._watched.items() if watched == session_id]:
            del self._watched[wd]
            self._watch.remove(wd)

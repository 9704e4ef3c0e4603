"""The router's loop: takes events from channel workers, commits them in groups, wakes agents.

Everything that arrives in one round of the reactor is committed together, up to 64 events
(design section 4), then answered, then written to session files. Rows whose file is locked stay
in the redo log and are tried again with growing delay. Uses ``routing.apply``; decides nothing.
"""

import logging
import sqlite3
from collections import deque
from dataclasses import dataclass

from contract.clock import utc_now
from contract.errors import BadContent
from contract.killpoint import reached
from nanoclaw.db import inbound_events, sessions
from nanoclaw.events import Committed, Frame, Hello, Inbound, Metadata, Ok, Refused, Wake
from nanoclaw.link import FrameClient, Peer, QuietHandler
from nanoclaw.model import LoggedEvent
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.reserve import Reserve
from nanoclaw.routing.apply import Arrival, Decided, SessionWriter, commit, mark_routed
from nanoclaw.routing.plan import PlannedRow, parse_plan
from nanoclaw.sessions.set_aside import set_aside

COMMIT_GROUP = 64
REPLAY_GROUP = 500
MAX_QUEUED = 4096
"""Events waiting for a commit; beyond it workers are told to come back (C-30)."""
WAKE_RETRY_SECONDS = 0.1
RETRY_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    peer: Peer
    request_id: int
    arrival: Arrival


class RouterLoop(QuietHandler):
    """Serves ``run/router.sock``."""

    def __init__(
        self, reactor: Reactor, conn: sqlite3.Connection, paths: HostPaths, sweep: FrameClient
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._sweep = sweep
        self._writer = SessionWriter(paths)
        self._threaded: dict[str, bool] = {}
        self._waiting: deque[_Waiting] = deque()
        self._refused: dict[tuple[str, str], str] = {}
        self._retry_attempt = 0
        self._retry_timer: Timer | None = None
        self._asleep: set[str] = set()
        self._wake_timer: Timer | None = None

    def replay(self) -> None:
        """Writes what the log holds and no session file has yet; first thing at start.

        One pass over the whole log: a session whose file is locked keeps its rows in the log and
        holds up nobody else.
        """
        after = 0
        complete = True
        while events := inbound_events.unrouted(self._conn, REPLAY_GROUP, after=after):
            after = events[-1].event_id
            complete = (
                self._write([row for event in events for row in _planned(event)]) and complete
            )
        if complete:
            self._retry_attempt = 0
        else:
            self._plan_retry()

    def close(self) -> None:
        self._writer.close()

    def on_open(self, peer: Peer, hello: Hello) -> None:
        capabilities = hello.capabilities
        for place in [place for place in self._refused if place[0] == hello.name]:
            del self._refused[place]  # a new worker begins with what it has not got an answer for
        self._threaded[hello.name] = capabilities is not None and capabilities.supports_threads

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, Inbound):
            self._accept(peer, request_id, body)
        elif isinstance(body, Metadata):
            peer.answer(request_id, Ok())
        else:
            super().on_request(peer, request_id, body)

    def _accept(self, peer: Peer, request_id: int, body: Inbound) -> None:
        if len(self._waiting) >= MAX_QUEUED:
            peer.answer(request_id, Refused("too many events are waiting"))
            return
        place = (peer.name, body.event.platform_id)
        if self._refused.get(place, body.event.event_key) != body.event.event_key:
            peer.answer(request_id, Refused("an earlier event of this chat comes first"))
            return
        self._refused.pop(place, None)
        arrival = Arrival(peer.name, self._threaded.get(peer.name, False), body.event)
        if not self._waiting:
            self._reactor.post(self.tick)
        self._waiting.append(_Waiting(peer, request_id, arrival))

    def tick(self) -> None:
        """Commits one group, answers it, writes its rows."""
        group = [self._waiting.popleft() for _ in range(min(COMMIT_GROUP, len(self._waiting)))]
        if self._waiting:
            self._reactor.post(self.tick)
        if not group:
            return
        reached("router.event_received")
        try:
            decided = commit(self._conn, [waiting.arrival for waiting in group], utc_now())
        except sqlite3.OperationalError as error:
            self._refuse(group, error)
            return
        reached("router.event_committed")
        for waiting, decision in zip(group, decided, strict=True):
            waiting.peer.answer(waiting.request_id, Committed(decision.outcome, decision.reason))
        reached("router.event_answered")
        written = self._write(
            [(decision.event_id, row) for decision in decided for row in decision.rows
             if decision.event_id is not None]
        )  # fmt: skip
        if not written:
            self._plan_retry()
        self._log(group, decided)

    def _refuse(self, group: list[_Waiting], error: sqlite3.OperationalError) -> None:
        """Locked or full: nothing was written, the workers send again (C-20)."""
        log.error("events not committed", extra={"count": len(group), "reason": str(error)})
        Reserve(self._paths.reserve_file).give_back_if_full()
        for waiting in group:
            event = waiting.arrival.event
            # The worker sends it again; what it had sent behind it must not get ahead (C-29).
            self._refused.setdefault((waiting.peer.name, event.platform_id), event.event_key)
            waiting.peer.answer(waiting.request_id, Refused(f"cannot store events: {error}"))

    def _write(self, planned: list[tuple[int, PlannedRow]]) -> bool:
        """False: some rows could not be written now and stay in the log."""
        if not planned:
            return True
        stopped = {session.id for session in sessions.quarantined(self._conn)}
        unwritten = self._writer.write(row for _, row in planned if row.session_id not in stopped)
        for session_id, reason in unwritten.damaged.items():
            session = sessions.get(self._conn, session_id)
            if session is not None:
                set_aside(self._conn, self._paths, session, reason, utc_now())
        left = stopped | unwritten.busy | unwritten.damaged.keys()
        incomplete = {event_id for event_id, row in planned if row.session_id in left}
        done = [item for item in planned if item[0] not in incomplete]
        if done:
            self._asleep.update(mark_routed(self._conn, done, utc_now()))
            reached("router.event_routed")
            self._wake()
        return not unwritten.busy

    def _plan_retry(self) -> None:
        if self._retry_timer is not None:
            return
        delay = RETRY_SECONDS[min(self._retry_attempt, len(RETRY_SECONDS) - 1)]
        self._retry_attempt += 1
        self._retry_timer = self._reactor.call_later(delay, self._retry)

    def _retry(self) -> None:
        self._retry_timer = None
        self.replay()

    def _wake(self) -> None:
        """Tells the sweep; as long as it cannot be told, soon again (it also looks by itself)."""
        if not self._asleep or self._wake_timer is not None:
            return
        if self._sweep.connected:
            self._sweep.notify(Wake(tuple(sorted(self._asleep))))
            self._asleep.clear()
        else:
            self._wake_timer = self._reactor.call_later(WAKE_RETRY_SECONDS, self._wake_again)

    def _wake_again(self) -> None:
        self._wake_timer = None
        self._wake()

    @staticmethod
    def _log(group: list[_Waiting], decided: list[Decided]) -> None:
        for waiting, decision in zip(group, decided, strict=True):
            log.info(
                "event " + decision.outcome.value,
                extra={
                    "channel": waiting.arrival.instance,
                    "session": ",".join(row.session_id for row in decision.rows) or None,
                    "message_id": waiting.arrival.event.event_key,
                    "reason": decision.reason,
                },
            )


def _planned(event: LoggedEvent) -> list[tuple[int, PlannedRow]]:
    try:
        rows = parse_plan(event.targets_json or '{"rows":[]}')
    except BadContent as error:
        log.error(
            "redo log entry unreadable",
            extra={"channel": event.instance, "message_id": event.event_key, "reason": str(error)},
        )
        return []
    return [(event.event_id, row) for row in rows]

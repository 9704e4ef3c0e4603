"""The router's loop: takes events from channel workers, commits them in groups, wakes agents.

Everything that arrives in one round of the reactor is committed together, up to 64 events
(design section 4), then answered, then written to session files. Pressed buttons and news about
chats and deliveries come the same way. Events that somebody has decided about are judged anew
before anything newer. Uses ``apply`` and ``writing``; decides nothing.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from contract.clock import utc_now
from contract.errors import BadContent
from contract.killpoint import reached
from nanoclaw.bell import DELIVERY, SWEEP, ring
from nanoclaw.db import inbound_events
from nanoclaw.db.inbound_events import LoggedEvent
from nanoclaw.events import (
    Action,
    Committed,
    DeliveryUpdate,
    Frame,
    Hello,
    Inbound,
    Metadata,
    Refused,
    SetTyping,
    Subscribe,
    Wake,
)
from nanoclaw.link import FrameClient, Peer, QuietHandler
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor, Timer
from nanoclaw.reserve import Reserve
from nanoclaw.routing.apply import Committer, Decided
from nanoclaw.routing.arrival import Arrival
from nanoclaw.routing.file_stage import FileStage
from nanoclaw.routing.plan import parse_plan
from nanoclaw.routing.reports import Source, take_fact
from nanoclaw.routing.writing import Task, Writing

COMMIT_GROUP = 64
REPLAY_GROUP = 500
MAX_QUEUED = 4096
"""Events waiting for a commit; beyond it workers are told to come back (C-30)."""
WAKE_RETRY_SECONDS = 0.1
RETRY_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
HOUSEKEEPING_SECONDS = 6 * 3600.0
INTERNAL_ERROR = "internal error"

Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    peer: Peer
    request_id: int
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a channel's worker said of itself, and the way back to it."""

    peer: Peer
    kind: str
    supports_threads: bool


class RouterLoop(QuietHandler):
    """Serves ``run/router.sock``."""

    def __init__(
        self,
        reactor: Reactor,
        conn: sqlite3.Connection,
        paths: HostPaths,
        sweep: FrameClient,
        zone: str = "UTC",
    ) -> None:
        self._reactor = reactor
        self._conn = conn
        self._paths = paths
        self._sweep = sweep
        self._committer = Committer(conn, paths)
        stage = FileStage(paths, lambda done: reactor.post(lambda: self._files_placed(done)))
        self._writing = Writing(conn, paths, stage, zone)
        self._workers: dict[str, _Worker] = {}
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
        after, retry = 0, False
        self._writing.begin_replay()
        while events := inbound_events.unrouted(self._conn, REPLAY_GROUP, after=after):
            after = events[-1].event_id
            retry = self._write([task for task in map(_task, events) if task is not None]) or retry
        if retry:
            self._plan_retry()
        else:
            self._retry_attempt = 0

    def start(self) -> None:
        """After the replay: what was decided while nobody routed, and old files and events."""
        for bell in (SWEEP, DELIVERY):  # what was committed just before a crash has woken nobody
            ring(self._paths, bell)
        self.look()
        self._housekeeping()

    def look(self) -> None:
        """Somebody rang: events that waited for a person may go on."""
        try:
            self._decide_released()
        except sqlite3.OperationalError as error:
            log.error("released events not decided", extra={"reason": str(error)})
            self._plan_retry()

    def close(self) -> None:
        self._writing.close()

    def on_open(self, peer: Peer, hello: Hello) -> None:
        capabilities = hello.capabilities
        for place in [place for place in self._refused if place[0] == hello.name]:
            del self._refused[place]  # a new worker begins with what it has not got an answer for
        threads = capabilities is not None and capabilities.supports_threads
        self._workers[hello.name] = _Worker(peer, hello.kind, threads)

    def on_close(self, peer: Peer) -> None:
        worker = self._workers.get(peer.name)
        if worker is not None and worker.peer is peer:
            del self._workers[peer.name]

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, Inbound):
            self._accept(peer, request_id, body)
        elif isinstance(body, Action | Metadata | DeliveryUpdate):
            self._answer_fact(peer, request_id, body)
        else:
            super().on_request(peer, request_id, body)

    def _answer_fact(
        self, peer: Peer, request_id: int, body: Action | Metadata | DeliveryUpdate
    ) -> None:
        worker = self._workers.get(peer.name)
        source = Source(peer.name, worker.kind if worker is not None else peer.name)
        try:
            answer = self._attempt(lambda: take_fact(self._conn, source, body))
        except sqlite3.OperationalError as error:
            # Without an answer the worker sends it again; nothing was written.
            log.error("fact not stored", extra={"channel": peer.name, "reason": str(error)})
            return
        if answer is None:
            peer.answer(request_id, Refused(INTERNAL_ERROR))  # as an event is rejected
            return
        reached("router.fact_stored")
        peer.answer(request_id, answer)
        ring(self._paths, DELIVERY)
        self.look()

    def _accept(self, peer: Peer, request_id: int, body: Inbound) -> None:
        place = (peer.name, body.event.platform_id)
        if self._refused.get(place, body.event.event_key) != body.event.event_key:
            peer.answer(request_id, Refused("an earlier event of this chat comes first"))
            return
        if len(self._waiting) >= MAX_QUEUED:
            self._refused[place] = body.event.event_key
            peer.answer(request_id, Refused("too many events are waiting"))
            return
        self._refused.pop(place, None)
        worker = self._workers.get(peer.name)
        threads, kind = (worker.supports_threads, worker.kind) if worker else (False, "")
        arrival = Arrival(peer.name, threads, body.event, kind)
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
        now = utc_now()
        try:
            self._decide_released()  # what was said earlier comes first
            decided = self._attempt(
                lambda: self._committer.commit([waiting.arrival for waiting in group], now)
            )
            if decided is None:
                decided = [self._commit_alone(waiting.arrival, now) for waiting in group]
        except sqlite3.OperationalError as error:
            self._refuse(group, error)
            return
        reached("router.event_committed")
        for waiting, decision in zip(group, decided, strict=True):
            waiting.peer.answer(waiting.request_id, Committed(decision.outcome, decision.reason))
        reached("router.event_answered")
        self._follow_up(decided)
        if any(decision.speaks for decision in decided):
            self.look()  # a typed answer or a code may have let others go on

    @staticmethod
    def _attempt(decide: Callable[[], Result]) -> Result | None:
        """None: something happened that nobody foresaw; nothing was written."""
        try:
            return decide()
        except sqlite3.OperationalError:
            raise
        except Exception:
            # What one channel says must not block it, and less so all of them (C-26).
            log.exception("events not decided")
            return None

    def _commit_alone(self, arrival: Arrival, now: datetime) -> Decided:
        decided = self._attempt(lambda: self._committer.commit([arrival], now))
        return decided[0] if decided else self._committer.reject(arrival, INTERNAL_ERROR, now)

    def _decide_released(self) -> None:
        committer, now = self._committer, utc_now()
        while True:
            decided = self._attempt(lambda: committer.decide_released(now))
            if decided is None:
                decided = self._attempt(lambda: committer.decide_released(now, limit=1))
            if decided is None:
                decided = [committer.reject_released(INTERNAL_ERROR, now)]
            if not decided:
                return
            reached("router.released_decided")
            self._follow_up(decided)

    def _follow_up(self, decided: Sequence[Decided]) -> None:
        """What the log says is done now; after a crash the replay does it."""
        tasks = [
            Task(decision.event_id, decision.arrival.instance, decision.plan)
            for decision in decided
            if decision.event_id is not None and not decision.plan.is_empty
        ]
        if self._write(tasks):
            self._plan_retry()
        if any(decision.speaks for decision in decided):
            ring(self._paths, DELIVERY)
        for decision in decided:
            self._tell_channel(decision)
            _log(decision)

    def _write(self, tasks: Sequence[Task]) -> bool:
        """True: some rows could not be written now and stay in the log."""
        if not tasks:
            return False
        try:
            written = self._writing.write(tasks)
        except sqlite3.OperationalError as error:
            # Locked or full. Nothing is lost by it: the log has what is not marked as done.
            log.error("rows not written", extra={"count": len(tasks), "reason": str(error)})
            Reserve(self._paths.reserve_file).give_back_if_full()
            return True
        if written.asleep:
            self._asleep.update(written.asleep)
            self._wake()
        if written.speaks:
            ring(self._paths, DELIVERY)
        return written.retry

    def _tell_channel(self, decision: Decided) -> None:
        """Hints to the place where it was said: somebody is at work, more may come (H-93, H-95)."""
        arrival = decision.arrival
        worker = self._workers.get(arrival.instance)
        if worker is None or arrival.channel_type != arrival.instance:
            return
        chat, thread_id = arrival.event.platform_id, arrival.thread_id
        if any(planned.row.trigger for planned in decision.plan.rows):
            worker.peer.notify(SetTyping(chat, thread_id))
        if decision.subscribes and thread_id is not None:
            worker.peer.notify(Subscribe(chat, thread_id))

    def _refuse(self, group: list[_Waiting], error: sqlite3.OperationalError) -> None:
        """Locked or full: nothing was written, the workers send again (C-20)."""
        log.error("events not committed", extra={"count": len(group), "reason": str(error)})
        Reserve(self._paths.reserve_file).give_back_if_full()
        for waiting in group:
            event = waiting.arrival.event
            # The worker sends it again; what it had sent behind it must not get ahead (C-29).
            self._refused.setdefault((waiting.peer.name, event.platform_id), event.event_key)
            waiting.peer.answer(waiting.request_id, Refused(f"cannot store events: {error}"))

    def _files_placed(self, done: bool) -> None:
        if done:
            self.replay()
        else:
            self._plan_retry()

    def _plan_retry(self) -> None:
        if self._retry_timer is not None:
            return
        delay = RETRY_SECONDS[min(self._retry_attempt, len(RETRY_SECONDS) - 1)]
        self._retry_attempt += 1
        self._retry_timer = self._reactor.call_later(delay, self._retry)

    def _retry(self) -> None:
        self._retry_timer = None
        self.look()
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

    def _housekeeping(self) -> None:
        try:
            removed = self._committer.expire_held(utc_now())
        except sqlite3.OperationalError as error:
            log.warning("nothing expired this time", extra={"reason": str(error)})
        else:
            if removed:
                log.info("held events and files expired", extra={"count": removed})
        self._reactor.call_later(HOUSEKEEPING_SECONDS, self._housekeeping)


def _log(decision: Decided) -> None:
    log.info(
        "event " + decision.outcome.value,
        extra={
            "channel": decision.arrival.instance,
            "session": ",".join(row.session_id for row in decision.plan.rows) or None,
            "message_id": decision.arrival.event.event_key,
            "reason": decision.reason,
        },
    )


def _task(event: LoggedEvent) -> Task | None:
    try:
        return Task(event.event_id, event.instance, parse_plan(event.targets_json or '{"rows":[]}'))
    except BadContent as error:
        log.error(
            "redo log entry unreadable",
            extra={"channel": event.instance, "message_id": event.event_key, "reason": str(error)},
        )
        return None

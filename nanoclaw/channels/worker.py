"""A channel process: one adapter, its sockets, its journal; no database (C section 1).

Joins the parts of one worker: the pump for events in, the outbox for messages out, the connection
and its watchdog, the state file. Built by ``process.channel``. All its own state is touched on
the reactor's thread only; ``guarded`` is the door through which adapter code is called.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from contract.clock import utc_now
from nanoclaw.channels.adapter import Channel
from nanoclaw.channels.connection import (
    Broken,
    Connected,
    Connecting,
    Connection,
    ConnectionEvent,
    ConnectionParts,
    Disconnected,
)
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.host_side import HostParts, HostSide
from nanoclaw.channels.inbound_pump import InboundPump
from nanoclaw.channels.journal import SendJournal
from nanoclaw.channels.lane import Job, Waiter
from nanoclaw.channels.outbox import Outbox, OutboxParts
from nanoclaw.channels.pool import Pool
from nanoclaw.channels.queries import Queries
from nanoclaw.channels.registry import ChannelKind
from nanoclaw.channels.sending import Sending
from nanoclaw.channels.spool import open_spool, remove_outbound, sweep_spool
from nanoclaw.channels.state_file import ChannelState, ConnectionState, StateFile
from nanoclaw.channels.watchdog import Watchdog, WatchdogParts
from nanoclaw.errors import ChannelError, ConfigError
from nanoclaw.events import (
    Deliver,
    DeliveryStatus,
    FailureClass,
    Frame,
    Hello,
    SetTyping,
    Subscribe,
)
from nanoclaw.link import FrameClient, FrameServer, Peer, QuietHandler
from nanoclaw.paths import HostPaths, make_private_folder
from nanoclaw.reactor import Reactor

CALLS_IN_FLIGHT_SECONDS = 5.0
"""How long a stop waits for platform calls under way (C-45)."""
TEARDOWN_SECONDS = 5.0
SETUP_PATIENCE_SECONDS = 2.0
_STOP_POLL_SECONDS = 0.02
HOUSEKEEPING_SECONDS = 24 * 3600.0

_STATE_OF_FAILURE = {
    FailureClass.AUTH: ConnectionState.AUTH_FAILED,
    FailureClass.CONFLICT: ConnectionState.DEGRADED,
}

_Result = TypeVar("_Result")

log = logging.getLogger(__name__)


def guarded(call: Callable[[], _Result], unexpected: FailureClass) -> _Result:
    """Runs adapter code; an error that its author did not foresee becomes a ChannelFailure."""
    try:
        return call()
    except (ChannelError, ConfigError):
        raise
    except OSError as error:
        detail = error.strerror or type(error).__name__
        log.warning("channel code failed", extra={"reason": str(error)})
        raise ChannelFailure(unexpected, detail) from error
    except Exception as error:
        log.exception("channel code failed")
        raise ChannelFailure(unexpected, f"internal error: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Which account this worker serves, and with what."""

    instance: str
    kind: ChannelKind
    adapter: Channel
    paths: HostPaths


class Worker(QuietHandler):
    """Serves ``run/channel-<instance>.sock`` and the router, for one adapter."""

    def __init__(self, reactor: Reactor, spec: WorkerSpec) -> None:
        self._reactor = reactor
        self._spec = spec
        self._folder = spec.paths.channel(spec.instance)
        make_private_folder(self._folder)
        open_spool(self._folder)
        hello = Hello(
            spec.instance, spec.kind.name, os.getpid(), capabilities=spec.adapter.capabilities
        )
        self._hello = hello
        self._server: FrameServer | None = None
        self._router = FrameClient(reactor, spec.paths.socket("router"), hello, _RouterSide(self))
        self.pump = InboundPump(reactor, self._router, spec.instance)
        self._pool = Pool(spec.instance)
        self._journal = SendJournal(self._folder, utc_now())
        self._outbox = self._make_outbox()
        self._queries = Queries(reactor, spec.adapter, self._pool, guarded)
        self._state = StateFile(
            reactor,
            spec.paths.channel_state_file(spec.instance),
            ChannelState(instance=spec.instance, kind=spec.kind.name, pid=os.getpid()),
        )
        self._host = self._make_host()
        self._connection = Connection(
            ConnectionParts(spec.adapter, self._host, guarded, reactor.now),
            lambda event: reactor.post(lambda: self._connection_event(event)),
        )
        self._watchdog = Watchdog(
            reactor,
            WatchdogParts(spec.adapter.probe, guarded, self._pool, self._connection.reset),
        )
        self._on_first_connection: Callable[[], None] | None = None
        self._stopping = False

    def start(self, on_first_connection: Callable[[], None]) -> None:
        """Opens the sockets and begins to connect."""
        self._on_first_connection = on_first_connection
        path = self._spec.paths.socket(f"channel-{self._spec.instance}")
        self._server = FrameServer(self._reactor, path, self._hello, self)
        self._router.connect()
        self._connection.start()
        # A platform that takes its time is no reason to count this process as not started.
        self._reactor.call_later(SETUP_PATIENCE_SECONDS, self._announce_first_connection)
        self._housekeeping()

    def stop(self, on_stopped: Callable[[], None]) -> None:
        """Stops in order: no new events, no new calls, then whatever is under way (C-45)."""
        if self._stopping:
            return
        self._stopping = True
        self._host.stop()
        self._outbox.stop()
        self._watchdog.stop()
        deadline = self._reactor.now() + CALLS_IN_FLIGHT_SECONDS
        self._await_calls(deadline, on_stopped)

    def close(self) -> None:
        """After the reactor has ended: tear down and leave everything as it is on disk."""
        self._connection.stop()
        if not self._connection.join(TEARDOWN_SECONDS):
            log.warning("channel does not stop", extra={"channel": self._spec.instance})
        if self._server is not None:
            self._server.close()
        self._router.close()
        self._journal.close()
        self._state.close()

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, Deliver):
            self._outbox.accept(Waiter(peer, request_id), body)
            self._count()
        elif isinstance(body, DeliveryStatus):
            peer.answer(request_id, self._journal.known(body.delivery_id))
        elif not self._queries.handle(peer, request_id, body):
            super().on_request(peer, request_id, body)

    def on_notice(self, peer: Peer, body: Frame) -> None:
        self.on_hint(body)

    def on_hint(self, body: Frame) -> None:
        """From delivery or from the router: decoration, or something to be done if possible."""
        if isinstance(body, SetTyping):
            self._queries.set_typing(body)
        elif isinstance(body, Subscribe):
            self._queries.subscribe(body)

    def _make_outbox(self) -> Outbox:
        spec = self._spec
        return Outbox(
            self._reactor,
            OutboxParts(
                instance=spec.instance,
                install_id=spec.paths.slug,
                capabilities=spec.adapter.capabilities,
                journal=self._journal,
                pool=self._pool,
                sending=Sending(spec.adapter, guarded),
                on_sent=self._message_sent,
            ),
        )

    def _make_host(self) -> HostSide:
        spec = self._spec
        return HostSide(
            self._reactor,
            HostParts(
                instance=spec.instance,
                kind=spec.kind,
                folder=self._folder,
                socket_path=spec.paths.socket(spec.instance),
                router=self._router,
                pump=self.pump,
                on_alive=self._sign_of_life,
                on_event=lambda: self._reactor.post(self._event_arrived),
                on_rejected=lambda: self._reactor.post(lambda: self._count(rejected=1)),
            ),
        )

    def _sign_of_life(self) -> None:
        self._watchdog.note_sign_of_life()

    def _event_arrived(self) -> None:
        self._watchdog.note_sign_of_life()
        self._state.note_inbound()

    def _message_sent(self, job: Job) -> None:
        remove_outbound(self._folder, [file.spool for file in job.frame.files])
        self._state.note_outbound()
        self._count()

    def _count(self, *, rejected: int = 0) -> None:
        self._state.count(
            queue_length=self._outbox.length,
            uncommitted=self.pump.uncommitted,
            rejected=rejected,
        )

    def _connection_event(self, event: ConnectionEvent) -> None:
        match event:
            case Broken(error):
                raise error
            case Connecting():
                self._state.change(ConnectionState.CONNECTING)
            case Connected(identity):
                self._state.change(ConnectionState.CONNECTED, identity=identity.name)
                self._watchdog.start()
                self._outbox.connection_changed(None)
                self._announce_first_connection()
            case Disconnected(failure, retry_seconds):
                self._disconnected(failure, retry_seconds)

    def _announce_first_connection(self) -> None:
        if self._on_first_connection is not None:
            self._on_first_connection()
            self._on_first_connection = None

    def _disconnected(self, failure: ChannelFailure, retry_seconds: float) -> None:
        log.warning(
            "channel disconnected",
            extra={"channel": self._spec.instance, "reason": str(failure)},
        )
        self._watchdog.stop()
        self._state.change(
            _STATE_OF_FAILURE.get(failure.failure, ConnectionState.BACKOFF),
            error=failure.detail,
            next_attempt=utc_now() + timedelta(seconds=retry_seconds),
        )
        self._outbox.connection_changed(failure)
        self._announce_first_connection()  # the process is up; its platform is not

    def _await_calls(self, deadline: float, on_stopped: Callable[[], None]) -> None:
        if self._outbox.calls_under_way and self._reactor.now() < deadline:
            self._reactor.call_later(
                _STOP_POLL_SECONDS, lambda: self._await_calls(deadline, on_stopped)
            )
            return
        self._outbox.flush()
        on_stopped()

    def _housekeeping(self) -> None:
        removed = sweep_spool(self._folder, utc_now())
        if removed:
            log.info("spool swept", extra={"channel": self._spec.instance, "count": removed})
        self._reactor.call_later(HOUSEKEEPING_SECONDS, self._housekeeping)


class _RouterSide(QuietHandler):
    """Tells the pump whether the router is there; passes its hints on."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def on_open(self, peer: Peer, hello: Hello) -> None:
        self._worker.pump.connected()

    def on_close(self, peer: Peer) -> None:
        self._worker.pump.disconnected()

    def on_notice(self, peer: Peer, body: Frame) -> None:
        self._worker.on_hint(body)

"""A channel worker as a real process, with a router and a delivery of the test's own around it."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from helpers.channel_terminal import RawClient
from helpers.waiting import wait_until

from nanoclaw.channels.registry import kind_of, load_adapter
from nanoclaw.channels.state_file import ChannelState, ConnectionState, read_channel_state
from nanoclaw.channels.worker import Worker, WorkerSpec
from nanoclaw.events import (
    Action,
    ActionOutcome,
    ActionResult,
    Committed,
    Deliver,
    Delivered,
    Frame,
    Hello,
    Inbound,
    InboundEvent,
    Metadata,
    Ok,
    Outcome,
    Refused,
)
from nanoclaw.link import Answer, FrameClient, FrameServer, Peer, QuietHandler
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor

UNKNOWN_QUESTION = ActionResult(ActionOutcome.UNKNOWN)
ROOT = Path(__file__).parent.parent.parent


class ReactorThread:
    """A reactor of its own thread, so that tests can wait in theirs."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self._thread = threading.Thread(target=self.reactor.run, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Runs something on the reactor's thread and waits for its end."""
        done = threading.Event()

        def run() -> None:
            try:
                function()
            finally:
                done.set()

        self.reactor.post(run)
        assert done.wait(10), "the reactor's thread does not answer"

    def close(self) -> None:
        self.reactor.stop()
        self._thread.join(10)
        self.reactor.close()


@dataclass
class FakeRouter(QuietHandler):
    """Remembers events by key, as the redo log does, and can be away, silent or unwilling."""

    paths: HostPaths
    thread: ReactorThread
    events: list[InboundEvent] = field(default_factory=list)
    received: list[InboundEvent] = field(default_factory=list)
    """With repetitions."""
    actions: list[Action] = field(default_factory=list)
    facts: list[Metadata] = field(default_factory=list)
    action_result: ActionResult = UNKNOWN_QUESTION
    agent: Callable[[InboundEvent], None] | None = None
    """Gets every new event, on the reactor's thread."""
    outcome: Outcome = Outcome.ROUTED
    reason: str | None = None
    silent: bool = False
    refusing: bool = False
    hello: Hello | None = None
    _server: FrameServer | None = None
    _refused: dict[str, str] = field(default_factory=dict)

    def open(self) -> None:
        def start() -> None:
            hello = Hello("router", "router", os.getpid())
            self._server = FrameServer(
                self.thread.reactor, self.paths.socket("router"), hello, self
            )

        self.thread.call(start)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self.thread.call(server.close)

    def on_open(self, peer: Peer, hello: Hello) -> None:
        self.hello = hello

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        if isinstance(body, Inbound):
            self._inbound(peer, request_id, body.event)
        elif isinstance(body, Action):
            self.actions.append(body)
            peer.answer(request_id, self.action_result)
        elif isinstance(body, Metadata):
            self.facts.append(body)
            peer.answer(request_id, Ok())
        else:
            super().on_request(peer, request_id, body)

    def _inbound(self, peer: Peer, request_id: int, event: InboundEvent) -> None:
        self.received.append(event)
        if self.silent:
            return
        first_refused = self._refused.get(event.platform_id)
        if self.refusing or first_refused not in (None, event.event_key):
            # Like the real one: what follows a refused event is refused until that comes again.
            self._refused.setdefault(event.platform_id, event.event_key)
            peer.answer(request_id, Refused("not now"))
            return
        self._refused.pop(event.platform_id, None)
        known = any(other.event_key == event.event_key for other in self.events)
        if not known:
            self.events.append(event)
            if self.agent is not None:
                self.agent(event)
        outcome = Outcome.DUPLICATE if known else self.outcome
        peer.answer(request_id, Committed(outcome, None if known else self.reason))

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events]


class FakeDelivery(QuietHandler):
    """Sends frames to the worker, as the delivery process does."""

    def __init__(self, paths: HostPaths, instance: str, thread: ReactorThread) -> None:
        self._thread = thread
        self.reactor = thread.reactor
        self.hello: Hello | None = None
        self.client = FrameClient(
            thread.reactor,
            paths.socket(f"channel-{instance}"),
            Hello("delivery", "delivery", os.getpid()),
            self,
        )
        thread.call(self.client.connect)

    def on_open(self, peer: Peer, hello: Hello) -> None:
        self.hello = hello

    def on_close(self, peer: Peer) -> None:
        self.hello = None

    def close(self) -> None:
        self._thread.call(self.client.close)

    def notify(self, frame: Frame) -> None:
        self._thread.call(lambda: self.client.notify(frame))

    def start(self, *frames: Frame, seconds: float = 30) -> list[Answer]:
        """Sends requests; the answers are added to the list as they come."""
        wait_until(lambda: self.hello, what="the worker's socket", within=10)
        answers: list[Answer] = []

        def send() -> None:
            for frame in frames:
                self.client.request(frame, seconds, answers.append)

        self._thread.call(send)
        return answers

    def ask(self, frame: Frame, *, within: float = 10) -> Answer:
        """One request and its answer."""
        answers = self.start(frame)
        wait_until(lambda: answers, within=within, what=f"an answer to {type(frame).__name__}")
        return answers[0]

    def ask_all(self, *frames: Frame, within: float = 20) -> list[Answer]:
        answers = self.start(*frames)
        wait_until(lambda: len(answers) == len(frames), within=within, what="all answers")
        return answers


class RunningWorker(Protocol):
    """A worker, wherever it runs."""

    @property
    def instance(self) -> str: ...

    def start(self, *, connected: bool = True) -> None: ...

    def state(self) -> ChannelState | None: ...

    def is_connected(self) -> bool: ...

    def kill(self) -> None: ...

    def stop(self) -> int: ...

    def wait_for_death(self) -> int: ...

    def close(self) -> None: ...

    def log(self) -> str: ...


class WorkerThread:
    """A worker in the test's own process: quick, and seen by the coverage of lines."""

    def __init__(self, paths: HostPaths, instance: str) -> None:
        self.paths = paths
        self.instance = instance
        self._thread: ReactorThread | None = None
        self._worker: Worker | None = None
        self._records: list[str] = []
        self._handler = _Listening(self._records)

    def start(self, *, connected: bool = True) -> None:
        logging.getLogger("nanoclaw.channels").addHandler(self._handler)
        thread = self._thread = ReactorThread()

        def start() -> None:
            kind = kind_of(self.instance)
            spec = WorkerSpec(self.instance, kind, load_adapter(kind), self.paths)
            self._worker = Worker(thread.reactor, spec)
            self._worker.start(lambda: None)

        thread.call(start)
        if connected:
            wait_until(self.is_connected, what="the channel is connected")

    def state(self) -> ChannelState | None:
        return read_channel_state(self.paths.channel_state_file(self.instance))

    def is_connected(self) -> bool:
        state = self.state()
        return state is not None and state.state is ConnectionState.CONNECTED

    def kill(self) -> None:
        raise NotImplementedError("a thread cannot be killed; ask for a process")

    def stop(self) -> int:
        """Orderly end, as SIGTERM brings it about."""
        worker, thread = self._worker, self._thread
        assert worker is not None
        assert thread is not None
        stopped = threading.Event()
        thread.call(lambda: worker.stop(stopped.set))
        assert stopped.wait(10), "the worker does not stop"
        thread.call(worker.close)
        thread.close()
        logging.getLogger("nanoclaw.channels").removeHandler(self._handler)
        self._worker = self._thread = None
        return 0

    def wait_for_death(self) -> int:
        raise NotImplementedError("a thread does not die; ask for a process")

    def close(self) -> None:
        if self._worker is not None:
            self.stop()

    def log(self) -> str:
        return "\n".join(self._records)


class _Listening(logging.Handler):
    def __init__(self, records: list[str]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record.getMessage())


class WorkerProcess:
    """One worker process; never left behind."""

    def __init__(self, paths: HostPaths, instance: str, kill_folder: Path | None = None) -> None:
        self.paths = paths
        self.instance = instance
        self._kill_folder = kill_folder
        self.process: subprocess.Popen[str] | None = None
        self._log = paths.home / "worker.log"

    def start(self, *, connected: bool = True) -> None:
        environment = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        if self._kill_folder is not None:
            environment["NANOCLAW_KILL_DIR"] = str(self._kill_folder)
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "helpers.channel_process", str(self.paths.home),
                 self.instance],
                cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                text=True,
            )  # fmt: skip
        if connected:
            wait_until(self.is_connected, within=15, what="the channel is connected")

    def state(self) -> ChannelState | None:
        """What this very process last wrote about itself."""
        state = read_channel_state(self.paths.channel_state_file(self.instance))
        ours = state is not None and self.process is not None and state.pid == self.process.pid
        return state if ours else None

    def is_connected(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the worker ended: {self.log()}")
        state = self.state()
        return state is not None and state.state is ConnectionState.CONNECTED

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """Orderly end; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def wait_for_death(self) -> int:
        assert self.process is not None
        return self.process.wait(20)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


@dataclass
class Stage:
    """A home with a worker and the test's own neighbours."""

    paths: HostPaths
    worker: RunningWorker
    router: FakeRouter
    delivery: FakeDelivery
    clients: list[RawClient] = field(default_factory=list)

    def answer_with(self, *replies: Callable[[InboundEvent], str]) -> None:
        """From now on every message is answered with these texts, the last one marked."""

        def agent(event: InboundEvent) -> None:
            for number, reply in enumerate(replies, start=1):
                frame = answer_to(
                    event,
                    reply(event),
                    f"answer-{event.event_key}-{number}",
                    completes=number == len(replies),
                )
                self._deliver_surely(frame)

        self.router.agent = agent

    def _deliver_surely(self, frame: Deliver) -> None:
        """As the host does: again and again under the same id."""

        def on_answer(answer: Answer) -> None:
            if not isinstance(answer, Delivered):
                self.delivery.reactor.call_later(0.05, lambda: self._deliver_surely(frame))

        self.delivery.client.request(frame, 30, on_answer)

    def connect(
        self,
        name: str | None = None,
        *,
        listens: bool = True,
        confirms: bool = True,
        got: tuple[str, ...] = (),
    ) -> RawClient:
        """A new client of the terminal socket; closed with the stage."""
        path = self.paths.socket(self.worker.instance)
        client = RawClient(path, name, listens=listens, confirms=confirms, got=got)
        self.clients.append(client)
        return client


@contextmanager
def open_stage(
    home: Path, instance: str = "cli", *, process: bool = False, kill_folder: Path | None = None
) -> Iterator[Stage]:
    """A running worker with router and delivery; everything ends with the block.

    It runs in a thread unless the test wants to kill it.
    """
    paths = HostPaths(home)
    paths.ensure()
    thread = ReactorThread()
    router = FakeRouter(paths, thread)
    worker: RunningWorker
    if process or kill_folder is not None:
        worker = WorkerProcess(paths, instance, kill_folder)
    else:
        worker = WorkerThread(paths, instance)
    delivery = FakeDelivery(paths, instance, thread)
    stage = Stage(paths, worker, router, delivery)
    try:
        router.open()
        worker.start()
        yield stage
    finally:
        for client in stage.clients:
            client.close()
        worker.close()
        delivery.close()
        router.close()
        thread.close()


def deliver(
    text: str,
    delivery_id: str,
    *,
    platform_id: str = "local",
    reply_to: str | None = None,
    hint: str | None = None,
    completes: bool = True,
    attempt: int = 1,
) -> Deliver:
    """A chat message as the delivery process hands it over."""
    from contract.content import ChatOut, dump

    return Deliver(
        delivery_id=delivery_id,
        attempt=attempt,
        platform_id=platform_id,
        kind="chat",
        content=dump(ChatOut(text=text)),
        reply_hint=hint,
        reply_to_message_id=reply_to,
        completes=completes,
        sent_at="2026-11-21T08:00:00.000Z",
    )


def answer_to(
    event: InboundEvent, text: str, delivery_id: str, *, completes: bool = True
) -> Deliver:
    """The reply to an event that the router got."""
    return deliver(
        text,
        delivery_id,
        platform_id=event.platform_id,
        reply_to=event.message_id,
        hint=event.reply_hint,
        completes=completes,
    )

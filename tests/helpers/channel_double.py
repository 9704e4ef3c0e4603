"""A platform and its adapter for tests, with every behaviour that a platform can have.

The worker around it is the real one, in a thread of the test's process.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from helpers.channel_worker import FakeDelivery, FakeRouter, ReactorThread
from helpers.waiting import wait_until

from nanoclaw.capabilities import Capabilities
from nanoclaw.channels.adapter import (
    ChannelHost,
    FindResult,
    Identity,
    Stop,
    Unknown,
)
from nanoclaw.channels.failure import ChannelFailure
from nanoclaw.channels.part import Part
from nanoclaw.channels.registry import ChannelKind
from nanoclaw.channels.state_file import ChannelState, ConnectionState, read_channel_state
from nanoclaw.channels.worker import Worker, WorkerSpec
from nanoclaw.events import FailureClass
from nanoclaw.paths import HostPaths

KIND = ChannelKind("double", "none:None", "Double", "for tests")


@dataclass
class Platform:
    """What the other side has seen, and how it shall behave."""

    sent: list[tuple[str, Part]] = field(default_factory=list)
    """Chat and part of each message that arrived."""
    calls: int = 0
    failures: Sequence[Exception | None] = ()
    """Raised by the next calls, one each; with None the call succeeds."""
    find_answer: FindResult = field(default_factory=Unknown)
    finds: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    """Calls wait for it."""
    setup_failure: Exception | None = None
    probe_failure: Exception | None = None
    connections: int = 0
    cut: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def texts(self) -> list[str]:
        return [part.text for _, part in self.sent]


class DoubleChannel:
    """The adapter; offers ``find_sent``, ``edit`` and ``react`` besides what all have."""

    def __init__(self, platform: Platform, capabilities: Capabilities) -> None:
        self.platform = platform
        self.capabilities = capabilities
        self.host: ChannelHost | None = None

    def setup(self, host: ChannelHost) -> Identity:
        if self.platform.setup_failure is not None:
            raise self.platform.setup_failure
        self.host = host
        self.platform.connections += 1
        return Identity("bot-1", "Double")

    def listen(self, stop: Stop) -> None:
        while not stop.wait(0.01):
            if self.platform.cut.is_set():
                self.platform.cut.clear()
                raise ChannelFailure(FailureClass.OFFLINE, "the line was cut")

    def deliver(self, platform_id: str, thread_id: str | None, part: Part) -> str | None:
        self._call()
        self.platform.sent.append((platform_id, part))
        return f"p{len(self.platform.sent)}"

    def find_sent(self, platform_id: str, thread_id: str | None, part: Part) -> FindResult:
        self.platform.finds += 1
        return self.platform.find_answer

    def edit(self, platform_id: str, message_id: str, part: Part) -> None:
        self._call()
        self.platform.sent.append((f"edit {message_id}", part))

    def react(self, platform_id: str, message_id: str, emoji: str) -> None:
        self._call()
        self.platform.sent.append((f"react {message_id} {emoji}", Part(key="")))

    def probe(self) -> None:
        if self.platform.probe_failure is not None:
            raise self.platform.probe_failure

    def teardown(self) -> None:
        self.host = None

    def _call(self) -> None:
        self.platform.calls += 1
        assert self.platform.gate.wait(20)
        if self.platform.failures:
            failure, *self.platform.failures = self.platform.failures
            if failure is not None:
                raise failure


@dataclass
class DoubleStage:
    """A worker with the double platform, between a fake router and a fake delivery."""

    paths: HostPaths
    platform: Platform
    adapter: DoubleChannel
    worker: Worker
    router: FakeRouter
    delivery: FakeDelivery
    thread: ReactorThread
    stopped: threading.Event = field(default_factory=threading.Event)

    def state(self) -> ChannelState | None:
        return read_channel_state(self.paths.channel_state_file("double"))

    def is_connected(self) -> bool:
        state = self.state()
        return state is not None and state.state is ConnectionState.CONNECTED

    def begin_stop(self) -> None:
        """As SIGTERM does; the stage waits for the end when it closes."""
        self.thread.call(lambda: self.worker.stop(self.stopped.set))

    @property
    def host(self) -> ChannelHost:
        host = wait_until(lambda: self.adapter.host, what="the adapter is set up")
        assert host is not None
        return host


@contextmanager
def open_double(
    home: Path,
    platform: Platform | None = None,
    capabilities: Capabilities | None = None,
    *,
    connected: bool = True,
    adapter_class: type[DoubleChannel] = DoubleChannel,
) -> Iterator[DoubleStage]:
    """Two blocks one after the other on the same home are a restart of the worker."""
    paths = HostPaths(home)
    paths.ensure()
    platform = platform or Platform()
    adapter = adapter_class(platform, capabilities or Capabilities())
    neighbours, own = ReactorThread(), ReactorThread()
    router = FakeRouter(paths, neighbours)
    router.open()
    workers: list[Worker] = []
    own.call(lambda: workers.append(_start_worker(own, paths, adapter)))
    delivery = FakeDelivery(paths, "double", neighbours)
    stage = DoubleStage(paths, platform, adapter, workers[0], router, delivery, own)
    try:
        if connected:
            wait_until(stage.is_connected, what="the double is connected")
        yield stage
    finally:
        platform.gate.set()
        stage.begin_stop()
        assert stage.stopped.wait(10)
        own.call(workers[0].close)
        own.close()
        delivery.close()
        router.close()
        neighbours.close()


def _start_worker(thread: ReactorThread, paths: HostPaths, adapter: DoubleChannel) -> Worker:
    worker = Worker(thread.reactor, WorkerSpec("double", KIND, adapter, paths))
    worker.start(lambda: None)
    return worker


def failing(failure: FailureClass, detail: str = "as the test wants") -> ChannelFailure:
    return ChannelFailure(failure, detail)

"""Connections of the delivery process: one to each channel worker, one to the sweep.

Shared by ``sender`` and by the companions. A connection to a worker is opened when somebody first
wants something of that channel, and then kept.
"""

import os
from collections.abc import Callable

from nanoclaw.capabilities import Capabilities
from nanoclaw.events import Frame, Hello
from nanoclaw.link import Answer, FrameClient, Peer, QuietHandler
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor

NAME = "delivery"


class WorkerLink(QuietHandler):
    """The connection to one channel worker and what that worker can do."""

    def __init__(self, reactor: Reactor, paths: HostPaths, instance: str,
                 on_change: Callable[[], None]) -> None:  # fmt: skip
        self.capabilities: Capabilities | None = None
        self._on_change = on_change
        hello = Hello(NAME, NAME, os.getpid())
        path = paths.socket(f"channel-{instance}")
        self.client = FrameClient(reactor, path, hello, self)
        self.client.connect()

    @property
    def ready(self) -> bool:
        return self.client.connected and self.capabilities is not None

    def on_open(self, peer: Peer, hello: Hello) -> None:
        self.capabilities = hello.capabilities or Capabilities()
        self._on_change()

    def on_close(self, peer: Peer) -> None:
        self.capabilities = None


class Links:
    """All connections; also the ``effects.base.Requests`` of this process."""

    def __init__(self, reactor: Reactor, paths: HostPaths) -> None:
        self._reactor = reactor
        self._paths = paths
        self._workers: dict[str, WorkerLink] = {}
        self._on_change: Callable[[], None] = lambda: None
        self._sweep = FrameClient(
            reactor, paths.socket("sweep"), Hello(NAME, NAME, os.getpid()), QuietHandler()
        )

    def start(self, on_change: Callable[[], None]) -> None:
        """``on_change`` is called whenever a worker has become ready."""
        self._on_change = on_change
        self._sweep.connect()

    def close(self) -> None:
        self._sweep.close()
        for link in self._workers.values():
            link.client.close()

    def worker(self, instance: str) -> WorkerLink:
        link = self._workers.get(instance)
        if link is None:
            link = WorkerLink(self._reactor, self._paths, instance, self._changed)
            self._workers[instance] = link
        return link

    def _changed(self) -> None:
        self._on_change()

    def is_ready(self, instance: str) -> bool:
        """Whether a connection is there already; opens none."""
        link = self._workers.get(instance)
        return link is not None and link.ready

    def to_channel(
        self, instance: str, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]
    ) -> None:
        self.worker(instance).client.request(frame, seconds, on_answer)

    def to_sweep(self, frame: Frame, seconds: float, on_answer: Callable[[Answer], None]) -> None:
        self._sweep.request(frame, seconds, on_answer)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """For what agents ask of the administration (``admin.context.Services``)."""
        return self._reactor.call_later(seconds, callback)

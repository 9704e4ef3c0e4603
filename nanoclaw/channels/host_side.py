"""What an adapter sees of its worker: the one implementation of ``ChannelHost``.

Every method may be called from any thread; frames leave on the reactor's thread. Metadata and
delivery updates are small facts: they are sent again until the router has taken them.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanoclaw.channels.failure import HostStoppingError
from nanoclaw.channels.inbound_pump import InboundPump, OnCommitted
from nanoclaw.channels.registry import ChannelKind
from nanoclaw.channels.rejected import keep_rejected
from nanoclaw.events import (
    Action,
    ActionOutcome,
    ActionResult,
    Committed,
    DeadlinePassed,
    DeliveryUpdate,
    InboundEvent,
    LinkDown,
    Metadata,
)
from nanoclaw.link import Answer, FrameClient
from nanoclaw.reactor import Reactor

ACTION_SECONDS = 2.0
FACT_SECONDS = 10.0
FACT_RETRY_SECONDS = 2.0
MAX_FACTS = 256
_WAIT_SECONDS = 0.5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostParts:
    instance: str
    kind: ChannelKind
    folder: Path
    socket_path: Path
    router: FrameClient
    pump: InboundPump
    on_alive: Callable[[], None]
    on_event: Callable[[], None]
    """An event was handed in; called on any thread."""
    on_rejected: Callable[[], None]


class HostSide:
    """The worker, as its adapter knows it."""

    def __init__(self, reactor: Reactor, parts: HostParts) -> None:
        self._reactor = reactor
        self._parts = parts
        self._stopping = threading.Event()
        self._facts = 0

    @property
    def instance(self) -> str:
        return self._parts.instance

    @property
    def folder(self) -> Path:
        return self._parts.folder

    @property
    def socket_path(self) -> Path:
        return self._parts.socket_path

    def stop(self) -> None:
        """Wakes adapters that wait for a commit."""
        self._stopping.set()
        self._parts.pump.stop()

    def inbound(self, event: InboundEvent) -> Committed:
        done = threading.Event()
        results: list[Committed] = []

        def on_committed(committed: Committed) -> None:
            results.append(committed)
            done.set()

        self.submit(event, on_committed)
        while not done.wait(_WAIT_SECONDS):
            if self._stopping.is_set():
                raise HostStoppingError("the channel is stopping")
        return results[0]

    def submit(self, event: InboundEvent, on_committed: OnCommitted) -> None:
        if not self._parts.kind.operator and (event.channel_type or event.answer_to):
            # A programming error of the adapter; it must not speak for other channels (C-17).
            raise ValueError(f"{self._parts.kind.name} is no operator transport")
        self._parts.on_event()
        self._parts.pump.submit(event, on_committed)

    def action(self, action: Action, on_result: Callable[[ActionResult], None]) -> None:
        def on_answer(answer: Answer) -> None:
            if isinstance(answer, ActionResult):
                on_result(answer)
            else:
                on_result(ActionResult(ActionOutcome.UNKNOWN))

        self._reactor.post(lambda: self._parts.router.request(action, ACTION_SECONDS, on_answer))

    def metadata(self, metadata: Metadata) -> None:
        self._reactor.post(lambda: self._send_fact(metadata))

    def delivery_update(self, update: DeliveryUpdate) -> None:
        self._reactor.post(lambda: self._send_fact(update))

    def reject(self, payload: bytes, reason: str) -> None:
        log.warning("event rejected", extra={"channel": self.instance, "reason": reason})
        keep_rejected(self._parts.folder, payload, reason)
        self._parts.on_rejected()

    def alive(self) -> None:
        self._parts.on_alive()

    def _send_fact(self, fact: Metadata | DeliveryUpdate) -> None:
        if self._facts >= MAX_FACTS:
            log.warning("fact dropped", extra={"channel": self.instance, "reason": "too many"})
            return
        self._facts += 1
        self._try_fact(fact)

    def _try_fact(self, fact: Metadata | DeliveryUpdate) -> None:
        def on_answer(answer: Answer) -> None:
            if isinstance(answer, LinkDown | DeadlinePassed) and not self._stopping.is_set():
                self._reactor.call_later(FACT_RETRY_SECONDS, lambda: self._try_fact(fact))
            else:
                self._facts -= 1

        self._parts.router.request(fact, FACT_SECONDS, on_answer)

"""Incoming events of one worker on their way to the router: at least once, in order (C 1.8).

Adapters hand events in from any thread; frames leave and answers come on the reactor's thread. An
event is sent again until the router says "committed", across its restarts and ours being slow.
The events of one chat go out in order, up to 64 of them uncommitted; with 256 uncommitted in all
the adapter is held back (C-29, C-30).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from contract.killpoint import reached
from nanoclaw.channels.failure import HostStoppingError
from nanoclaw.codec import encode
from nanoclaw.events import Committed, DeadlinePassed, Envelope, Inbound, InboundEvent, Outcome
from nanoclaw.link import MAX_FRAME_BYTES, Answer, FrameClient
from nanoclaw.reactor import Reactor, Timer

MAX_UNCOMMITTED = 256
MAX_PER_CHAT = 64
COMMIT_SECONDS = 10.0
REFUSED_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""The router cannot store anything just now; it is not asked more often than this."""
_SURELY_SMALL = 200_000
"""Characters of text below which an event fits a frame, whatever the rest of it holds."""
_ROOM_POLL_SECONDS = 0.2

log = logging.getLogger(__name__)

OnCommitted = Callable[[Committed], None]


class _State(Enum):
    WAITING = 1
    IN_FLIGHT = 2
    DONE = 3


@dataclass(slots=True)
class _Pending:
    event: InboundEvent
    on_committed: OnCommitted
    state: _State = _State.WAITING


@dataclass(slots=True)
class _ChatQueue:
    """Uncommitted events of one chat, oldest first, those in flight included."""

    events: deque[_Pending] = field(default_factory=deque)
    in_flight: int = 0
    refusals: int = 0
    held_back: bool = False
    """Something failed: nothing is sent until all in flight are settled, or order is lost."""
    retry: Timer | None = None


class InboundPump:
    """Owns no connection; ``connected`` and ``disconnected`` are told by the worker."""

    def __init__(self, reactor: Reactor, router: FrameClient, instance: str) -> None:
        self._reactor = reactor
        self._router = router
        self._instance = instance
        self._chats: dict[str, _ChatQueue] = {}
        self._room = threading.Semaphore(MAX_UNCOMMITTED)
        self._stopping = threading.Event()
        self._open = False
        self.uncommitted = 0

    def submit(self, event: InboundEvent, on_committed: OnCommitted) -> None:
        """Takes an event over, from any thread. Raises HostStoppingError."""
        while not self._room.acquire(timeout=_ROOM_POLL_SECONDS):
            if self._stopping.is_set():
                break
        if self._stopping.is_set():
            raise HostStoppingError("the channel is stopping")
        if _too_large(event):
            self._room.release()
            on_committed(Committed(Outcome.REJECTED, "the message is too large"))
            return
        pending = _Pending(event, on_committed)
        self._reactor.post(lambda: self._enqueue(pending))

    def stop(self) -> None:
        """No further events; those in flight may still be committed."""
        self._stopping.set()

    def connected(self) -> None:
        """The router answered the hello; everything uncommitted goes out again, in order."""
        self._open = True
        for platform_id in list(self._chats):
            self._resume(platform_id)

    def disconnected(self) -> None:
        self._open = False

    def _enqueue(self, pending: _Pending) -> None:
        reached("worker.inbound_received")
        self.uncommitted += 1
        chat = self._chats.setdefault(pending.event.platform_id, _ChatQueue())
        chat.events.append(pending)
        self._pump(pending.event.platform_id)

    def _pump(self, platform_id: str) -> None:
        chat = self._chats.get(platform_id)
        if chat is None or chat.held_back or not self._open:
            return
        for pending in chat.events:
            if chat.in_flight >= MAX_PER_CHAT:
                return
            if pending.state is _State.WAITING:
                pending.state = _State.IN_FLIGHT
                chat.in_flight += 1
                self._send(platform_id, pending)

    def _send(self, platform_id: str, pending: _Pending) -> None:
        def on_answer(answer: Answer) -> None:
            self._answered(platform_id, pending, answer)

        self._router.request(Inbound(pending.event), COMMIT_SECONDS, on_answer)

    def _answered(self, platform_id: str, pending: _Pending, answer: Answer) -> None:
        chat = self._chats[platform_id]
        chat.in_flight -= 1
        if isinstance(answer, Committed):
            reached("worker.inbound_committed")
            chat.refusals = 0
            self._finish(platform_id, pending, answer)
        else:
            self._put_back(chat, pending, answer)
        if chat.held_back and chat.in_flight == 0:
            self._retry(platform_id, chat)
        else:
            self._pump(platform_id)

    def _put_back(self, chat: _ChatQueue, pending: _Pending, answer: Answer) -> None:
        pending.state = _State.WAITING
        chat.held_back = True
        reason = "no answer in time" if isinstance(answer, DeadlinePassed) else str(answer)
        log.debug(
            "event not committed",
            extra={
                "channel": self._instance,
                "message_id": pending.event.event_key,
                "reason": reason,
            },
        )

    def _retry(self, platform_id: str, chat: _ChatQueue) -> None:
        """Later if the connection is there: the router then refused, or it is overloaded."""
        if not self._open:
            return  # ``connected`` sends again
        delay = REFUSED_SECONDS[min(chat.refusals, len(REFUSED_SECONDS) - 1)]
        chat.refusals += 1
        chat.retry = self._reactor.call_later(delay, lambda: self._resume(platform_id))

    def _resume(self, platform_id: str) -> None:
        """Everything that is not committed goes out again, from the oldest on."""
        chat = self._chats.get(platform_id)
        if chat is None:
            return
        if chat.retry is not None:
            chat.retry.cancel()
            chat.retry = None
        chat.held_back = False
        self._pump(platform_id)

    def _finish(self, platform_id: str, pending: _Pending, committed: Committed) -> None:
        pending.state = _State.DONE
        chat = self._chats[platform_id]
        while chat.events and chat.events[0].state is _State.DONE:
            chat.events.popleft()
        if not chat.events:
            del self._chats[platform_id]
        self.uncommitted -= 1
        self._room.release()
        pending.on_committed(committed)


def _too_large(event: InboundEvent) -> bool:
    """A frame that cannot be sent would come back for ever."""
    if len(event.text) + len(event.extra_json or "") < _SURELY_SMALL:
        return False
    return len(encode(Envelope(Inbound(event), id=2**31))) > MAX_FRAME_BYTES

"""The event loop of every host process: file descriptors, timers, signals, calls from threads.

A thin layer over ``selectors`` so that each loop's body stays a plain method called with the
time. Used by supervisor, router, delivery, sweep, admin and channel workers; knows none of them.
A callback that raises ends the process on purpose: the supervisor restarts it and the work goes
on from what is on disk. Callbacks must not block.
"""

import contextlib
import heapq
import itertools
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import FrameType

Callback = Callable[[], None]


@dataclass(order=True, slots=True)
class Timer:
    """A pending call; ``cancel`` makes it a no-op."""

    due: float
    order: int
    callback: Callback | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None


class Reactor:
    """Runs callbacks for readable or writable descriptors and due timers until ``stop``."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._posted: deque[Callback] = deque()
        self._running = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._signal_handlers: dict[int, Callable[[int], None]] = {}
        self.watch(self._wake_read, self._drain_wake_pipe)

    @staticmethod
    def now() -> float:
        """Monotonic seconds; the clock of every delay and deadline."""
        return time.monotonic()

    def watch(self, fd: int, on_readable: Callback) -> None:
        self._set(fd, selectors.EVENT_READ, on_readable)

    def watch_writable(self, fd: int, on_writable: Callback) -> None:
        self._set(fd, selectors.EVENT_WRITE, on_writable)

    def unwatch(self, fd: int) -> None:
        self._set(fd, selectors.EVENT_READ, None)
        self._set(fd, selectors.EVENT_WRITE, None)

    def unwatch_writable(self, fd: int) -> None:
        self._set(fd, selectors.EVENT_WRITE, None)

    def call_at(self, due: float, callback: Callback) -> Timer:
        """Calls back once ``now()`` has reached ``due``."""
        timer = Timer(due, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        return self.call_at(self.now() + seconds, callback)

    def post(self, callback: Callback) -> None:
        """Calls back on the reactor's thread soon. Safe from any thread."""
        self._posted.append(callback)
        self._wake()

    def on_signals(self, numbers: Iterable[int], handler: Callable[[int], None]) -> None:
        """Runs ``handler`` as an ordinary callback; the signal handler itself only enqueues."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in numbers:
            self._signal_handlers[number] = handler
            signal.signal(number, self._enqueue_signal)

    def run(self) -> None:
        self._running = True
        while self._running:
            self.run_once()

    def run_once(self, longest_wait: float | None = None) -> None:
        """One round: wait for the next thing, then call back. ``longest_wait`` is in seconds."""
        for key, mask in self._selector.select(self._timeout(longest_wait)):
            # Looked up again before each call: an earlier callback of this round may have
            # stopped the watching, or closed the descriptor.
            if mask & selectors.EVENT_READ:
                self._call(key.fd, selectors.EVENT_READ)
            if mask & selectors.EVENT_WRITE:
                self._call(key.fd, selectors.EVENT_WRITE)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
        self._run_due_timers()

    def stop(self) -> None:
        """Ends ``run`` after the current round. Safe from any thread."""
        self._running = False
        self._wake()

    def close(self) -> None:
        if self._signal_handlers:
            signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _timeout(self, longest_wait: float | None) -> float | None:
        if self._posted:
            return 0.0
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return longest_wait
        delay = max(0.0, self._timers[0].due - self.now())
        return delay if longest_wait is None else min(delay, longest_wait)

    def _run_due_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0].due <= now:
            timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()

    def _set(self, fd: int, event: int, callback: Callback | None) -> None:
        try:
            key = self._selector.get_key(fd)
        except KeyError:
            if callback is not None:
                self._selector.register(fd, event, _pair(event, callback, (None, None)))
            return
        events = key.events | event if callback is not None else key.events & ~event
        if events:
            self._selector.modify(fd, events, _pair(event, callback, key.data))
        else:
            self._selector.unregister(fd)

    def _call(self, fd: int, event: int) -> None:
        try:
            key = self._selector.get_key(fd)
        except KeyError:
            return
        callback = key.data[0] if event == selectors.EVENT_READ else key.data[1]
        if key.events & event and callback is not None:
            callback()

    def _wake(self) -> None:
        # A full pipe means that the loop is going to wake up anyway.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _drain_wake_pipe(self) -> None:
        data = os.read(self._wake_read, 4096)
        for number in data:
            handler = self._signal_handlers.get(number)
            if handler is not None:
                handler(number)

    @staticmethod
    def _enqueue_signal(number: int, frame: FrameType | None) -> None:
        """The wake-up pipe already carries the number; Python needs a handler to not die."""


_Pair = tuple[Callback | None, Callback | None]


def _pair(event: int, callback: Callback | None, old: _Pair) -> _Pair:
    if event == selectors.EVENT_READ:
        return callback, old[1]
    return old[0], callback

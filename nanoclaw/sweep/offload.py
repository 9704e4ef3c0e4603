"""Worker threads for calls that block: the container runtime, disk walks.

The sweep's loop must never wait for an engine. ``submit`` runs a call on a thread and hands its
result back on the reactor's thread. Threads are made when they are first needed and never end
before the process does, because an idle host should not pay for them and a hanging engine must not
hold up its stop.
"""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from nanoclaw.errors import ContainerError
from nanoclaw.reactor import Reactor

MAX_THREADS = 8
"""A stop may take ten seconds; starts must not wait behind a few of them."""

Result = TypeVar("Result")
Call = Callable[[], None]


class Offload:
    """A small pool in front of one reactor."""

    def __init__(self, reactor: Reactor, max_threads: int = MAX_THREADS) -> None:
        self._reactor = reactor
        self._max_threads = max_threads
        self._threads = 0
        self._pending = 0
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def submit(
        self,
        call: Callable[[], Result],
        on_result: Callable[[Result], None],
        on_error: Callable[[ContainerError], None],
    ) -> None:
        """Exactly one of the two is called back, later, on the reactor's thread.

        OSError counts as ContainerError: such calls touch the disk too. Any other exception is a
        defect and ends the process through the reactor, like one in a callback.
        """

        def run() -> None:
            try:
                result = call()
            except ContainerError as error:
                failure = error
                self._post(lambda: on_error(failure))
            except OSError as error:
                wrapped = ContainerError(str(error))
                self._post(lambda: on_error(wrapped))
            except BaseException:
                self._post(_end_process)
                raise
            else:
                self._post(lambda: on_result(result))

        self._pending += 1
        self._calls.put(run)
        if self._threads < min(self._pending, self._max_threads):
            self._threads += 1
            threading.Thread(target=self._work, name="offload", daemon=True).start()

    def _post(self, callback: Call) -> None:
        def finish() -> None:
            self._pending -= 1
            callback()

        self._reactor.post(finish)

    def _work(self) -> None:
        while True:
            self._calls.get()()


def _end_process() -> None:
    """Ends the loop; the supervisor starts a new one. The thread's own trace has been printed."""
    raise RuntimeError("a call on a worker thread failed in an unexpected way")

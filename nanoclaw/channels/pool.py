"""The threads that call the adapter, so that a slow platform never blocks the worker's loop.

At most four (C-35), started when there is work for them. Tasks must not raise. The threads are
daemons: a platform call that hangs cannot keep a stopping worker alive.
"""

import queue
import threading
from collections.abc import Callable

THREADS = 4

Task = Callable[[], None]


class Pool:
    """Runs tasks in the order they come, up to four at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._unfinished = 0

    @property
    def idle(self) -> bool:
        with self._lock:
            return self._unfinished == 0

    def put(self, task: Task) -> None:
        with self._lock:
            self._unfinished += 1
            if self._unfinished > len(self._threads) and len(self._threads) < THREADS:
                number = len(self._threads) + 1
                thread = threading.Thread(
                    target=self._work, name=f"{self._name}-send-{number}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        self._tasks.put(task)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            task()
            with self._lock:
                self._unfinished -= 1

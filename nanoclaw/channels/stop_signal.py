"""A flag that threads can wait for, in a sleep as well as in a selector."""

import os
import threading


class StopSignal:
    """Set once, never cleared. Implements ``adapter.Stop``."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._read, self._write = os.pipe()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)

    def fileno(self) -> int:
        """Readable once the flag is set."""
        return self._read

    def set(self) -> None:
        """Safe from any thread."""
        if not self._event.is_set():
            self._event.set()
            os.write(self._write, b"\0")

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)

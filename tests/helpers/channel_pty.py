"""A program on a pseudo-terminal of 80 columns, driven like a person would."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from pathlib import Path

from helpers.waiting import wait_until

_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78]|\r")


class PtyProgram:
    """Everything it writes is collected; ``screen_text`` leaves cursor movements out."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            list(words), stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._output = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def raw(self) -> str:
        return bytes(self._output).decode(errors="replace")

    @property
    def screen_text(self) -> str:
        return _SEQUENCES.sub("", self.raw)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str, *, within: float = 15) -> None:
        wait_until(
            lambda: text in self.screen_text,
            within=within,
            what=f"{text!r} on the screen; it shows {self.screen_text!r}",
        )

    def wait(self) -> int:
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
        self._thread.join(10)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return  # the last writer has closed it
            if not data:
                return
            self._output += data
            if b"\x1b[6n" in data:
                os.write(self._master, b"\x1b[1;1R")  # where the cursor is

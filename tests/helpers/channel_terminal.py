"""A raw client of the terminal socket: writes lines, collects what comes back."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from helpers.waiting import wait_until


class RawClient:
    """One connection; a thread collects the host's lines."""

    def __init__(
        self,
        path: Path,
        name: str | None = None,
        *,
        listens: bool = True,
        confirms: bool = True,
        got: tuple[str, ...] = (),
    ) -> None:
        self.lines: list[dict[str, object]] = []
        self.confirms = confirms
        self.ended = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.socket.settimeout(None)
        self._reading = threading.Event()
        self._reading.set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if name is not None:
            self.write(client=name, listen=listens, confirm=confirms, got=list(got))
            self.wait_for(lambda line: "welcome" in line)

    def write(self, **fields: object) -> None:
        self.write_raw(json.dumps(fields).encode() + b"\n")

    def write_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def say(self, text: str, line_id: str) -> None:
        """Sends a message and waits until the host has it."""
        self.write(text=text, id=line_id, ack=True)
        self.wait_for_ack(line_id)

    def wait_for_ack(self, line_id: str, *, within: float = 10) -> dict[str, object]:
        return self.wait_for(lambda line: line.get("ack") == line_id, within=within)

    def wait_for_text(self, text: str, *, within: float = 10) -> dict[str, object]:
        return self.wait_for(lambda line: line.get("text") == text, within=within)

    def wait_for(
        self, fits: Callable[[dict[str, object]], bool], *, within: float = 10
    ) -> dict[str, object]:
        def find() -> dict[str, object] | None:
            return next((line for line in list(self.lines) if fits(line)), None)

        found = wait_until(find, within=within, what=f"a line among {self.lines}")
        assert found is not None
        return found

    @property
    def texts(self) -> list[str]:
        """What was shown, notices left out, repetitions included."""
        return [str(line["text"]) for line in self.lines if "text" in line and "id" in line]

    @property
    def notices(self) -> list[str]:
        return [str(line["text"]) for line in self.lines if line.get("notice")]

    def stop_reading(self) -> None:
        """The program is suspended: its buffers fill."""
        self._reading.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._reading.set()
        self._thread.join(10)
        self.socket.close()

    def _read(self) -> None:
        received = b""
        while True:
            self._reading.wait()
            try:
                data = self.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return
            *lines, received = (received + data).split(b"\n")
            for raw in lines:
                line = json.loads(raw)
                self.lines.append(line)
                if self.confirms and "id" in line:
                    with contextlib.suppress(OSError):
                        self.write(got=line["id"])

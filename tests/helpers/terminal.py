"""A bare client of the terminal channel, for tests that count messages.

Speaks the JSON lines of ``run/cli.sock``. Resends what the host has not confirmed after every
reconnect, with the same id, and drops replies whose id it has seen: what the platform's own
means against doubles would do. ``replies`` is what a person would have read.
"""

import json
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

RECONNECT_SECONDS = 0.02
MAX_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    id: str
    text: str
    reply_to: str | None
    done: bool


class Terminal:
    """One chat client; not thread-safe."""

    def __init__(self, path: Path) -> None:
        self.replies: list[Reply] = []
        self.client = f"test-{uuid.uuid4().hex[:8]}"
        self._path = path
        self._socket: socket.socket | None = None
        self._received = b""
        self._unconfirmed: dict[str, bytes] = {}
        self._seen: set[str] = set()
        self._unsettled: set[str] = set()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, text: str) -> str:
        """Sends one message and returns its id; confirmed or not, it will get there."""
        message_id = f"cli-{uuid.uuid4().hex[:12]}"
        line = json.dumps({"text": text, "id": message_id, "ack": True})
        self._unconfirmed[message_id] = line.encode() + b"\n"
        self._write(self._unconfirmed[message_id])
        return message_id

    def is_confirmed(self, message_id: str) -> bool:
        return message_id not in self._unconfirmed

    def wait_for_answer(self, message_id: str, *, within: float = 30) -> Reply:
        """The last reply to a message; raises AssertionError if none comes."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for reply in self.replies:
                if reply.reply_to == message_id and reply.done:
                    return reply
            self.receive(min(0.5, deadline - time.monotonic()))
        raise AssertionError(f"no answer to {message_id} within {within} s")

    def receive(self, seconds: float) -> None:
        """Takes in what comes within the time; reconnects when the host was restarted."""
        if self._socket is None:
            self.connect()
        if self._socket is None:
            time.sleep(min(RECONNECT_SECONDS, max(0.0, seconds)))
            return
        self._socket.settimeout(max(0.001, seconds))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, line: dict[str, object]) -> None:
        if "ack" in line:
            self._unconfirmed.pop(str(line["ack"]), None)
            return
        settled = line.get("settled")
        if isinstance(settled, list):
            self._unsettled.difference_update(settled)
            return
        reply_id = str(line.get("id") or "")
        if reply_id:
            self._unsettled.add(reply_id)
            self._write(json.dumps({"got": reply_id}).encode() + b"\n")
            if reply_id in self._seen:
                return
            self._seen.add(reply_id)
        if "text" in line and reply_id:
            reply_to = line.get("reply_to")
            self.replies.append(
                Reply(
                    reply_id,
                    str(line["text"]),
                    str(reply_to) if reply_to else None,
                    bool(line.get("done")),
                )
            )

    def connect(self) -> bool:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            return False
        self._socket, self._received = connection, b""
        greeting = {"client": self.client, "listen": True, "confirm": True}
        self._put(json.dumps({**greeting, "got": sorted(self._unsettled)}).encode() + b"\n")
        for line in list(self._unconfirmed.values()):
            self._put(line)
        return self._socket is not None  # the host may die while these lines are written

    def _write(self, line: bytes) -> None:
        if self._socket is None:
            self.connect()
        self._put(line)

    def _put(self, line: bytes) -> None:
        """Writes to the connection that stands; nothing when none does, or when it breaks."""
        if self._socket is None:
            return
        try:
            self._socket.settimeout(5)
            self._socket.sendall(line)
        except OSError:
            self.close()

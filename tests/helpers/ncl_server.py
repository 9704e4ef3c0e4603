"""Stands in for the host on ``run/ncl.sock``: answers each connection with given bytes."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from nanoclaw.paths import HostPaths

Answer = Callable[[dict[str, object]], bytes]


def data(value: object) -> Answer:
    """The answer of a command that was carried out."""

    def answer(frame: dict[str, object]) -> bytes:
        return json.dumps({"id": frame["id"], "ok": True, "data": value}).encode() + b"\n"

    return answer


def error(code: str, message: str) -> Answer:
    def answer(frame: dict[str, object]) -> bytes:
        fields = {"code": code, "message": message}
        return json.dumps({"id": frame["id"], "ok": False, "error": fields}).encode() + b"\n"

    return answer


class NclServer:
    """One thread; ``frames`` are the requests in their order. ``None`` answers nothing."""

    def __init__(self, home: Path, answer: Answer | None) -> None:
        self.home = home
        self.frames: list[dict[str, object]] = []
        self._answer = answer
        path = HostPaths(home).socket("ncl")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._kept: list[socket.socket] = []

    def __enter__(self) -> "NclServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        for connection in self._kept:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection.makefile("rb") as stream:
                line = stream.readline()
            frame = json.loads(line)
            self.frames.append(frame)
            if self._answer is None:
                self._kept.append(connection)
                continue
            with connection:
                connection.sendall(self._answer(frame))

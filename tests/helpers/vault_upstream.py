"""A stand-in for the model's address: a threaded HTTP server that answers as a test tells it to.

Streams server-sent events as the Messages API does, waits where a test wants it to wait, breaks
off, and keeps what it was sent.
"""

import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Play = Callable[["Call"], None]
MODEL = "claude-haiku-4-5-20251001"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


class Call:
    """One request being answered."""

    def __init__(self, handler: BaseHTTPRequestHandler, upstream: "FakeUpstream") -> None:
        self.handler = handler
        self.upstream = upstream

    def whole(
        self, body: bytes, status: int = 200, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.handler.send_response(status)
        self.handler.send_header("content-type", "application/json")
        self.handler.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def begin_stream(self) -> None:
        self.handler.send_response(200)
        self.handler.send_header("content-type", "text/event-stream; charset=utf-8")
        self.handler.send_header("transfer-encoding", "chunked")
        self.handler.send_header("request-id", "req_1")
        self.handler.send_header("set-cookie", "tracker=1")
        self.handler.end_headers()

    def chunk(self, data: bytes) -> None:
        self.handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.handler.wfile.flush()

    def event(self, value: dict[str, object]) -> None:
        text = f"event: {value['type']}\ndata: {json.dumps(value)}\n\n"
        self.chunk(text.encode())

    def message_start(self, input_tokens: int = 100, **usage: object) -> None:
        counts = {"input_tokens": input_tokens, "output_tokens": 1, **usage}
        message = {"id": "msg_1", "role": "assistant", "model": MODEL, "usage": counts}
        self.event({"type": "message_start", "message": message})

    def text(self, text: str) -> None:
        delta = {"type": "text_delta", "text": text}
        self.event({"type": "content_block_delta", "index": 0, "delta": delta})

    def end_stream(self, output_tokens: int = 20) -> None:
        self.event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": output_tokens},
            }
        )
        self.event({"type": "message_stop"})
        self.handler.wfile.write(b"0\r\n\r\n")

    def break_off(self) -> None:
        self.handler.close_connection = True
        self.handler.connection.close()

    def wait_for_hang_up(self) -> None:
        """Goes on writing until the other side is gone."""
        try:
            while True:
                self.event({"type": "ping"})
                if self.upstream.stopping.wait(0.01):
                    return
        except OSError:
            self.upstream.hung_up.set()
            self.handler.close_connection = True


def answer(call: Call) -> None:
    """An ordinary streamed answer."""
    call.begin_stream()
    call.message_start()
    call.text("Hello")
    call.end_stream()


@dataclass(slots=True)
class FakeUpstream:
    """``play`` answers every request; ``gate`` is for plays that wait."""

    play: Play = answer
    seen: list[Seen] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    tls: ssl.SSLContext | None = None
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeUpstream":
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                upstream.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                upstream.seen.append(Seen(self.command, self.path, headers, body))
                try:
                    upstream.play(Call(self, upstream))
                except OSError:
                    self.close_connection = True

            do_GET = do_POST  # noqa: N815  the base class wants it so

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # the other side hung up

        self._server = Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.gate.set()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

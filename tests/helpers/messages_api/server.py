"""A server that speaks the Messages API, for whole conversations with the real SDK.

``with MessagesApi() as api`` listens on a loopback port. Answers come from ``script`` in their
order, or from a function (``respond``); a request without an answer is an error that names
itself. Every request is checked as the API would and recorded in ``api.requests``.
"""

import contextlib
import hashlib
import http.server
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

from helpers.messages_api import stream
from helpers.messages_api.answers import Answer, Block, Failing, Reply, Silence, failing, summary
from helpers.messages_api.checks import RefusedError, check, content_of, markers, prefix_signature
from helpers.messages_api.models import MODELS

KEY = "sk-ant-test-key-of-the-upstream"
CHARACTERS_PER_TOKEN = 4


@dataclass(slots=True)
class Request:
    """One request for a message. ``disconnected``: the client went away before the end."""

    number: int
    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    at: float
    refused: str | None = None
    disconnected: bool = False
    finished: bool = False

    @property
    def betas(self) -> frozenset[str]:
        names = self.headers.get("anthropic-beta", "")
        return frozenset(name.strip() for name in names.split(",") if name.strip())

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body.get("messages", [])
        return found

    @property
    def system(self) -> str:
        system = self.body.get("system", [])
        if isinstance(system, str):
            return system
        return "\n\n".join(block["text"] for block in system)

    @property
    def tools(self) -> list[str]:
        return [tool["name"] for tool in self.body.get("tools", [])]

    @property
    def last_text(self) -> str:
        """All text that came after the last answer."""
        texts: list[str] = []
        for message in reversed(self.messages):
            if message["role"] == "assistant":
                break
            texts = [b["text"] for b in content_of(message) if b["type"] == "text"] + texts
        return "\n".join(texts)

    @property
    def results(self) -> dict[str, str]:
        """Text of the tool results that came after the last answer, by the id of the call."""
        found: dict[str, str] = {}
        for message in reversed(self.messages):
            if message["role"] == "assistant":
                break
            for block in content_of(message):
                if block["type"] == "tool_result":
                    found[block["tool_use_id"]] = _text_of(block.get("content", ""))
        return found

    @property
    def everything(self) -> str:
        """The text of all messages and results, to look for words in."""
        return json.dumps(self.messages, ensure_ascii=False)


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block["type"] == "text")


Responder = Callable[[Request], Reply | None]


@dataclass(slots=True)
class MessagesApi:
    """``keys`` are accepted as ``x-api-key`` or bearer token; empty: anything is."""

    keys: tuple[str, ...] = (KEY,)
    context_tokens: int = 1_000_000
    requests: list[Request] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    """Requests that no test has foreseen."""
    supported_betas: frozenset[str] | None = None
    """None: every beta is known, else others are refused."""
    models_fail: bool = False

    _queue: deque[Reply] = field(default_factory=deque)
    _compactions: deque[Reply] = field(default_factory=deque)
    _responder: Responder | None = None
    _signed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _cached: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _server: http.server.ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"server_api": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="messages-api", daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def refusals(self) -> list[str]:
        """What the checks had against requests; a test that wants none asserts that."""
        return [request.refused for request in self.requests if request.refused]

    def script(self, *replies: Reply) -> None:
        """More answers, after those that are left."""
        with self._lock:
            self._queue.extend(replies)

    def script_compaction(self, *replies: Reply) -> None:
        """Answers to requests for a summary; without one, a summary is made up."""
        with self._lock:
            self._compactions.extend(replies)

    def respond(self, responder: Responder) -> None:
        """Asked for each request before the queue is; None: take the queue."""
        self._responder = responder

    def accept(self, path: str, headers: dict[str, str], raw: bytes) -> tuple[Request, Reply]:
        """Records, checks and finds the answer of one request."""
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        with self._lock:
            request = Request(next(self._numbers), path, headers, raw, body, time.monotonic())
            self.requests.append(request)
        try:
            self._check(request)
        except RefusedError as refused:
            request.refused = str(refused)
            return request, refused.failing
        return request, self._reply(request)

    def count(self, request: Request, reply: Answer) -> dict[str, Any]:
        """The usage object: a quarter of the characters, and what the cache would have had."""
        total = len(request.raw) // CHARACTERS_PER_TOKEN
        read = written = 0
        with self._lock:
            for _, mark in markers(request.body):
                tokens = int(mark.rpartition(":")[2]) // CHARACTERS_PER_TOKEN
                if mark in self._cached:
                    read = max(read, tokens)
                else:
                    self._cached.add(mark)
                    written = max(written, tokens)
        written = max(written - read, 0)
        out = sum(len(json.dumps(block)) for block in reply.blocks) // CHARACTERS_PER_TOKEN
        return {
            "input_tokens": max(total - read - written, 1),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": max(out, 1),
        }

    def sign(self, request: Request, reply: Answer) -> Answer:
        """Thinking and summaries are signed for the conversation they were made for."""
        return replace(reply, blocks=tuple(self._signed_block(request, b) for b in reply.blocks))

    def _signed_block(self, request: Request, block: Block) -> Block:
        if block["type"] == "thinking" and not block["signature"]:
            count = len(request.messages)
            return {**block, "signature": prefix_signature(request.body, count, self._signed)}
        if block["type"] == "compaction" and block["content"] is not None:
            made = hashlib.sha256(request.raw).hexdigest()[:24]
            self._signed[made] = request.messages
            return {**block, "signature": made}
        return block

    def _check(self, request: Request) -> None:
        given = request.headers.get("x-api-key") or request.headers.get(
            "authorization", ""
        ).removeprefix("Bearer ")
        if self.keys and given not in self.keys:
            raise RefusedError("invalid x-api-key", "authentication_error", 401)
        if not request.headers.get("anthropic-version"):
            raise RefusedError("anthropic-version: header is required")
        unknown = request.betas - (self.supported_betas or request.betas)
        if self.supported_betas is not None and unknown:
            raise RefusedError(
                f"Unexpected value(s) `{', '.join(sorted(unknown))}` for anthropic-beta"
            )
        if not request.body:
            raise RefusedError("the request body is not valid JSON")
        if request.path == "/v1/messages":
            check(request.body, request.betas, self._signed)
        tokens = len(request.raw) // CHARACTERS_PER_TOKEN
        if tokens > self.context_tokens:
            limit = self.context_tokens
            raise RefusedError(f"prompt is too long: {tokens} tokens > {limit} maximum")

    def _reply(self, request: Request) -> Reply:
        if "compaction" in request.body:
            with self._lock:
                if self._compactions:
                    return self._compactions.popleft()
            return summary(f"Summary of {len(request.messages)} messages.")
        if self._responder is not None:
            reply = self._responder(request)
            if reply is not None:
                return reply
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self.unexpected.append(request.last_text[:500])
        return failing(400, "invalid_request_error", "the test has no answer for this request")


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection; HTTP/1.1 with chunks, as the API's own front end."""

    server_api: MessagesApi
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *_: object) -> None:
        """Tests look at ``api.requests``."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_GET(self) -> None:
        api = self.server_api
        path, _, _ = self.path.partition("?")
        if api.models_fail:
            self._send_failing(failing(500, "api_error"))
        elif path == "/v1/models":
            known = {"data": list(MODELS), "has_more": False, "first_id": None, "last_id": None}
            self._send_json(200, known)
        elif found := [model for model in MODELS if path == f"/v1/models/{model['id']}"]:
            self._send_json(200, found[0])
        else:
            self._send_failing(failing(404, "not_found_error", f"not found: {path}"))

    def do_POST(self) -> None:
        raw = self._read_body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, _, _ = self.path.partition("?")
        if path == "/v1/messages/count_tokens":
            self._send_json(200, {"input_tokens": len(raw) // CHARACTERS_PER_TOKEN})
            return
        if path != "/v1/messages":
            self._send_failing(failing(404, "not_found_error", f"not found: {path}"))
            return
        request, reply = self.server_api.accept(path, headers, raw)
        try:
            self._send_reply(request, reply)
        except (ConnectionError, TimeoutError):
            request.disconnected = True
            raise

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send_reply(self, request: Request, reply: Reply) -> None:
        match reply:
            case Failing():
                self._send_failing(reply)
            case Silence(seconds):
                time.sleep(seconds)
                self.close_connection = True
            case Answer():
                signed = self.server_api.sign(request, reply)
                usage = self.server_api.count(request, signed)
                message_id = f"msg_test{request.number:06d}"
                if request.body.get("stream"):
                    self._send_stream(request, signed, message_id, usage)
                else:
                    model = request.body["model"]
                    whole = stream.whole_message(signed, message_id, model, usage)
                    self._send_json(200, whole)
        request.finished = True

    def _send_stream(
        self, request: Request, reply: Answer, message_id: str, usage: dict[str, Any]
    ) -> None:
        time.sleep(reply.first_byte_seconds)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("request-id", f"req_test{request.number:06d}")
        self.end_headers()
        for _ in range(reply.pings):
            time.sleep(reply.ping_seconds)
            self._chunk(stream.encode({"type": "ping"}))
        made = stream.events(reply, message_id, request.body["model"], usage)
        for position, event in enumerate(made):
            if reply.gate is not None and position == reply.gate_at:
                self._wait_for(reply.gate)
            if position == reply.cut_at:
                self.close_connection = True
                if reply.cut_cleanly:
                    break
                return
            if position == reply.error_at:
                error = {"type": reply.error_type, "message": "made up by the test"}
                self._chunk(stream.encode({"type": "error", "error": error}))
                break
            if position == reply.raw_at:
                self._chunk(reply.raw)
            if position not in reply.skip:
                self._chunk(stream.encode(event))
            time.sleep(reply.between_seconds)
        self._write(b"0\r\n\r\n")

    def _wait_for(self, gate: threading.Event) -> None:
        """With pings meanwhile, so that a client that went away is noticed."""
        deadline = time.monotonic() + 60
        while not gate.wait(0.1):
            self._chunk(stream.encode({"type": "ping"}))
            if time.monotonic() > deadline:
                raise TimeoutError("the test never opened the gate of this answer")

    def _chunk(self, data: bytes) -> None:
        if data:
            self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)

    def _send_failing(self, reply: Failing) -> None:
        error = {"type": reply.kind, "message": reply.message}
        made = json.dumps({"type": "error", "error": error, "request_id": "req_test"}).encode()
        self._send(reply.status, made if reply.body is None else reply.body, reply)

    def _send_json(self, status: int, value: object) -> None:
        self._send(status, json.dumps(value).encode())

    def _send(self, status: int, data: bytes, reply: Failing | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", reply.content_type if reply else "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in reply.headers if reply else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

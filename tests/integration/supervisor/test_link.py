"""Frames over real Unix sockets: requests, answers, lost links, bad peers."""

import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nanoclaw.codec import encode
from nanoclaw.errors import ConfigError
from nanoclaw.events import DeadlinePassed, Envelope, Frame, Hello, LinkDown, Ok, Refused, Wake
from nanoclaw.link import MAX_FRAME_BYTES, Answer, FrameClient, FrameServer, Peer, QuietHandler
from nanoclaw.reactor import Reactor

OURS = Hello("client", "test", 1)
THEIRS = Hello("server", "test", 2)


class Recorder(QuietHandler):
    """Remembers what came; answers wakes with Ok, stays silent otherwise."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        self.events.append(f"request {type(body).__name__}")
        if isinstance(body, Wake):
            peer.answer(request_id, Ok())

    def on_notice(self, peer: Peer, body: Frame) -> None:
        self.events.append(f"notice {type(body).__name__}")

    def on_open(self, peer: Peer, hello: Hello) -> None:
        self.events.append(f"open {hello.name}")

    def on_close(self, peer: Peer) -> None:
        self.events.append("close")


class Bench:
    """One reactor with whatever a test opens on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reactor = Reactor()
        self.answers: list[Answer] = []
        self.served, self.received = Recorder(), Recorder()
        self._closers: list[FrameServer | FrameClient] = []

    def serve(self) -> FrameServer:
        server = FrameServer(self.reactor, self.path, THEIRS, self.served)
        self._closers.append(server)
        return server

    def connect(self) -> FrameClient:
        client = FrameClient(self.reactor, self.path, OURS, self.received)
        self._closers.append(client)
        client.connect()
        return client

    def stop(self, server: FrameServer) -> None:
        self._closers.remove(server)
        server.close()

    def until(self, text: str, recorder: Recorder) -> None:
        self.turn(lambda: text in recorder.events)

    def until_answers(self, count: int) -> None:
        self.turn(lambda: len(self.answers) >= count)

    def turn(self, done: Callable[[], bool]) -> None:
        deadline = self.reactor.now() + 5
        while not done():
            assert self.reactor.now() < deadline, (self.served.events, self.received.events)
            self.reactor.run_once(0.05)

    def close(self) -> None:
        for closer in self._closers:
            closer.close()
        self.reactor.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "x.sock")
    yield bench
    bench.close()


def frame(body: Frame) -> bytes:
    payload = encode(Envelope(body))
    return struct.pack(">I", len(payload)) + payload


def test_request_is_answered_and_hellos_are_exchanged(bench: Bench) -> None:
    bench.serve()
    client = bench.connect()
    bench.until("open server", bench.received)

    client.request(Wake(("s",)), 5, bench.answers.append)
    client.notify(Ok())
    bench.until_answers(1)
    bench.until("notice Ok", bench.served)

    assert bench.answers == [Ok()]
    assert bench.served.events == ["open client", "request Wake", "notice Ok"]


def test_unanswered_request_ends_with_its_deadline(bench: Bench) -> None:
    bench.serve()
    client = bench.connect()
    bench.until("open server", bench.received)

    client.request(Ok(), 0.01, bench.answers.append)
    bench.until_answers(1)

    assert bench.answers == [DeadlinePassed(0.01)]


def test_request_without_a_connection_is_answered_later_not_at_once(bench: Bench) -> None:
    client = bench.connect()

    client.request(Ok(), 5, bench.answers.append)

    assert bench.answers == []
    bench.until_answers(1)
    assert isinstance(bench.answers[0], LinkDown)


def test_lost_connection_answers_what_is_open_and_comes_back(bench: Bench) -> None:
    server = bench.serve()
    client = bench.connect()
    bench.until("open server", bench.received)
    client.request(Ok(), 5, bench.answers.append)
    bench.until("request Ok", bench.served)

    bench.stop(server)
    bench.until_answers(1)
    bench.received.events.clear()
    bench.serve()
    bench.until("open server", bench.received)

    assert isinstance(bench.answers[0], LinkDown)
    assert client.connected


def test_client_waits_for_a_server_that_is_not_there_yet(bench: Bench) -> None:
    client = bench.connect()
    assert not client.connected

    bench.serve()
    bench.until("open server", bench.received)

    assert client.connected


@pytest.mark.parametrize(
    "payload",
    [
        frame(Refused("no hello")),
        struct.pack(">I", MAX_FRAME_BYTES + 1),
        struct.pack(">I", 3) + b"{]}",
        frame(Hello("old", "test", 1, frame_version=999)),
    ],
    ids=["no hello first", "too long", "no json", "other version"],
)
def test_bad_peer_is_dropped_and_others_are_served(bench: Bench, payload: bytes) -> None:
    bench.serve()
    with socket.socket(socket.AF_UNIX) as bad:
        bad.connect(str(bench.path))
        bad.sendall(payload)
        bench.until("close", bench.served)

    bench.connect()
    bench.until("open client", bench.served)


def test_large_frames_pass_in_both_directions_of_a_slow_reader(bench: Bench) -> None:
    bench.serve()
    client = bench.connect()
    bench.until("open server", bench.received)

    big = Wake(tuple("s" * 1000 for _ in range(500)))
    for _ in range(20):
        client.request(big, 30, bench.answers.append)
    bench.until_answers(20)

    assert bench.answers == [Ok()] * 20


def test_socket_is_private_and_a_stale_one_is_replaced(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(bench.path))

    bench.serve()

    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600


def test_path_that_cannot_be_bound_is_a_plain_error(tmp_path: Path) -> None:
    reactor = Reactor()
    try:
        with pytest.raises(ConfigError, match="cannot listen on"):
            FrameServer(reactor, tmp_path / "no" / "folder.sock", THEIRS, QuietHandler())
        with pytest.raises(ConfigError, match="cannot listen on"):
            FrameServer(reactor, tmp_path / ("x" * 120), THEIRS, QuietHandler())
    finally:
        reactor.close()


def test_every_client_gets_the_answers_to_its_own_requests(bench: Bench) -> None:
    bench.serve()
    clients = [bench.connect() for _ in range(5)]
    bench.turn(lambda: all(client.connected for client in clients))

    for client in clients:
        client.request(Wake(()), 5, bench.answers.append)
    bench.until_answers(5)

    assert bench.answers == [Ok()] * 5

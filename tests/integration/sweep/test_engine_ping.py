"""Asking an engine without its SDK, against small servers on a Unix socket."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nanoclaw.containers.engine_ping import EnginePing, find_image, find_image_by_name, ping
from nanoclaw.containers.runtime import EngineDown

Serve = Callable[[bytes], str]
PONG = b"HTTP/1.0 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 2\r\n\r\nOK"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server that gives the same answer to everything; returns its address."""
    servers: list[socket.socket] = []

    def start(answer: bytes) -> str:
        path = tmp_path / f"{len(servers)}.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()
        servers.append(server)
        threading.Thread(target=answer_all, args=(server, answer), daemon=True).start()
        return f"unix://{path}"

    yield start
    for server in servers:
        server.close()


def answer_all(server: socket.socket, answer: bytes) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.recv(65536)
            client.sendall(answer)


def test_engine_says_which_api_it_speaks(serve: Serve) -> None:
    assert ping(serve(PONG)) == EnginePing("1.43")


@pytest.mark.parametrize(("version", "enough"), [("1.41", True), ("1.54", True), ("1.40", False),
                                                 ("", False), ("2", False)])  # fmt: skip
def test_old_engines_are_recognised(version: str, enough: bool) -> None:
    assert EnginePing(version).is_new_enough is enough


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.0 500 Oops\r\n\r\n", id="an error"),
        pytest.param(b"HTTP/1.0 many\r\n\r\n", id="no number"),
    ],
)
def test_whatever_else_answers_is_no_engine(serve: Serve, answer: bytes) -> None:
    with pytest.raises(EngineDown):
        ping(serve(answer))


def test_missing_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineDown, match=r"nothing\.sock.*No such file"):
        ping(f"unix://{tmp_path / 'nothing.sock'}")


def test_engine_that_does_not_answer_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        with pytest.raises(EngineDown, match="timed out"):
            ping(f"unix://{path}", seconds=0.1)


def test_engine_over_tcp_works_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_all, args=(server, PONG), daemon=True).start()

        assert ping(f"tcp://127.0.0.1:{server.getsockname()[1]}") == EnginePing("1.43")


def test_addresses_that_need_more_are_refused_in_plain_words() -> None:
    with pytest.raises(EngineDown, match="only unix:// and tcp://"):
        ping("ssh://somewhere")


def test_image_is_found_by_its_label(serve: Serve) -> None:
    body = b'[{"Id":"sha256:1","RepoTags":["a:1"]},{"Id":"sha256:2","RepoTags":["b:1"]}]'
    address = serve(b"HTTP/1.0 200 OK\r\n\r\n" + body)

    assert find_image(address, "nanoclaw.build=x") == "sha256:1"


@pytest.mark.parametrize("tags", [b"null", b"[]", b'["<none>:<none>"]'])
def test_what_a_failed_build_left_is_not_the_image(serve: Serve, tags: bytes) -> None:
    """It has inherited the label of the image that it was built from."""
    body = b'[{"Id":"left","RepoTags":' + tags + b'},{"Id":"image","RepoTags":["a:1"]}]'

    assert find_image(serve(b"HTTP/1.0 200 OK\r\n\r\n" + body), "a=b") == "image"


@pytest.mark.parametrize("body", [b"[]", b"{}", b"[3]", b'[{"Id":null}]'])
def test_no_image_is_found_in_other_answers(serve: Serve, body: bytes) -> None:
    assert find_image(serve(b"HTTP/1.0 200 OK\r\n\r\n" + body), "a=b") is None


def test_image_is_found_by_its_name(serve: Serve) -> None:
    there = serve(b'HTTP/1.0 200 OK\r\n\r\n{"Id":"sha256:1"}')
    missing = serve(b'HTTP/1.0 404 Not Found\r\n\r\n{"message":"no such image"}')

    assert find_image_by_name(there, "mine:1") == "sha256:1"
    assert find_image_by_name(missing, "mine:1") is None


def test_answer_that_is_no_json_is_no_engine(serve: Serve) -> None:
    with pytest.raises(EngineDown, match="Docker API"):
        find_image(serve(b"HTTP/1.0 200 OK\r\n\r\n<html>"), "a=b")

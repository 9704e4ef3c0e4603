"""The proxy behind a door: what goes out, where to, and what never does."""

import base64
import socket
import ssl
from contextlib import closing
from pathlib import Path

import pytest
from helpers.egress_server import (
    OK,
    RawServer,
    TestAuthority,
    echo,
    http_answer,
    raw_server,
    test_authority,
)
from helpers.egress_stage import ALLOW, LOCAL, TOKEN, EgressStage, egress_stage
from helpers.vault_client import raw
from helpers.waiting import wait_until

from nanoclaw.vault import limits
from nanoclaw.vault.egress_types import EgressRequest, Judgement, Keyhole, Verdict

AUTH = "Proxy-Authorization: Basic " + base64.b64encode(f"agent:{TOKEN}".encode()).decode()
NAME = "site.test"
LOOPBACK = {"127.0.0.1": LOCAL, NAME: LOCAL}


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return test_authority(tmp_path / "ca")


def say(stage: EgressStage, *lines: str, body: bytes = b"") -> bytes:
    """A request with the token, and everything that comes back."""
    text = "\r\n".join([*lines, AUTH, "Connection: close", "", ""])
    return stage.door.say(text.encode("latin-1") + body)


def connect(stage: EgressStage, target: str) -> tuple[socket.socket, bytes]:
    """A CONNECT, and the head of its answer."""
    connection = raw(stage.socket)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{AUTH}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n") and (piece := connection.recv(1)):
        head += piece
    return connection, head


def rest(connection: socket.socket) -> bytes:
    """Until the end; a cut is one too."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionError:
        pass
    return received


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


# --- token ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["CONNECT site.test:443 HTTP/1.1", "GET http://site.test/ HTTP/1.1"]
)
def test_without_a_token_the_proxy_asks_for_one(tmp_path: Path, line: str) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage:
        said = stage.door.say(f"{line}\r\nHost: site.test\r\nConnection: close\r\n\r\n".encode())

        assert status(said) == 407
        assert b'proxy-authenticate: Basic realm="nanoclaw"' in said
        assert stage.policy.asked == []


@pytest.mark.parametrize(
    "value",
    [
        "Basic " + base64.b64encode(b"agent:other").decode(), "Basic !!!", "Basic", "",
        f"Bearer {TOKEN}", "Basic " + base64.b64encode(TOKEN.encode()).decode(),
        "Basic " + base64.b64encode(f"agent:{TOKEN} ".encode()).decode(),
    ],
)  # fmt: skip
def test_with_another_token_nobody_is_asked(tmp_path: Path, value: str) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage:
        said = stage.door.say(
            b"CONNECT site.test:443 HTTP/1.1\r\nHost: x\r\n"
            + f"Proxy-Authorization: {value}\r\n\r\n".encode()
        )

        assert status(said) == 403
        assert stage.policy.asked == []


def test_token_sent_after_the_challenge_works_on_the_same_connection(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        connection = raw(stage.socket)
        with closing(connection):
            target = f"127.0.0.1:{server.port}"
            connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            challenge = b""
            while not challenge.endswith(b"\n") or challenge.endswith(b"\r\n"):
                challenge += connection.recv(65536)
            connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n".encode())
            answer = connection.recv(65536)

        assert (status(challenge), status(answer)) == (407, 200)


# --- which way ------------------------------------------------------------------------------------


def test_path_goes_to_the_model_whatever_its_host_says(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage:
        said = say(stage, "GET /v1/models HTTP/1.1", "Host: site.test")

        assert said.endswith(b"model")
        assert stage.policy.asked == []


def test_address_of_the_model_goes_through_the_proxy_and_is_refused_there(tmp_path: Path) -> None:
    kept = (("127.0.0.1", 8080), ("api.test", 443))
    with egress_stage(tmp_path, {**LOOPBACK, "api.test": ALLOW}, kept=kept) as stage:
        plain = say(stage, "GET http://127.0.0.1:8080/v1/models HTTP/1.1", "Host: x")
        tunnel = say(stage, "CONNECT api.test:443 HTTP/1.1", "Host: x")
        disguised = say(stage, "CONNECT API.Test.:443 HTTP/1.1", "Host: x")

        assert [status(said) for said in (plain, tunnel, disguised)] == [403, 403, 403]
        assert b"ANTHROPIC_BASE_URL" in plain
        assert stage.model.targets == []


# --- policy and addresses -------------------------------------------------------------------------


def test_refusal_tells_the_agent_why_in_the_first_line_and_in_the_body(tmp_path: Path) -> None:
    with egress_stage(tmp_path) as stage:
        said = say(stage, "CONNECT unknown.test:443 HTTP/1.1", "Host: x")

        first, _, _ = said.partition(b"\r\n")
        assert first == b"HTTP/1.1 403 unknown.test is not allowed yet; the owner is asked"
        assert said.endswith(b"unknown.test is not allowed yet; the owner is asked\n")


def test_policy_is_told_method_and_path_of_a_plain_request_only(tmp_path: Path) -> None:
    with egress_stage(tmp_path) as stage:
        say(stage, "CONNECT a.test:443 HTTP/1.1", "Host: x")
        say(stage, "DELETE http://b.test:81/x/%2e?q=1 HTTP/1.1", "Host: x")

        seen = [(r.destination.authority, r.method, r.path) for r in stage.policy.asked]
        assert seen == [("a.test:443", None, None), ("b.test:81", "DELETE", "/x/%2e")]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1"])
def test_allowed_name_that_leads_inside_is_refused(tmp_path: Path, address: str) -> None:
    with egress_stage(tmp_path, {NAME: ALLOW}) as stage:
        stage.names[NAME] = ["1.1.1.1", address]

        said = say(stage, f"CONNECT {NAME}:443 HTTP/1.1", "Host: x")
        plain = say(stage, f"GET http://{NAME}/ HTTP/1.1", "Host: x")

        assert (status(said), status(plain)) == (403, 403)
        assert address.encode() in said


def test_name_is_resolved_once_and_that_address_is_connected_to(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer()) as server:
        stage.names[NAME] = ["127.0.0.1"]
        said = say(stage, f"GET http://{NAME}:{server.port}/ HTTP/1.1", "Host: x")

        assert said.endswith(b"hello")
        assert (stage.lookups, server.connections) == ([NAME], 1)


def test_name_that_nobody_allowed_is_not_even_resolved(tmp_path: Path) -> None:
    with egress_stage(tmp_path) as stage:
        say(stage, "CONNECT secret-in-a-name.test:443 HTTP/1.1", "Host: x")

        assert stage.lookups == []


def test_nobody_there_and_unknown_name_are_said_in_plain_words(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        nobody = say(stage, f"CONNECT 127.0.0.1:{port} HTTP/1.1", "Host: x")
        unknown = say(stage, f"GET http://{NAME}/ HTTP/1.1", "Host: x")

        assert (status(nobody), status(unknown)) == (502, 502)
        assert b"cannot be reached" in nobody
        assert b"there is no host of the name" in unknown


# --- tunnels --------------------------------------------------------------------------------------


def test_bytes_go_both_ways_and_each_side_ends_alone(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        connection, head = connect(stage, f"127.0.0.1:{server.port}")
        with closing(connection):
            connection.sendall(b"one")
            assert connection.recv(100) == b"one"
            connection.sendall(b"two")
            connection.shutdown(socket.SHUT_WR)

            assert head.startswith(b"HTTP/1.1 200 Connection established\r\n")
            assert rest(connection) == b"two[end]"


def test_client_goes_on_after_the_server_has_ended_its_side(tmp_path: Path) -> None:
    def speak_first(server: RawServer, connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(100):
            server.received.append(data)

    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(speak_first) as server:
        connection, _ = connect(stage, f"127.0.0.1:{server.port}")
        with closing(connection):
            assert rest(connection) == b"bye"
            connection.sendall(b"late")
            connection.shutdown(socket.SHUT_WR)

            wait_until(lambda: server.received == [b"late"], what="the late bytes arrive")


def hello_for(name: str | None) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", ["other.test", None, "xsite.test", "site.test.evil.test"])
def test_tls_for_another_host_is_cut_before_a_byte_of_it_goes_out(
    tmp_path: Path, name: str | None
) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        stage.names[NAME] = ["127.0.0.1"]
        connection, head = connect(stage, f"{NAME}:{server.port}")
        with closing(connection):
            connection.sendall(hello_for(name))

            assert status(head) == 200
            assert rest(connection) == b""


def test_tls_for_the_named_host_passes_in_whatever_pieces(tmp_path: Path) -> None:
    hello = hello_for("Site.Test")
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        stage.names[NAME] = ["127.0.0.1"]
        connection, _ = connect(stage, f"{NAME}:{server.port}")
        with closing(connection):
            for at in range(0, len(hello), 50):
                connection.sendall(hello[at : at + 50])
            connection.shutdown(socket.SHUT_WR)

            assert rest(connection) == hello + b"[end]"


def test_real_tls_works_through_the_tunnel(tmp_path: Path, authority: TestAuthority) -> None:
    context = authority.server_context(NAME)

    def serve(server: RawServer, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            server.received.append(secured.recv(100))
            secured.sendall(b"secret answer")

    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(serve) as server:
        stage.names[NAME] = ["127.0.0.1"]
        connection, _ = connect(stage, f"{NAME}:{server.port}")
        trusting = ssl.create_default_context(cafile=str(authority.ca))
        with trusting.wrap_socket(connection, server_hostname=NAME) as secured:
            secured.sendall(b"question")

            assert secured.recv(100) == b"secret answer"
        assert server.received == [b"question"]


@pytest.mark.parametrize("end", [b"", b"x" * 100])
def test_beginning_of_tls_without_an_end_is_cut(tmp_path: Path, end: bytes) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        connection, _ = connect(stage, f"127.0.0.1:{server.port}")
        with closing(connection):
            record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"x" * (0x4000 - 4)
            more = b"\x16\x03\x01\x40\x00" + b"x" * 0x4000
            connection.sendall(record + more * (3 if end else 0) + end)
            connection.shutdown(socket.SHUT_WR)

            assert rest(connection) == b""


def test_bytes_before_the_tunnel_is_there_are_not_taken(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        text = f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\nearly"
        said = stage.door.say(text.encode())

        assert status(said) == 400


@pytest.mark.parametrize("header", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_connect_with_a_body_is_refused(tmp_path: Path, header: str) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage:
        said = say(stage, "CONNECT 127.0.0.1:443 HTTP/1.1", "Host: x", header, body=b"hello")

        assert status(said) == 400


def test_tunnels_have_a_bound_and_the_model_stays_reachable(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(echo) as server:
        target = f"127.0.0.1:{server.port}"
        held = [connect(stage, target) for _ in range(limits.MAX_EGRESS_PER_DOOR)]
        one_more, head = connect(stage, target)
        said = say(stage, "GET /v1/models HTTP/1.1", "Host: x")

        assert {status(answer) for _, answer in held} == {200}
        assert status(head) == 503
        assert said.endswith(b"model")
        for connection in (one_more, *(connection for connection, _ in held)):
            connection.close()


def test_inspection_without_the_extra_is_refused_with_the_next_step(tmp_path: Path) -> None:
    rules = {NAME: Judgement(Verdict.INSPECT, "", "test")}
    with egress_stage(tmp_path, rules) as stage:
        said = say(stage, f"CONNECT {NAME}:443 HTTP/1.1", "Host: x")

        assert status(said) == 403
        assert b"nanoclaw extras add intercept" in said


def test_interceptor_gets_the_connection_with_nothing_lost(tmp_path: Path) -> None:
    class Echoing:
        async def missing(self) -> str | None:
            return None

        async def serve(self, keyhole: Keyhole, request: EgressRequest, *more: object) -> None:
            _, reader, writer = more
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            writer.write(await reader.readexactly(5))  # type: ignore[attr-defined]
            await writer.drain()  # type: ignore[attr-defined]

    rules = {NAME: Judgement(Verdict.INSPECT, "", "test")}
    with egress_stage(tmp_path, rules, interceptor=Echoing()) as stage:
        connection, head = connect(stage, f"{NAME}:443")
        with closing(connection):
            connection.sendall(b"bytes")

            assert status(head) == 200
            assert rest(connection) == b"bytes"


# --- plain HTTP -----------------------------------------------------------------------------------


def test_plain_request_is_written_anew(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer()) as server:
        said = say(
            stage,
            f"GET http://127.0.0.1:{server.port}/a/../b?c=%20d HTTP/1.1",
            "Host: other.test",
            "X-Own: 1",
            "Proxy-Connection: keep-alive",
        )

        assert said.endswith(b"\r\n\r\nhello")
        assert server.received == [
            f"GET /a/../b?c=%20d HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\nx-own: 1\r\n"
            "connection: close\r\n\r\n".encode()
        ]


@pytest.mark.parametrize("chunked", [False, True])
def test_body_goes_through_however_it_is_framed(tmp_path: Path, chunked: bool) -> None:
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" if chunked else b"hello world"
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer()) as server:
        target = f"http://127.0.0.1:{server.port}/"
        said = say(stage, f"POST {target} HTTP/1.1", "Host: x", length, body=body)

        assert status(said) == 200
        (received,) = server.received
        assert received.endswith(body)
        assert received.lower().count(b"content-length") + received.count(b"chunked") == 1


def test_large_answer_comes_whole_and_the_connection_serves_the_next(tmp_path: Path) -> None:
    large = b"x" * 3_000_000
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\nconnection: close\r\n\r\n" + large
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer(answer)) as server:
        connection = stage.door.connect()
        with closing(connection):
            sizes = []
            for _ in range(2):
                name, _, value = AUTH.partition(": ")
                target = f"http://127.0.0.1:{server.port}/"
                connection.request("GET", target, headers={name: value})
                sizes.append(len(connection.getresponse().read()))

        assert sizes == [3_000_000, 3_000_000]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304),
        (b"HTTP/1.1 103 Early\r\n\r\n" + OK, 200),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", 502),
        (b"SSH-2.0-OpenSSH\r\n", 502),
        (b"", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", 502),
    ],
)
def test_answer_is_passed_on_or_said_to_be_none(
    tmp_path: Path, answer: bytes, expected: int
) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer(answer)) as server:
        said = say(stage, f"GET http://127.0.0.1:{server.port}/ HTTP/1.1", "Host: x")

        assert status(said) == expected


def test_half_an_answer_does_not_look_whole(tmp_path: Path) -> None:
    half = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer(half)) as server:
        said = say(stage, f"GET http://127.0.0.1:{server.port}/ HTTP/1.1", "Host: x")

        assert b"hello" in said
        assert not said.endswith(b"0\r\n\r\n")


def test_head_gets_no_body(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer(answer)) as server:
        said = say(stage, f"HEAD http://127.0.0.1:{server.port}/ HTTP/1.1", "Host: x")

        assert b"content-length: 500" in said.lower()
        assert said.endswith(b"\r\n\r\n")


def test_server_that_answers_before_the_body_is_heard(tmp_path: Path) -> None:
    def refuse(server: RawServer, connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        rest(connection)

    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(refuse) as server:
        target = f"http://127.0.0.1:{server.port}/"
        said = say(stage, f"PUT {target} HTTP/1.1", "Host: x", "Content-Length: 1000", body=b"x")

        assert status(said) == 413


SMUGGLING = [
    ("CL.TE", b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX"),
    ("TE.CL", b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /evil HTTP/1.1"),
    ("TE.TE", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
    ("two lengths", b"Content-Length: 0\r\nContent-Length: 20\r\n\r\nGET /evil HTTP/1.1\r\n"),
    ("list of lengths", b"Content-Length: 0, 20\r\n\r\nGET /evil HTTP/1.1\r\n"),
    ("negative length", b"Content-Length: -1\r\n\r\n"),
    ("folded line", b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n\r\nabc"),
    ("space before colon", b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n"),
    ("vertical tab", b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    ("NUL in a value", b"X-A: a\x00b\r\n\r\n"),
    ("NUL in a name", b"X\x00A: b\r\n\r\n"),
    ("bare CR", b"X-A: a\rX-B: b\r\n\r\n"),
    ("no colon", b"Nonsense\r\n\r\n"),
    ("chunk size with sign", b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size in hex form", b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size too big", b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n"),
    (
        "chunk without its end",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloGET /evil HTTP/1.1\r\n",
    ),
]


@pytest.mark.parametrize(("name", "rest_of_it"), SMUGGLING, ids=[name for name, _ in SMUGGLING])
def test_smuggled_request_does_not_reach_the_server(
    tmp_path: Path, name: str, rest_of_it: bytes
) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer()) as server:
        head = f"POST http://127.0.0.1:{server.port}/ok HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n"
        said = stage.door.say(head.encode() + rest_of_it)

        assert status(said) in (400, 403, 501)
        assert not any(b"evil" in received for received in server.received)


def test_bare_line_feeds_cannot_hide_a_header(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer()) as server:
        head = f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\nHost: x\n{AUTH}\nX-A: b\n"
        stage.door.say(head.encode() + b"Connection: close\n\n")

        assert all(b"\r\nx-a: b\r\n" in received for received in server.received)


def test_pipelined_request_is_judged_by_itself(tmp_path: Path) -> None:
    with egress_stage(tmp_path, LOOPBACK) as stage, raw_server(http_answer()) as server:
        first = f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: x\r\n{AUTH}\r\n\r\n"
        second = (
            f"GET http://unknown.test/ HTTP/1.1\r\nHost: x\r\n{AUTH}\r\nConnection: close\r\n\r\n"
        )
        said = stage.door.say((first + second).encode())

        assert said.count(b"HTTP/1.1 200") == 1
        assert said.count(b"HTTP/1.1 403") == 1
        assert len(stage.policy.asked) == 2

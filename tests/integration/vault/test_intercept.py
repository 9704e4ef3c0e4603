"""What happens inside a TLS connection that the vault looks into, byte by byte."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from helpers.intercept_stage import SECRET, Stage, echo, on_stage

from nanoclaw.vault import limits

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(
    stage: Stage, host: str = "api.test", *, sni: str | None = None, port: int = 443
) -> Streams:
    """As a program does it that trusts our authority."""
    reader, writer = await tunnel(stage, host, port)
    context = ssl.create_default_context(cafile=str(stage.ca))
    await writer.start_tls(context, server_hostname=sni or host)
    return reader, writer


async def tunnel(stage: Stage, host: str, port: int = 443) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def answer(reader: asyncio.StreamReader, *, body: bool = True) -> tuple[int, bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    content = b""
    if b"content-length: " in lower and body:
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await reader.readexactly(length)
    elif b"transfer-encoding: chunked" in lower and body:
        while size := int((await reader.readline()).strip() or b"0", 16):
            content += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    return int(head.split()[1]), head, content


async def ask(stage: Stage, request: bytes) -> tuple[int, bytes, bytes]:
    reader, writer = await connect(stage)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return await answer(reader, body=not request.startswith(b"HEAD"))
    finally:
        writer.transport.abort()


def says(content: bytes) -> str:
    return content.decode()


def answering(
    text: bytes,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        writer.close()

    return handler


GET = b"GET /x HTTP/1.1\r\nHost: api.test\r\n\r\n"


def test_agents_own_value_of_the_header_is_replaced(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service()
        stage.secret()

        _, _, sent = await ask(
            stage,
            b"GET /x HTTP/1.1\r\nHost: api.test\r\nAUTHORIZATION: Bearer placeholder\r\n"
            b"Authorization: Basic eA==\r\nX-Own: 1\r\n\r\n",
        )

        assert sent.count(b"uthorization:") == 1
        assert f"authorization: Bearer {SECRET}".encode() in sent
        assert b"x-own: 1" in sent

    on_stage(tmp_path, play)


def test_each_injection_is_one_row_of_the_audit_without_the_value(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service()
        stage.secret()

        for _ in range(3):
            await ask(stage, GET.replace(b"/x", b"/x?token=abc"))

        rows = stage.audit()
        assert [(row.subject, row.actor) for row in rows] == (
            [("api.test:443", f"agent:{stage.group}")] * 3
        )
        assert json.loads(rows[0].detail) == {
            "service": "test", "header": "authorization", "method": "GET", "path": "/x",
        }  # fmt: skip
        assert SECRET.encode() not in stage.paths.central_db.read_bytes()

    on_stage(tmp_path, play)


def test_without_a_service_the_request_goes_as_it_is(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)

        status, head, sent = await ask(
            stage, GET.replace(b"\r\n\r\n", b"\r\nAuthorization: own\r\n\r\n")
        )

        assert (status, b"authorization: own" in sent) == (200, True)
        assert b"alt-svc" not in head.lower()

    on_stage(tmp_path, play)


def test_secret_that_is_not_set_is_named_with_the_next_step(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service()

        status, _, content = await ask(stage, GET)

        assert status == 502
        assert "nanoclaw secrets set test-token" in says(content)
        assert stage.egress.opened == 0

    on_stage(tmp_path, play)


def test_secret_that_is_changed_counts_with_the_next_request_of_the_same_connection(
    tmp_path: Path,
) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service()
        stage.secret("first-value-123")
        reader, writer = await connect(stage)

        writer.write(GET)
        _, _, first = await answer(reader)
        stage.secret("second-value-456")
        writer.write(GET)
        _, _, second = await answer(reader)

        assert b"first-value-123" in first
        assert b"second-value-456" in second
        assert stage.egress.opened == 1
        writer.transport.abort()

    on_stage(tmp_path, play)


@pytest.mark.parametrize(
    ("limits_of_it", "request_line", "words"),
    [
        ({"methods": ("GET",)}, b"DELETE /x", "for GET only"),
        ({"paths": ("/repos",)}, b"GET /user", "paths below /repos"),
        ({"paths": ("/repos",)}, b"GET /repos/../user", "unclear"),
        ({"paths": ("/repos",)}, b"GET /repos/%2e%2e/user", "unclear"),
    ],
)
def test_request_outside_the_services_limits_is_refused(
    tmp_path: Path, limits_of_it: dict[str, object], request_line: bytes, words: str
) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service(**limits_of_it)
        stage.secret()

        status, _, content = await ask(stage, request_line + b" HTTP/1.1\r\nHost: api.test\r\n\r\n")

        assert status == 403
        assert words in says(content)
        assert stage.audit() == []

    on_stage(tmp_path, play)


def test_each_request_is_judged_with_method_and_path(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.policy.denied = "/secret"
        reader, writer = await connect(stage)

        writer.write(GET + GET.replace(b"/x", b"/secret?a=b") + GET.replace(b"/x", b"/y"))
        answers = [await answer(reader) for _ in range(3)]

        assert [status for status, _, _ in answers] == [200, 403, 200]
        seen = [(request.method, request.path) for request in stage.policy.seen]
        assert seen == [("GET", "/x"), ("GET", "/secret"), ("GET", "/y")]
        writer.transport.abort()

    on_stage(tmp_path, play)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: api.test:8443\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: api.test\r\nHost: other.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 421),
        (b"GET https://other.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        (b"CONNECT other.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n", 403),
        (b"TRACE / HTTP/1.1\r\nHost: api.test\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\n"
         b"Upgrade: websocket\r\n\r\n", 403),
        (b"POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n"
         b"Content-Length: 4\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: api.test\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: api.test\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: api.test\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"\x16\x03\x01 nothing of HTTP\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_request_that_could_be_understood_in_two_ways_reaches_nobody(
    tmp_path: Path, request_bytes: bytes, status: int
) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service()
        stage.secret()

        assert (await ask(stage, request_bytes))[0] == status

        assert stage.egress.opened == 0
        assert stage.audit() == []

    on_stage(tmp_path, play)


def test_line_breaks_in_a_secret_go_nowhere(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        stage.service()
        path = stage.paths.secrets / "test-token"
        path.write_text("abc\r\nX-Evil: 1")
        path.chmod(0o600)

        status, _, content = await ask(stage, GET)

        assert status == 502
        assert "abc" not in says(content)
        assert "line breaks" in says(content)

    on_stage(tmp_path, play)


def test_chunked_body_is_framed_anew_and_hop_by_hop_headers_stay_behind(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)

        _, _, sent = await ask(
            stage,
            b"POST /x HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: Basic eA==\r\n\r\n"
            b"3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n",
        )

        assert sent.endswith(b"\r\n\r\n7\r\nabcdefg\r\n0\r\n\r\n")
        assert b"hop" not in sent.lower()
        assert b"proxy" not in sent.lower()
        assert b"ext" not in sent

    on_stage(tmp_path, play)


def test_client_that_waits_for_100_is_told_to_go_on(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)
        reader, writer = await connect(stage)

        writer.write(
            b"POST /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"abc")
        status, _, sent = await answer(reader)

        assert status == 200
        assert sent.endswith(b"abc")
        assert b"expect" not in sent
        writer.transport.abort()

    on_stage(tmp_path, play)


@pytest.mark.parametrize(
    ("method", "text", "status"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", 304),
    ],
)
def test_answer_without_a_body_ends_at_its_head(
    tmp_path: Path, method: bytes, text: bytes, status: int
) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", answering(text))
        reader, writer = await connect(stage)

        for _ in range(2):
            writer.write(method + b" / HTTP/1.1\r\nHost: api.test\r\n\r\n")
            async with asyncio.timeout(20):
                assert (await answer(reader, body=False))[0] == status
        writer.transport.abort()

    on_stage(tmp_path, play)


def test_answer_that_ends_with_the_connection_is_given_an_end(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", answering(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))

        status, head, content = await ask(stage, GET)

        assert (status, content) == (200, b"until the end")
        assert b"chunked" in head

    on_stage(tmp_path, play)


def test_redirect_is_passed_on_and_not_followed(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        text = b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n"
        await stage.serve("api.test", answering(text))

        status, head, _ = await ask(stage, GET)

        assert (status, stage.egress.opened) == (302, 1)
        assert b"https://evil.test/" in head

    on_stage(tmp_path, play)


def test_answer_that_breaks_off_does_not_look_whole(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve(
            "api.test", answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        )

        with pytest.raises((asyncio.IncompleteReadError, OSError)):
            await ask(stage, GET)

    on_stage(tmp_path, play)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502),
        (b"220 mail.test ESMTP\r\n", 502),
        (b"", 502),
    ],
)
def test_server_that_does_not_speak_http_is_told_in_plain_words(
    tmp_path: Path, text: bytes, status: int
) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", answering(text))

        got, _, content = await ask(stage, GET)

        assert got == status
        assert "api.test:443 does not answer as it should" in says(content)

    on_stage(tmp_path, play)


@pytest.mark.parametrize(("days", "name"), [(-1, ""), (20, "other.test")], ids=("ended", "foreign"))
def test_server_with_a_bad_certificate_gets_nothing(tmp_path: Path, days: int, name: str) -> None:
    async def play(stage: Stage) -> None:
        heads: list[bytes] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.read(100))
            writer.transport.abort()

        await stage.serve("api.test", handler, days=days, name=name)
        stage.service()
        stage.secret()

        status, _, content = await ask(stage, GET)

        assert status == 502
        assert "certificate of api.test is not valid" in says(content)
        assert [head for head in heads if head] == []

    on_stage(tmp_path, play)


def test_client_that_asks_for_another_server_is_cut_off(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await stage.serve("api.test", echo)

        with pytest.raises(OSError):
            await connect(stage, sni="other.test")

        assert stage.policy.seen == []

    on_stage(tmp_path, play)


def test_client_that_speaks_no_tls_is_cut_off(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        reader, writer = await tunnel(stage, "api.test")

        writer.write(GET)
        async with asyncio.timeout(20):
            got = await reader.read()

        assert b"HTTP" not in got
        writer.transport.abort()

    on_stage(tmp_path, play)


def test_handshake_without_an_end_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INTERCEPT_HANDSHAKE_SECONDS", 0.3)

    async def play(stage: Stage) -> None:
        reader, writer = await tunnel(stage, "api.test")

        writer.write(b"\x16\x03\x01\x02\x00\x01")
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionError):
                assert await reader.read() == b""
                raise ConnectionResetError
        writer.transport.abort()

    on_stage(tmp_path, play)


def test_slow_reader_holds_the_server_back(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        sent = 0
        held = asyncio.Event()

        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    writer.write(b"x" * limits.CHUNK_BYTES)
                    async with asyncio.timeout(2):
                        await writer.drain()
                    sent += limits.CHUNK_BYTES
            except TimeoutError:
                held.set()
            writer.transport.abort()

        await stage.serve("api.test", endless)
        reader, writer = await connect(stage)
        writer.write(GET)
        await reader.readexactly(10)

        async with asyncio.timeout(60):
            await held.wait()

        assert sent < 64 * 1024 * 1024
        writer.transport.abort()

    on_stage(tmp_path, play)


def test_client_that_goes_away_ends_the_call_to_the_server(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            with contextlib.suppress(OSError):
                await reader.read()
            gone.set()
            writer.transport.abort()

        await stage.serve("api.test", patient)
        _, writer = await connect(stage)
        writer.write(GET)
        async with asyncio.timeout(20):
            await asked.wait()
            writer.transport.abort()
            await gone.wait()

    on_stage(tmp_path, play)


def test_early_answer_to_a_long_upload_arrives(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        text = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
        await stage.serve("api.test", answering(text))
        reader, writer = await connect(stage)

        writer.write(
            b"POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 900000\r\n\r\n" + b"a" * 9000
        )
        async with asyncio.timeout(20):
            status, _, content = await answer(reader)

        assert (status, content) == (413, b"no")
        writer.transport.abort()

    on_stage(tmp_path, play)


def test_certificate_names_this_host_only_and_not_for_long(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        _, writer = await connect(stage)
        certificate = writer.get_extra_info("peercert")
        begins, ends = (
            ssl.cert_time_to_seconds(certificate[key]) for key in ("notBefore", "notAfter")
        )

        assert certificate["subjectAltName"] == (("DNS", "api.test"),)
        assert ends - begins <= 8 * 24 * 3600
        writer.transport.abort()

    on_stage(tmp_path, play)


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"GET /x?key={SECRET} HTTP/1.1\r\nHost: api.test\r\n\r\n",
        f"GET /x HTTP/1.1\r\nHost: api.test\r\nX-Key: {SECRET}\r\n\r\n",
        f"POST /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: {len(SECRET)}\r\n\r\n{SECRET}",
    ],
    ids=("address", "header", "body"),
)
def test_request_with_a_secret_of_the_owner_is_stopped(tmp_path: Path, request_bytes: str) -> None:
    async def play(stage: Stage) -> None:
        received: list[bytes] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.read())
            writer.transport.abort()

        await stage.serve("api.test", handler)
        stage.secret()

        status, _, content = await ask(stage, request_bytes.encode())

        assert status == 403
        assert SECRET not in says(content)
        assert SECRET.encode() not in b"".join(received)

    on_stage(tmp_path, play)

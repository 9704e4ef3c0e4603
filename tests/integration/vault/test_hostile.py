"""Clients that do what no honest client does: each gets its refusal, and nothing goes upstream."""

import json

import pytest
from helpers.vault_client import PROMPT, DoorClient
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import FakeUpstream

BODY = json.dumps(PROMPT).encode()


@pytest.fixture
def door(vault: VaultProcess) -> DoorClient:
    vault.start()
    return vault.new_door()


def head(door: DoorClient, line: bytes, *headers: bytes) -> bytes:
    lines = [line, b"host: door", b"authorization: Bearer " + door.token.encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def status_of(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "target",
    [
        "/", "/v1", "/v1/messages/", "/v1//messages", "//v1/messages", "/v1/messages/../x",
        "/v1/messages/%2e%2e/complete", "/v1/%6dessages", "/v1/messages;a=b",
        "/v1/messages/batches",
        "/v1/complete", "/v1/files", "/v1/organizations/api_keys", "/V1/messages",
        "/v1/messages?beta=true&x=1", "/v1/messages?x=%0d%0a", "/v1/messages\\..\\x",
        "http://127.0.0.1/v1/messages", "https://api.anthropic.com/v1/messages", "*", "v1/messages",
        "api.anthropic.com:443",
    ],
)  # fmt: skip
def test_other_target_is_not_passed_on(
    door: DoorClient, upstream: FakeUpstream, target: str
) -> None:
    length = f"content-length: {len(BODY)}".encode()

    said = door.say(head(door, f"POST {target} HTTP/1.1".encode(), length) + BODY)

    assert status_of(said) in (400, 403, 407)
    assert upstream.seen == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/messages HTTP/1.1", b"PUT /v1/messages HTTP/1.1", b"DELETE /v1/models/x HTTP/1.1",
        b"POST /v1/models HTTP/1.1", b"CONNECT api.anthropic.com:443 HTTP/1.1",
        b"OPTIONS * HTTP/1.1", b"GET /v1/models/%2e%2e HTTP/1.1", b"GET /v1/models/.. HTTP/1.1",
        b"GET /v1/models/a/b HTTP/1.1", b"HEAD /v1/models HTTP/1.1",
    ],
)  # fmt: skip
def test_other_method_is_not_passed_on(
    door: DoorClient, upstream: FakeUpstream, line: bytes
) -> None:
    said = door.say(head(door, line, b"content-length: 0", b"connection: close"))

    assert status_of(said) in (403, 407)
    assert upstream.seen == []


@pytest.mark.parametrize(
    "framing",
    [
        (b"content-length: 4", b"transfer-encoding: chunked"),
        (b"transfer-encoding: chunked",),
        (b"transfer-encoding: xchunked",),
        (b"transfer-encoding: chunked", b"transfer-encoding: identity"),
        (b"content-length: 4", b"content-length: 5"),
        (b"content-length: 4, 5",),
        (b"content-length: +4",),
        (b"content-length: -1",),
        (b"content-length: 0x10",),
        (b"content-length : 4",),
        (b"content-length: 999999999999999999999999999",),
        (),
    ],
)
def test_length_that_can_be_understood_in_two_ways_is_refused(
    door: DoorClient, upstream: FakeUpstream, framing: tuple[bytes, ...]
) -> None:
    smuggled = b"0\r\n\r\nPOST /v1/messages HTTP/1.1\r\nhost: x\r\n\r\n"

    said = door.say(head(door, b"POST /v1/messages HTTP/1.1", *framing) + smuggled)

    assert status_of(said) in (400, 411, 413, 501)
    assert said.count(b"HTTP/1.1 ") == 1
    assert upstream.seen == []


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\r\n\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /v1/messages\r\n\r\n",
        b"POST /v1/messages HTTP/2.0\r\nhost: x\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\na\0b: c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"x" * 200_000,
        b"POST /v1/messages HTTP/1.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\n" + b"x: y\r\n" * 50_000 + b"\r\n",
    ],
    ids=range(11),
)
def test_what_is_not_http_is_refused_and_the_vault_goes_on(
    door: DoorClient, upstream: FakeUpstream, nonsense: bytes
) -> None:
    said = door.say(nonsense)

    assert not said or status_of(said) in (400, 401, 431, 505)
    assert upstream.seen == []
    assert door.ask().status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b'"x"', b"{", b'{"model": 1}', b'{"model": ""}', b'{"max_tokens": 1}',
        b'{"model": "claude-haiku-4-5", "model": "claude-opus-5"}',
        b'{"max_tokens": 1, "model": "m", "max_tokens": 100000}',
        b'{"model": "a\\r\\nb"}', b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"{}{}",
        b'{"model": "m", "max_tokens": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(16),
)  # fmt: skip
def test_body_whose_price_cannot_be_told_is_refused(
    door: DoorClient, upstream: FakeUpstream, body: bytes
) -> None:
    length = f"content-length: {len(body)}".encode()
    said = door.say(head(door, b"POST /v1/messages HTTP/1.1", length, b"connection: close") + body)

    assert status_of(said) == 400
    assert b"invalid_request_error" in said
    assert upstream.seen == []


def test_body_above_the_limit_is_refused_before_it_is_read(
    door: DoorClient, upstream: FakeUpstream
) -> None:
    line = b"POST /v1/messages HTTP/1.1"
    said = door.say(head(door, line, b"content-length: 40000000000") + b"x" * 100_000)

    assert status_of(said) == 413
    assert upstream.seen == []


def test_body_that_ends_early_is_not_passed_on(
    door: DoorClient, upstream: FakeUpstream, vault: VaultProcess
) -> None:
    connection = door.connect()
    connection.connect()
    connection.sock.sendall(
        head(door, b"POST /v1/messages HTTP/1.1", b"content-length: 5000") + BODY
    )
    connection.close()

    assert door.ask().status == 200
    assert len(upstream.seen) == 1
    assert len(vault.wait_for_settlement()) == 1


def test_expecting_client_is_told_to_go_on(door: DoorClient, upstream: FakeUpstream) -> None:
    length = f"content-length: {len(BODY)}".encode()
    line = b"POST /v1/messages HTTP/1.1"

    said = door.say(head(door, line, length, b"expect: 100-continue", b"connection: close"), BODY)

    assert said.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in said

"""What agents and servers write to be read in a second way, or at the cost of everybody."""

import asyncio
import ipaddress
import json
import threading

import pytest
from helpers.waiting import wait_until

from nanoclaw.vault import limits
from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.client import Incoming, RefusedError
from nanoclaw.vault.decide import back_headers
from nanoclaw.vault.egress_types import BlockedError, Destination
from nanoclaw.vault.estimate import (
    IMAGE_TOKENS,
    MAX_SIGNS,
    UnreadableRequestError,
    estimate,
)
from nanoclaw.vault.hello import ClientHello, Opening, read_hello
from nanoclaw.vault.intercept_decide import decide_inner
from nanoclaw.vault.intercept_upstream import end_to_end
from nanoclaw.vault.plain_http import onward
from nanoclaw.vault.reach import Reach, is_same
from nanoclaw.vault.resolve import Address

PLAIN = Destination("example.com", 80, tls=False)
SECURE = Destination("example.com", 443, tls=True)
PUBLIC = ipaddress.ip_address("93.184.216.34")


def request(**more: object) -> bytes:
    return json.dumps({"model": "claude-haiku-4-5", "messages": [], **more}).encode()


# --- money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [128000.0, 1e6, "128000", True, [1]])
def test_length_of_the_answer_that_others_may_read_as_a_number_is_refused(value: object) -> None:
    with pytest.raises(UnreadableRequestError, match="max_tokens"):
        estimate(request(max_tokens=value))


def picture(data: str) -> dict[str, object]:
    return {"type": "base64", "media_type": "image/png", "data": data}


def test_picture_in_a_message_is_priced_as_one() -> None:
    block = {"type": "image", "source": picture("A" * 300_000)}
    inner = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    found = estimate(request(max_tokens=1, messages=[{"role": "user", "content": [block, inner]}]))

    assert 2 * IMAGE_TOKENS < found.input < 2 * IMAGE_TOKENS + 2000


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use", "mcp_tool_use"])
def test_text_in_the_dress_of_a_picture_is_priced_as_text(kind: str) -> None:
    data = "A" * 300_000
    call = {"type": kind, "id": "t", "name": "x", "input": {"a": [{"source": picture(data)}]}}
    found = estimate(request(max_tokens=1, messages=[{"role": "assistant", "content": [call]}]))

    assert found.input > 100_000


def test_picture_in_the_description_of_a_tool_is_priced_as_text() -> None:
    tool = {"name": "x", "input_schema": {"type": "object", "default": picture("A" * 300_000)}}

    assert estimate(request(max_tokens=1, tools=[tool])).input > 100_000


def test_body_that_would_fill_the_memory_is_not_read() -> None:
    body = request(max_tokens=1, messages=[]).replace(
        b'"messages": []', b'"messages": [' + b"[]," * (MAX_SIGNS // 2) + b"[]]"
    )

    with pytest.raises(UnreadableRequestError, match="too many parts"):
        estimate(body)


# --- requests -------------------------------------------------------------------------------------

OVERRIDES = ["x-http-method-override", "x-http-method", "x_http_method_override",
             "x-original-url", "x-rewrite-url"]  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDES)
def test_header_that_names_another_method_or_path_is_refused(name: str) -> None:
    headers = (("host", "example.com"), (name, "DELETE"))

    found = decide_inner(Incoming("POST", "/v1", headers), SECURE)

    assert isinstance(found, Refusal)
    assert (found.status, name in found.text) == (400, True)
    with pytest.raises(RefusedError) as caught:
        onward(Incoming("POST", "http://example.com/v1", headers), PLAIN, "/v1")
    assert caught.value.refusal.status == 400


def test_length_beside_a_transfer_coding_is_not_passed_back() -> None:
    """It may be another one than that of the body, which the client would then misread."""
    headers = (
        ("content-type", "text/plain"), ("transfer-encoding", "chunked"), ("content-length", "3")
    )  # fmt: skip

    assert back_headers(headers) == (("content-type", "text/plain"),)
    assert end_to_end(headers) == (("content-type", "text/plain"),)


def test_length_alone_is_passed_back() -> None:
    assert back_headers((("content-length", "3"),)) == (("content-length", "3"),)


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "address"),
    [
        ("::ffff:93.184.216.34", "::ffff:5db8:d822"),
        ("93.184.216.34", "93.184.216.34"),
        ("2001:db8::1%eth0", "2001:db8::1"),
    ],
)
def test_own_address_is_known_however_the_system_writes_it(own: str, address: str) -> None:
    assert is_same(own, ipaddress.ip_address(address))


def test_other_address_is_not_the_own_one() -> None:
    assert not is_same("192.0.2.1", PUBLIC)


def test_silent_names_of_one_agent_leave_the_resolver_to_others() -> None:
    """Its turns last as long as its threads, also when it has given up waiting."""
    free, busy, slow = threading.Event(), [], "slow.example"

    def look_up(host: str, port: int) -> list[Address]:
        if host == slow:
            busy.append(host)
            free.wait(30)
            return [ipaddress.ip_address("10.0.0.1")]
        return [ipaddress.ip_address("127.0.0.1")]

    async def attack() -> None:
        reach = Reach(look_up)
        silent = [
            asyncio.create_task(
                reach.check(Destination(slow, 443, tls=True), local=False, asker="bad")
            )
            for _ in range(3 * limits.RESOLVER_THREADS)
        ]
        few = limits.MAX_RESOLVING_PER_DOOR
        await asyncio.to_thread(wait_until, lambda: len(busy) >= few, what="names are looked up")
        for task in silent[:few]:
            task.cancel()
        with pytest.raises(BlockedError, match="127"):
            await reach.check(SECURE, local=False, asker="good")
        assert len(busy) == few
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)
        free.set()

    try:
        asyncio.run(attack())
    finally:
        free.set()


def test_check_for_a_proxy_asks_the_same_resolver_as_a_connection() -> None:
    asked = []

    def look_up(host: str, port: int) -> list[Address]:
        asked.append((host, port))
        return [PUBLIC]

    asyncio.run(Reach(look_up).check(SECURE, local=False))

    assert asked == [("example.com", 443)]


# --- TLS ------------------------------------------------------------------------------------------


def hello(record: int) -> bytes:
    """A greeting without extensions, cut into records of that size."""
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0"
    message = b"\1" + len(body).to_bytes(3, "big") + body
    pieces = [message[at : at + record] for at in range(0, len(message), record)]
    return b"".join(b"\x16\3\1" + len(item).to_bytes(2, "big") + item for item in pieces)


def test_greeting_in_some_records_is_read() -> None:
    assert read_hello(hello(4)) == ClientHello(None)


def test_greeting_in_countless_records_is_not_read_to_its_end() -> None:
    """It is read anew with every byte that comes."""
    endless = b"\x16\3\1\0\1\1" + b"\x16\3\1\0\1\xff" * 300

    assert read_hello(endless) is Opening.NOT_TLS

"""What the proxy reads before it lets anything out: targets, addresses, beginnings of TLS."""

import asyncio
import ipaddress
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.vault.client import Incoming, RefusedError
from nanoclaw.vault.egress_types import Destination
from nanoclaw.vault.hello import ClientHello, Opening, read_hello
from nanoclaw.vault.plain_http import onward
from nanoclaw.vault.resolve import Address, UnresolvedError, decide_address, resolve
from nanoclaw.vault.target import TargetError, normal_host, parse_absolute, parse_authority

# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com:443", "example.com", 443),
        ("EXAMPLE.com.:8443", "example.com", 8443),
        ("192.0.2.1:1", "192.0.2.1", 1),
        ("[2001:DB8:0::1]:443", "2001:db8::1", 443),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example", 443),
        ("_dmarc.example:443", "_dmarc.example", 443),
    ],
)
def test_authority_has_one_form(text: str, host: str, port: int) -> None:
    assert parse_authority(text) == Destination(host, port, tls=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "example.com:", ":443", "example.com:0", "example.com:65536",
        "example.com:443443", "example.com:+443", "example.com: 443", "example.com:443 ",
        "example.com:\uff14\uff14\uff13", "user@example.com:443", "user:pass@example.com:443",
        "http://example.com:443", "example.com:443/", "example.com:443#x", "example.com:443?x",
        "exa mple.com:443", "example%2ecom:443", "exam\tple.com:443", "example..com:443",
        ".example.com:443", "-example.com:443", "example.com..:443", "*.example.com:443",
        "2130706433:443", "0x7f000001:443", "0x7f.1:443", "127.1:443", "127.0.0.1.:80x",
        "017700000001:443", "127.0.0.01:443", "0x:443", "1.2.3.4.5:443", "256.1.1.1:443",
        "a.0x7f:443", "example.1:443", "::1:443", "[::1:443", "[127.0.0.1]:443", "[]:443",
        "[fe80::1%eth0]:443", "[::1]443", "[::1]x:443", "b\xfccher.example:443", "a" * 64 + ":443",
        ".".join(["a" * 60] * 5) + ":443", "example.com\\@evil.example:443",
    ],
)  # fmt: skip
def test_authority_with_two_readings_is_refused(text: str) -> None:
    with pytest.raises(TargetError):
        parse_authority(text)


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("http://example.com", "example.com", 80, "/"),
        ("http://example.com/", "example.com", 80, "/"),
        ("HTTP://Example.com:8080/A?b=c", "example.com", 8080, "/A?b=c"),
        ("http://example.com?x", "example.com", 80, "/?x"),
        ("http://[2001:db8::1]/x", "2001:db8::1", 80, "/x"),
        ("http://example.com/%2e%2E/../a//b", "example.com", 80, "/%2e%2E/../a//b"),
        ("http://example.com/a@b:c", "example.com", 80, "/a@b:c"),
    ],
)
def test_absolute_address_is_split_and_its_path_kept_as_it_is(
    text: str, host: str, port: int, path: str
) -> None:
    assert parse_absolute(text) == (Destination(host, port, tls=False), path)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/", "ftp://example.com/", "http:/example.com/", "http://",
        "http:///x", "http://@/", "http://user@example.com/", "http://user:pw@example.com/",
        "http://example.com#fragment", "http://example.com/#fragment", "http://example.com/a#b?c",
        "http://example.com:x/", "http://example.com:/", "http://exam ple.com/",
        "http://example.com/a b", "http://example.com/\x7f", "http://example.com/\xe9",
        "http://example.com\\@evil.example/", "http://0x7f.1/", "http://2130706433/",
        "http://127.0.0.1%2f@example.com/", "http://[::1/", "//example.com/", "example.com/x",
    ],
)  # fmt: skip
def test_absolute_address_with_two_readings_is_refused(text: str) -> None:
    with pytest.raises(TargetError):
        parse_absolute(text)


NASTY = st.text(st.sampled_from("aZ09.:/@#?%[]\\ \t\r\n\0-_*xF~{}\xe9"), max_size=40)


@settings(max_examples=300, deadline=None)
@given(NASTY)
def test_what_is_taken_as_authority_is_written_in_one_way_only(text: str) -> None:
    try:
        found = parse_authority(text)
    except TargetError:
        return

    assert parse_authority(found.authority) == found
    assert not set(found.host) & set("/@#?%\\ \t\r\n\0*")
    assert found.host == found.host.lower()


@settings(max_examples=300, deadline=None)
@given(NASTY)
def test_what_is_taken_as_address_cannot_break_out_of_its_line(text: str) -> None:
    try:
        found, path = parse_absolute(f"http://{text}")
    except TargetError:
        return

    assert path.startswith("/")
    assert not set(path) & set("\r\n \t\0#")
    assert parse_absolute(f"http://{found.authority}{path}") == (found, path)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(("{}", "0x{:x}", "0{:o}", "1.{}")))
def test_number_is_never_taken_as_a_host(number: int, form: str) -> None:
    with pytest.raises(TargetError):
        normal_host(form.format(number))


# --- addresses ------------------------------------------------------------------------------------

NEVER = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "fd20:ce::254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1",
    "239.1.1.1", "ff02::1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1",
    "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "192.88.99.1", "fec0::1", "100::1",
    "5f00::1", "4000::1", "2001:10::1", "64:ff9b:1::1", "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::169.254.169.254",
]  # fmt: skip
ONLY_LOCAL = [
    "127.0.0.1", "127.8.9.10", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "100.64.0.1", "100.127.255.255", "fc00::1", "fd12::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1", "2002:7f00:1::1", "2002:c0a8:101::1", "::ffff:0:127.0.0.1",
    "2001:0:a00:1::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.0.1.1",
    "2606:4700::1111", "2a00:1450::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("text", NEVER)
def test_address_that_nothing_may_reach_is_refused_with_a_local_rule_too(text: str) -> None:
    address = ipaddress.ip_address(text)

    assert decide_address(address, local=True)
    assert decide_address(address, local=False)


@pytest.mark.parametrize("text", ONLY_LOCAL)
def test_private_address_needs_a_local_rule(text: str) -> None:
    address = ipaddress.ip_address(text)

    assert "local" in (decide_address(address, local=False) or "")
    if not text.startswith("2001:0:"):  # a Teredo server on a private address is nobody's network
        assert decide_address(address, local=True) is None


@pytest.mark.parametrize("text", PUBLIC)
def test_public_address_passes(text: str) -> None:
    assert decide_address(ipaddress.ip_address(text), local=False) is None


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_address_passes_in_disguise_that_is_refused_as_it_is(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    refused = decide_address(plain, local=False) is not None
    disguises = [(0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | number << 80]
    for disguise in disguises:
        address = ipaddress.IPv6Address(disguise)
        assert (decide_address(address, local=False) is not None) >= refused


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_passes_is_global_by_the_registry_too(address: Address) -> None:
    if decide_address(address, local=False) is None and not isinstance(
        address, ipaddress.IPv6Address
    ):
        assert address.is_global


def found(*texts: str) -> list[Address]:
    return asyncio.run(
        resolve("a.test", 443, asking=lambda host, port: [ipaddress.ip_address(t) for t in texts])
    )


def test_name_with_one_private_address_is_refused_whole() -> None:
    with pytest.raises(UnresolvedError, match=r"10\.0\.0\.1 is a private address") as caught:
        found("8.8.8.8", "10.0.0.1")

    assert caught.value.status == 403


def test_last_of_many_addresses_is_checked_as_well() -> None:
    with pytest.raises(UnresolvedError):
        found(*[f"8.8.8.{n}" for n in range(40)], "127.0.0.1")


def test_addresses_keep_the_order_of_the_resolver() -> None:
    assert found("8.8.8.8", "1.1.1.1") == [ipaddress.ip_address(t) for t in ("8.8.8.8", "1.1.1.1")]


@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata", "instance-data"])
def test_name_of_a_metadata_service_is_refused_whatever_it_leads_to(name: str) -> None:
    with pytest.raises(UnresolvedError, match="secrets of machines"):
        asyncio.run(resolve(name, 80, local=True, asking=lambda host, port: []))


# --- TLS ------------------------------------------------------------------------------------------


def hello(server_name: str | None) -> bytes:
    """What a real client sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", ["example.com", "Example.COM", None])
def test_server_name_of_a_real_hello_is_read(name: str | None) -> None:
    expected = name.lower() if name else None

    assert read_hello(hello(name)) == ClientHello(expected)


def test_hello_in_pieces_is_unfinished_until_its_last_byte() -> None:
    whole = hello("example.com")

    for end in range(len(whole)):
        assert read_hello(whole[:end]) is Opening.UNFINISHED
    assert read_hello(whole + b"more") == ClientHello("example.com")


def test_hello_in_several_records_is_put_together() -> None:
    whole = hello("example.com")
    body = whole[5:]
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    split = b"".join(whole[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)

    assert read_hello(split) == ClientHello("example.com")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00\x00\x00\x00\x00",
        b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff", b"\x16\x02\x01\x00\x05hello",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01x", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01x",
    ],
)  # fmt: skip
def test_what_is_not_a_hello_is_not_tls(data: bytes) -> None:
    assert read_hello(data) is Opening.NOT_TLS


def test_second_server_name_is_not_taken() -> None:
    whole = hello("example.com")
    at = whole.index(b"example.com") - 9
    doubled = whole[at : at + 20]
    name = doubled[6:]
    more = b"\x00\x00" + (len(name) * 2 + 2).to_bytes(2, "big")
    more += (len(name) * 2).to_bytes(2, "big") + name + name
    changed = whole[:at] + more + whole[at + 20 :]
    grown = len(changed) - len(whole)
    lengths = [(3, 2), (6, 3)]
    data = bytearray(changed)
    for place, size in lengths:
        value = int.from_bytes(data[place : place + size], "big") + grown
        data[place : place + size] = value.to_bytes(size, "big")

    assert read_hello(bytes(data)) is Opening.NOT_TLS


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_reading_a_beginning_never_fails(data: bytes, begins_well: bool) -> None:
    size = len(data).to_bytes(2, "big")
    read_hello(b"\x16\x03\x01" + size + data if begins_well else data)


# --- framing --------------------------------------------------------------------------------------

THERE = Destination("example.com", 80, tls=False)


def sent_on(*headers: tuple[str, str], method: str = "POST") -> tuple[tuple[str, str], ...]:
    return onward(Incoming(method, "http://example.com/", headers), THERE, "/").headers


@pytest.mark.parametrize(
    "headers",
    [
        (("content-length", "5"), ("transfer-encoding", "chunked")),
        (("content-length", "5"), ("content-length", "5")),
        (("content-length", "5"), ("content-length", "6")),
        (("content-length", "5, 5"),), (("content-length", "+5"),), (("content-length", "0x5"),),
        (("content-length", "\u0665"),), (("content-length", ""),), (("content-length", "9" * 30),),
        (("transfer-encoding", "gzip, chunked"),), (("transfer-encoding", "identity"),),
        (("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")),
        (("transfer-encoding", "xchunked"),), (("transfer-encoding", "chunked;x=y"),),
        (("upgrade", "h2c"), ("connection", "upgrade")), (("upgrade", "websocket"),),
    ],
)  # fmt: skip
def test_body_whose_length_has_two_readings_is_not_sent_on(
    headers: tuple[tuple[str, str], ...],
) -> None:
    with pytest.raises(RefusedError):
        sent_on(*headers)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "get", "GET\x00", "G T"])
def test_method_that_is_none_is_not_sent_on(method: str) -> None:
    with pytest.raises(RefusedError):
        sent_on(method=method)


def test_headers_of_one_connection_end_with_it() -> None:
    kept = sent_on(
        ("proxy-authorization", "Basic x"), ("connection", "x-private, keep-alive"),
        ("x-private", "1"), ("keep-alive", "1"), ("te", "trailers"), ("trailer", "x"),
        ("proxy-connection", "keep-alive"), ("host", "other.example"), ("expect", "100-continue"),
        ("accept", "*/*"), ("authorization", "Bearer mine"),
    )  # fmt: skip

    assert kept == (("accept", "*/*"), ("authorization", "Bearer mine"))

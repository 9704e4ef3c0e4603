import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.tools.web.address import RefusedAddressError, checked, is_near


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a?b=c",
        "http://example.org:8080/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://bücher.example.org/",
    ],
)
def test_public_addresses_pass(url: str) -> None:
    assert checked(url) == url


def test_a_fragment_is_not_sent() -> None:
    assert checked(" https://example.org/a#part ") == "https://example.org/a"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "printer.local",
        "db.internal",
        "metadata.google.internal",
        "host.docker.internal",
        "router",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fc00::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "1.2.3.4.5",
        "999.1.1.1.",
    ],
)
def test_addresses_near_us_are_refused_in_every_notation(host: str) -> None:
    with pytest.raises(RefusedAddressError):
        checked(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http://user:secret@example.org/",
        "http://exa mple.org/",
        "http://example.org/\r\nHost: x",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://[::1",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_what_is_no_web_address_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(RefusedAddressError) as caught:
        checked(url)

    assert str(caught.value)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60).map(lambda text: f"http://{text}"))
def test_any_text_is_an_address_or_refused(url: str) -> None:
    try:
        good = checked(url)
    except RefusedAddressError:
        return
    assert good.startswith("http://")


@settings(deadline=None, max_examples=200)
@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="127.0.0.0/8"))
def test_private_numbers_are_near_however_they_are_written(address: object) -> None:
    value = int(address)  # type: ignore[call-overload]

    assert is_near(str(address))
    assert is_near(str(value))
    assert is_near(hex(value))
    assert is_near(f"0{value:o}")

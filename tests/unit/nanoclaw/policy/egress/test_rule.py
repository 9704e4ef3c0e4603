"""The grammar of egress rules: one spelling, nothing ambiguous, no host outside a rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.policy.egress.hosts import EgressRuleError, covering, normal_host
from nanoclaw.policy.egress.rule import Rule, check_allowing, check_denying, parse_rule

LABEL = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?", fullmatch=True)
NAMES = st.lists(LABEL, min_size=3, max_size=5).map(".".join)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str).filter(lambda text: not text.startswith("::ffff:")),
)
PORTS = st.lists(st.integers(1, 65535), max_size=4, unique=True).map(lambda x: tuple(sorted(x)))
METHODS = st.lists(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]), max_size=4, unique=True
).map(lambda x: tuple(sorted(x)))
PATHS = st.one_of(
    st.just(""),
    st.lists(st.from_regex(r"[a-z0-9_~-]{1,8}", fullmatch=True), min_size=1, max_size=3).map(
        lambda parts: "/" + "/".join(parts)
    ),
)
RULES = st.one_of(
    st.builds(Rule, NAMES, st.booleans(), PORTS, METHODS, PATHS, st.booleans()),
    st.builds(Rule, ADDRESSES, st.just(False), PORTS, METHODS, PATHS, st.booleans()),
)


@settings(deadline=None, max_examples=200)
@given(RULES)
def test_a_rule_is_read_as_it_is_written(rule: Rule) -> None:
    assert parse_rule(rule.text) == rule


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_any_text_is_a_rule_in_its_one_spelling_or_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except EgressRuleError as error:
        assert str(error)
    else:
        assert parse_rule(rule.text) == rule


@settings(deadline=None, max_examples=200)
@given(RULES, st.one_of(NAMES, ADDRESSES))
def test_a_rule_never_covers_a_host_outside_it(rule: Rule, host: str) -> None:
    host = normal_host(host)

    is_inside = host.endswith("." + rule.host) if rule.subdomains else host == rule.host

    assert rule.covers_host(host) == is_inside
    assert not rule.covers_host(host) or rule.host in covering(host)


@settings(deadline=None, max_examples=100)
@given(NAMES, LABEL)
def test_subdomains_are_below_a_name_and_not_the_name(name: str, label: str) -> None:
    rule = parse_rule(f"*.{name}")

    assert rule.covers_host(f"{label}.{name}")
    assert rule.covers_host(f"deep.{label}.{name}")
    assert not rule.covers_host(name)
    assert not rule.covers_host(f"{label}{name}")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Example.COM", "example.com"),
        ("example.com/", "example.com"),
        ("example.com:443,80,443", "example.com:80,443"),
        ("POST,GET,GET api.example.com/v1", "GET,POST api.example.com/v1"),
        ("m\u00fcnchen.de", "xn--mnchen-3ya.de"),
        ("[2001:DB8:0::1]:8080", "[2001:db8::1]:8080"),
        ("[::1]:11434 local", "[::1]:11434 local"),
        ("nas local", "nas local"),
        ("*.home.arpa local", "*.home.arpa local"),
    ],
)
def test_every_rule_has_one_spelling(written: str, text: str) -> None:
    assert parse_rule(written).text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no rule"),
        ("local", "cannot be told from the word"),
        ("*", "set the group's egress mode to open"),
        ("*.com", "name the host"),
        ("*.co.uk", "name the host"),
        ("*.github.io", "name the host"),
        ("*.10.0.0.1", "an address has no names below it"),
        ("a*.example.com", "* stands before a dot"),
        ("https://example.com", "without https://"),
        ("user@example.com", "without https://"),
        ("get example.com", "write them like GET,HEAD"),
        ("CONNECT example.com", "not a method that a server sees"),
        ("example.com:0", "numbers from 1 to 65535"),
        ("example.com:", "ports are written like"),
        ("example.com:99999999", "ports are written like"),
        ("example..com", "is no name of a host"),
        ("example.com.", "is no name of a host"),
        ("-a.example.com", "is no name of a host"),
        ("0x7f.1", "write four numbers"),
        ("2130706433", "write four numbers"),
        ("127.1", "write four numbers"),
        ("010.0.0.1", "write four numbers"),
        ("[::ffff:10.0.0.1]", "write 10.0.0.1"),
        ("[fe80::1%eth0]", "has no zone"),
        ("::1", "addresses like [::1]:8080"),
        ("stra\u00dfe.de", "write its xn-- form"),
        ("example.com/a/../b", "has . or .. as a part"),
        ("example.com/a/..;x/b", "has . or .. as a part"),
        ("example.com/%2e%2e/b", "writes plain characters with %"),
        ("example.com/%61", "writes plain characters with %"),
        ("example.com/%252e", "writes plain characters with %"),
        ("example.com//b", "two slashes"),
        ("example.com/a\\b", "backslash"),
        ("example.com/a?b=c", "ends before ?"),
        ("example.com  local", "single blanks"),
        ("example.com local\n", "single blanks"),
        ("GET example.com more local", "in this order"),
        ("a" * 3000, "too long"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_next_step(text: str, words: str) -> None:
    with pytest.raises(EgressRuleError) as caught:
        parse_rule(text)

    assert words in str(caught.value)


def test_without_ports_allowing_means_the_two_of_the_web_and_denying_means_all() -> None:
    rule = parse_rule("example.com")

    assert [rule.covers_port(port) for port in (80, 443, 22)] == [True, True, False]
    assert rule.covers_port(22, denies=True)


def test_a_path_covers_what_is_below_it_and_a_denying_one_what_begins_so() -> None:
    rule = parse_rule("GET example.com/v1")

    assert rule.covers_request("GET", "/v1")
    assert rule.covers_request("GET", "/v1/models")
    assert not rule.covers_request("GET", "/v10")
    assert not rule.covers_request("POST", "/v1")
    assert rule.covers_request("GET", "/v1;x", denies=True)


@pytest.mark.parametrize(
    "text", ["169.254.169.254 local", "[fe80::1] local", "224.0.0.1", "0.0.0.0"]
)
def test_what_is_never_reachable_cannot_be_allowed(text: str) -> None:
    with pytest.raises(EgressRuleError, match="never reach"):
        check_allowing(parse_rule(text))


def test_an_address_of_the_own_network_needs_the_word_local() -> None:
    with pytest.raises(EgressRuleError, match=r"write: 192\.168\.1\.5:8123 local"):
        check_allowing(parse_rule("192.168.1.5:8123"))

    check_allowing(parse_rule("192.168.1.5:8123 local"))


def test_denying_knows_no_local() -> None:
    with pytest.raises(EgressRuleError, match="leave it out"):
        check_denying(parse_rule("nas local"))

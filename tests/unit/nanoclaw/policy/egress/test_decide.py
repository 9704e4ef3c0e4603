"""What is decided about one request, rule by rule and mode by mode."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.model import EgressMode
from nanoclaw.policy.egress.decide import (
    Allow,
    Decision,
    Inspect,
    Refuse,
    Source,
    Stored,
    Unknown,
    Wanted,
    decide,
)
from nanoclaw.policy.egress.rule import parse_rule

HOST = "api.example.com"
LIST = EgressMode.ALLOWLIST


def stored(text: str, source: Source = Source.GROUP, service: str | None = None) -> Stored:
    return Stored(source, parse_rule(text), f"{source.name.lower()} {text}", service)


def connect(*rules: Stored, mode: EgressMode = LIST, host: str = HOST, port: int = 443) -> Decision:
    return decide(mode, rules, Wanted(host, port))


def ask(
    *rules: Stored, mode: EgressMode = LIST, method: str = "GET", path: str = "/v1/models"
) -> Decision:
    return decide(mode, rules, Wanted(HOST, 443, method, path))


def test_a_host_that_nobody_named_is_unknown() -> None:
    assert connect() == Unknown()
    assert connect(stored("example.com"), stored("*.other.com")) == Unknown()
    assert connect(stored(HOST), port=22) == Unknown()


def test_a_rule_for_the_host_lets_it_out_without_a_look_inside() -> None:
    assert connect(stored("*.example.com")) == Allow("group *.example.com")


def test_mode_none_refuses_whatever_the_rules_say() -> None:
    decision = connect(stored(HOST, Source.INSTALL), mode=EgressMode.NONE)

    assert isinstance(decision, Refuse)
    assert decision.rule == "mode none"


def test_denying_wins_over_every_other_source() -> None:
    others = [stored(HOST, source) for source in Source if source is not Source.DENY]

    for mode in (LIST, EgressMode.OPEN):
        decision = connect(*others, stored("*.example.com", Source.DENY), mode=mode)
        assert decision == Refuse("deny *.example.com", "the owner does not allow it")


def test_the_nearest_source_is_named() -> None:
    rules = [stored(HOST, Source.INSTALL), stored(HOST, Source.GROUP), stored(HOST, Source.ONCE)]

    assert connect(*rules) == Allow(f"once {HOST}")
    assert connect(*rules[:2]) == Allow(f"group {HOST}")


def test_methods_and_paths_need_a_look_inside() -> None:
    rule = stored(f"GET {HOST}/v1")

    assert connect(rule) == Inspect(rule.name)
    assert ask(rule) == Allow(rule.name)
    assert isinstance(ask(rule, method="POST"), Refuse)
    assert isinstance(ask(rule, path="/v2"), Refuse)


def test_a_query_is_not_part_of_the_path() -> None:
    assert isinstance(ask(stored(f"{HOST}/v1"), path="/v1?next=/../v2"), Allow)


@pytest.mark.parametrize("path", ["/v1/../v2", "/v1/%2e%2e/v2", "/v1//x", "/v1\\x", "/%761", "*"])
def test_an_ambiguous_path_is_refused_where_paths_count(path: str) -> None:
    decision = ask(stored(f"{HOST}/v1"), path=path)

    assert isinstance(decision, Refuse)
    assert decision.rule == "path"
    assert isinstance(ask(stored(HOST), path=path), Allow)


def test_denied_methods_are_looked_for_inside_what_is_allowed() -> None:
    rules = [stored(HOST), stored(f"DELETE {HOST}", Source.DENY)]

    assert connect(*rules) == Inspect(f"group {HOST}")
    assert ask(*rules) == Allow(f"group {HOST}")
    assert isinstance(ask(*rules, method="DELETE"), Refuse)
    assert isinstance(connect(rules[1], mode=EgressMode.OPEN), Inspect)


def test_a_service_is_looked_into_and_names_its_credential() -> None:
    service = stored(f"GET,POST {HOST}", Source.SERVICE, "example")

    assert connect(service) == Inspect(service.name, service="example")
    assert connect(service, stored(HOST)) == Inspect(f"group {HOST}", service="example")
    assert ask(service) == Allow(service.name, service="example")
    assert ask(service, stored(HOST), method="PUT") == Allow(f"group {HOST}")


def test_mode_open_lets_out_to_every_public_host_and_to_no_other() -> None:
    assert connect(mode=EgressMode.OPEN, port=9000) == Allow("mode open")
    assert ask(mode=EgressMode.OPEN) == Allow("mode open")
    for host in ("192.168.1.5", "127.0.0.1", "::1", "localhost", "nas", "nas.lan", "x.internal"):
        assert isinstance(connect(mode=EgressMode.OPEN, host=host), Refuse), host


def test_a_narrow_rule_for_the_own_network_does_not_widen_another_one() -> None:
    rules = [stored(HOST), stored(f"GET {HOST}/v1 local")]

    assert connect(*rules) == Inspect(f"group {HOST}", local=True)
    assert ask(*rules, method="POST") == Allow(f"group {HOST}")
    assert ask(*rules) == Allow(f"group {HOST}", local=True)
    assert connect(stored(f"{HOST} local"), rules[1]) == Allow(f"group {HOST} local", local=True)


@pytest.mark.parametrize("path", ["/caf%c3%a9", "/caf%C3%A9/x", "/caf%C3%a9"])
def test_a_denied_path_is_denied_in_small_and_capital_letters(path: str) -> None:
    rules = [stored(HOST), stored(f"{HOST}/caf%C3%A9", Source.DENY)]

    assert isinstance(ask(*rules, path=path), Refuse)


@pytest.mark.parametrize("path", ["/a!b", "/a%21b", "/a!b%20c"])
def test_a_denied_path_is_denied_however_its_signs_are_written(path: str) -> None:
    rules = [stored(HOST), stored(f"{HOST}/a!b", Source.DENY)]

    assert isinstance(ask(*rules, path=path), Refuse)
    assert isinstance(ask(*rules, path="/a%24b"), Allow)


def test_a_narrow_rule_does_not_narrow_mode_open() -> None:
    assert connect(stored(f"GET {HOST}"), mode=EgressMode.OPEN) == Allow("mode open")


def test_hosts_of_the_own_network_are_for_owners_rules_and_never_asked_for() -> None:
    for host in ("192.168.1.5", "nas", "printer.local"):
        assert isinstance(connect(host=host), Refuse)
    assert connect(stored("192.168.1.5 local"), host="192.168.1.5") == Allow(
        "group 192.168.1.5 local", local=True
    )


@pytest.mark.parametrize("mode", [EgressMode.ALLOWLIST, EgressMode.OPEN])
def test_metadata_addresses_are_refused_even_by_a_rule(mode: EgressMode) -> None:
    decision = connect(stored("169.254.169.254 local"), mode=mode, host="169.254.169.254")

    assert isinstance(decision, Refuse)


TEXTS = ["example.com", "*.example.com", "GET api.example.com/v1", "api.example.com:8443", "b.org"]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(TEXTS), st.sampled_from(list(Source)))),
    st.sampled_from(["example.com", "api.example.com", "b.org", "c.net"]),
    st.sampled_from([80, 443, 8443]),
    st.sampled_from([None, "GET", "POST"]),
)
def test_nothing_passes_that_no_rule_covers(
    chosen: list[tuple[str, Source]], host: str, port: int, method: str | None
) -> None:
    rules = [stored(text, source) for text, source in chosen]
    path = None if method is None else "/v1/x"

    decision = decide(LIST, rules, Wanted(host, port, method, path))

    covers = [
        item.source
        for item in rules
        if item.rule.covers_host(host)
        and item.rule.covers_port(port, denies=item.source is Source.DENY)
        and (method is None or item.rule.covers_request(method, "/v1/x"))
    ]
    passes = isinstance(decision, Allow | Inspect)
    assert passes <= any(source is not Source.DENY for source in covers)
    if method is not None and Source.DENY in covers:
        assert isinstance(decision, Refuse)

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.clock import to_text
from nanoclaw.vault.gateway.decide import (
    Asked,
    BadListError,
    Listed,
    Unusable,
    parse_pending,
)

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def entry(**more: object) -> dict[str, object]:
    return {
        "id": "r-1",
        "method": "GET",
        "url": "https://api.example.com/x",
        "host": "api.example.com",
        "path": "/x",
        "headers": {"a": "b"},
        "bodyPreview": None,
        "agent": {"id": "1", "name": "Andy", "externalId": "ag-1"},
        "createdAt": to_text(NOW),
        "expiresAt": to_text(NOW + timedelta(seconds=60)),
        "timeoutSeconds": 60,
        **more,
    }


def one(value: dict[str, object], **more: object) -> Listed:
    (found,) = parse_pending({"requests": [value], **more}, NOW)
    return found


def seconds_of(value: dict[str, object], **more: object) -> float:
    found = one(value, **more)
    assert isinstance(found, Asked)
    assert found.use.expires_at == NOW + timedelta(seconds=found.seconds)
    return found.seconds


def test_h232_request_is_read() -> None:
    found = one(entry())

    assert isinstance(found, Asked)
    use = found.use
    assert (use.method, use.host, use.path, use.body_preview) == (
        "GET", "api.example.com", "/x", None,
    )  # fmt: skip
    assert (use.agent_name, use.agent_group_id) == ("Andy", "ag-1")


@pytest.mark.parametrize(
    ("left", "expected"), [(60.0, 59.0), (1.5, 1.0), (0.0, 1.0), (-100.0, 1.0), (10**7, 86400.0)]
)
def test_h234_timer_ends_a_second_before_the_gateway_does(left: float, expected: float) -> None:
    assert seconds_of(entry(expiresAt=to_text(NOW + timedelta(seconds=left)))) == expected


def test_without_a_moment_the_seconds_count() -> None:
    assert seconds_of(entry(expiresAt=None, timeoutSeconds=30)) == 29.0
    left_out = entry(expiresAt=None)
    del left_out["timeoutSeconds"]
    assert seconds_of(left_out, timeoutSeconds=20) == 19.0


@pytest.mark.parametrize(
    "more",
    [
        {"method": None}, {"method": ""}, {"method": "X" * 10_000}, {"host": 1}, {"path": []},
        {"bodyPreview": 5}, {"agent": None}, {"agent": {"name": 1}}, {"agent": {"externalId": []}},
        {"url": "https://other.example/x"}, {"url": 7}, {"url": "http://[bad"},
        {"expiresAt": "x", "timeoutSeconds": True}, {"expiresAt": None, "timeoutSeconds": -1},
    ],
    ids=range(14),
)  # fmt: skip
def test_request_that_is_not_whole_is_unusable(more: dict[str, object]) -> None:
    assert isinstance(one(entry(**more)), Unusable)


@pytest.mark.parametrize("request_id", [None, 1, "", "a/b", "a b", "a,b", "../x", "é", "x" * 200])
def test_request_without_a_usable_id_is_left_to_the_gateway(request_id: object) -> None:
    assert parse_pending({"requests": [entry(id=request_id)]}, NOW) == []


def test_h231_each_id_counts_once() -> None:
    assert len(parse_pending({"requests": [entry(), entry(method="POST")]}, NOW)) == 1


def test_list_is_read_up_to_its_bound() -> None:
    requests = [entry(id=f"r-{number}") for number in range(3000)]

    assert len(parse_pending({"requests": requests}, NOW)) == 1000


@pytest.mark.parametrize("value", [None, [], 1, {}, {"requests": None}, {"requests": {}}])
def test_answer_that_is_no_list_is_refused(value: object) -> None:
    with pytest.raises(BadListError):
        parse_pending(value, NOW)


VALUES = st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.just({"name": "A"})


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(entry())), VALUES))
def test_whatever_a_request_holds_it_is_asked_or_denied(more: dict[str, object]) -> None:
    for found in parse_pending({"requests": [entry(**more), "x", 5]}, NOW):
        assert isinstance(found, Asked | Unusable)

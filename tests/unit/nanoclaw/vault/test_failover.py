"""When another endpoint is asked, and how long a failing one rests."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.config import HostConfig
from nanoclaw.model_settings import EndpointSettings
from nanoclaw.vault.endpoints.decide import (
    LONG_SECONDS,
    LONGEST_REST_SECONDS,
    Failure,
    Rest,
    may_go_on,
    order,
    rest_after,
)
from nanoclaw.vault.endpoints.pool import Endpoint, Endpoints, Outage


@pytest.mark.parametrize(
    ("failure", "status", "repeatable", "expected"),
    [
        (Failure.NOT_SENT, None, False, True),
        (Failure.REFUSED, 529, False, True),
        (Failure.REFUSED, 503, False, True),
        (Failure.REFUSED, 502, True, True),
        (Failure.REFUSED, 502, False, False),
        (Failure.REFUSED, 504, False, False),
        (Failure.REFUSED, 429, True, False),
        (Failure.REFUSED, 500, True, False),
        (Failure.NO_ANSWER, None, True, True),
        (Failure.NO_ANSWER, None, False, False),
    ],
)
def test_what_may_have_been_done_is_repeated_only_if_harmless(
    failure: Failure, status: int | None, repeatable: bool, expected: bool
) -> None:
    assert may_go_on(failure, status, repeatable=repeatable) is expected


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200), st.one_of(st.none(), st.floats(0, 1e9)))
def test_rest_grows_and_has_an_end(failures: int, wish: float | None) -> None:
    rest = rest_after(Rest(failures), 1000.0, wish)

    assert rest.failures == failures + 1
    assert 1005.0 <= rest.until <= 1000.0 + LONGEST_REST_SECONDS
    assert not rest.is_over(rest.until - 0.1)
    assert rest.is_over(rest.until)


def test_resting_ones_are_asked_last_but_never_not_at_all() -> None:
    assert order([Rest(1, 50.0), Rest(), Rest(1, 20.0)], 10.0) == [1, 2, 0]
    assert order([Rest(1, 50.0)], 10.0) == [0]


def test_one_request_at_a_time_finds_out_whether_it_works_again() -> None:
    clock = [0.0]
    config = HostConfig(
        Path("/nowhere"),
        endpoints=(EndpointSettings("a", "http://a"), EndpointSettings("b", "http://b", "k")),
    )
    endpoints = Endpoints(config, lambda: clock[0])
    first = endpoints.candidates(None, None)[0]
    endpoints.begin(first)
    endpoints.failed(first)
    clock[0] = 100.0

    assert endpoints.candidates(None, None)[0] is first
    endpoints.begin(first)
    assert endpoints.candidates(None, None)[0].name == "b"
    endpoints.worked(first)
    assert endpoints.candidates(None, None)[0] is first


def test_outage_is_long_after_a_quarter_of_an_hour_and_some_failures() -> None:
    clock = [1000.0]
    config = HostConfig(
        Path("/nowhere"),
        endpoints=(EndpointSettings("a", "http://a"), EndpointSettings("b", "http://b", "k")),
    )
    endpoints = Endpoints(config, lambda: clock[0])
    first, second = endpoints.candidates(None, None)

    def fail(at: float, endpoint: Endpoint) -> Outage | None:
        clock[0] = at
        endpoints.failed(endpoint)
        return endpoints.outage(endpoint)

    assert [fail(1000.0, first), fail(1000.0 + LONG_SECONDS, first)] == [None, None]
    assert fail(2500.0, first) == Outage(1500.0, others_work=True)
    fail(2600.0, second)
    assert fail(3000.0, first) == Outage(2000.0, others_work=False)
    endpoints.worked(first)
    assert [fail(3001.0 + n, first) for n in range(4)] == [None] * 4


def test_endpoint_is_asked_only_for_its_models() -> None:
    config = HostConfig(
        Path("/nowhere"),
        endpoints=(
            EndpointSettings("a", "http://a", models=("llama-*",)),
            EndpointSettings("b", "http://b", "k"),
        ),
    )
    endpoints = Endpoints(config)

    assert [item.name for item in endpoints.candidates("claude-opus-5", None)] == ["b"]
    assert endpoints.candidates("claude-opus-5", "a") == []

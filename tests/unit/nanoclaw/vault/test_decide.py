"""Which requests may pass, and with which headers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.decide import (
    Passage,
    Route,
    back_headers,
    decide_passage,
    presented_tokens,
)

LENGTH = (("content-length", "10"),)


@pytest.mark.parametrize(
    ("method", "target", "route"),
    [
        ("POST", "/v1/messages", Route.MESSAGES),
        ("POST", "/v1/messages?beta=true", Route.MESSAGES),
        ("POST", "/v1/messages/count_tokens", Route.COUNT_TOKENS),
        ("POST", "/v1/messages/count_tokens?beta=true", Route.COUNT_TOKENS),
        ("GET", "/v1/models", Route.MODELS),
        ("GET", "/v1/models?limit=20&after_id=claude-x", Route.MODELS),
        ("GET", "/v1/models/claude-opus-5@20261001?beta=true", Route.MODELS),
    ],
)
def test_what_a_runner_needs_passes(method: str, target: str, route: Route) -> None:
    headers = LENGTH if method == "POST" else ()

    passage = decide_passage(method, target, headers)

    assert isinstance(passage, Passage)
    assert (passage.route, passage.target) == (route, target)


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="/v1mesagod.%2eE?&=:@\\;#-", max_size=40))
def test_no_target_gets_through_that_is_not_written_exactly_so(tail: str) -> None:
    target = "/v1/messages" + tail

    passage = decide_passage("POST", target, LENGTH)

    if isinstance(passage, Passage):
        assert target in {
            path + query
            for path in ("/v1/messages", "/v1/messages/count_tokens")
            for query in ("", "?beta=true")
        }


def test_refusal_names_what_was_asked_for_and_what_is_allowed() -> None:
    refusal = decide_passage("DELETE", "/v1/files/" + "x" * 500, ())

    assert isinstance(refusal, Refusal)
    assert refusal.status == 403
    assert "DELETE /v1/files/" in refusal.text
    assert "POST /v1/messages" in refusal.text
    assert len(refusal.text) < 400


def test_post_needs_a_length_and_get_has_none() -> None:
    without = decide_passage("POST", "/v1/messages", ())
    with_body = decide_passage("GET", "/v1/models", LENGTH)

    assert isinstance(without, Refusal)
    assert without.status == 411
    assert isinstance(with_body, Refusal)
    assert isinstance(decide_passage("GET", "/v1/models", (("content-length", "0"),)), Passage)


def test_headers_of_the_client_pass_by_a_list() -> None:
    given_headers = (
        *LENGTH,
        ("host", "x"),
        ("authorization", "Bearer t"),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "a\x01b"),
        ("x-stainless-os", "Linux"),
        ("x-forwarded-for", "1.2.3.4"),
    )

    passage = decide_passage("POST", "/v1/messages", given_headers)

    assert isinstance(passage, Passage)
    assert passage.headers == (("anthropic-version", "2026-10-21"), ("x-stainless-os", "Linux"))


def test_headers_of_an_answer_pass_by_a_list() -> None:
    found = (
        ("content-type", "application/json"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "a=b"),
        ("anthropic-ratelimit-requests-remaining", "3"),
        ("anthropic-organization-id", "who"),
        ("server", "x"),
    )

    assert [name for name, _ in back_headers(found)] == [
        "content-type", "anthropic-ratelimit-requests-remaining",
    ]  # fmt: skip


def test_tokens_are_read_from_either_header() -> None:
    found = (("authorization", "bearer  a "), ("x-api-key", "b"), ("authorization", "Basic c"))

    assert presented_tokens(found) == ("a", "b")

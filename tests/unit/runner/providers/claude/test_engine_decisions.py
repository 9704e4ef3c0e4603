from collections.abc import Mapping

import pytest

from runner.errors import Trouble
from runner.providers.claude.decide import (
    CompactAndRetry,
    ContinueTruncated,
    Counters,
    Decision,
    Fail,
    Finish,
    Refused,
    Resume,
    RunTools,
    decide_answer,
)
from runner.providers.claude.errors import (
    TROUBLES,
    CallClass,
    CallError,
    Refusal,
    classify,
    read_body,
    retry_after,
)
from runner.providers.claude.features import Feature, FeatureSet, find_feature
from runner.providers.claude.limits import Spent, TurnLimits, decide_limit
from runner.providers.claude.retry import (
    Attempts,
    GiveUp,
    Patience,
    RetryRules,
    Wait,
    decide_retry,
    wants_fallback,
)

TEXT = {"type": "text", "text": "hello"}
BLANK = {"type": "text", "text": "  "}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}

ANSWERS: dict[str, tuple[str | None, list[Mapping[str, object]], Counters, Decision]] = {
    "the end": ("end_turn", [TEXT], Counters(), Finish("end_turn")),
    "the end without a word": ("end_turn", [], Counters(), Finish("end_turn")),
    "a stop sequence": ("stop_sequence", [TEXT], Counters(), Finish("stop_sequence")),
    "tools": ("tool_use", [TEXT, CALL], Counters(), RunTools((CALL,))),
    "tools without any": ("tool_use", [TEXT], Counters(), Finish("end_turn")),
    "tools without anything": (
        "tool_use",
        [BLANK],
        Counters(),
        Fail(Trouble.UNEXPECTED, "the model wanted tools but named none"),
    ),
    "a call at the end is not run": (
        "end_turn",
        [CALL],
        Counters(truncations=1),
        ContinueTruncated(("toolu_1",), "end_turn"),
    ),
    "a pause": ("pause_turn", [TEXT], Counters(pauses=10), Resume()),
    "too many pauses": ("pause_turn", [TEXT], Counters(pauses=11), Finish("pause_turn")),
    "a cut-off text": (
        "max_tokens",
        [TEXT],
        Counters(truncations=3),
        ContinueTruncated(()),
    ),
    "a cut-off call": (
        "max_tokens",
        [CALL],
        Counters(truncations=1),
        ContinueTruncated(("toolu_1",)),
    ),
    "cut off for the fourth time": (
        "max_tokens",
        [TEXT],
        Counters(truncations=4),
        Finish("max_tokens"),
    ),
    "a refusal": ("refusal", [TEXT], Counters(), Refused("bio", "no")),
    "a full window": (
        "model_context_window_exceeded",
        [TEXT],
        Counters(window_exceeded=1),
        CompactAndRetry(),
    ),
    "a window that stays full": (
        "model_context_window_exceeded",
        [TEXT],
        Counters(window_exceeded=2),
        Fail(Trouble.TOO_LARGE, "the window is full even after a compaction"),
    ),
    "no reason": (None, [TEXT], Counters(), Fail(Trouble.NETWORK, "the answer has no stop reason")),
    "an unknown reason with text": ("bored", [TEXT], Counters(), Finish("bored")),
    "an unknown reason without": (
        "bored",
        [],
        Counters(),
        Fail(Trouble.UNEXPECTED, "unknown stop reason 'bored' without text"),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_follows_from_an_answer(name: str) -> None:
    reason, blocks, counters, expected = ANSWERS[name]

    details = {"category": "bio", "explanation": "no"}

    assert decide_answer(reason, blocks, counters, details) == expected


def test_a_refusal_without_details_is_one_too() -> None:
    assert decide_answer("refusal", [], Counters()) == Refused("", "")


REFUSALS: list[tuple[Refusal, CallClass]] = [
    (Refusal(529, "overloaded_error", message="Overloaded"), CallClass.OVERLOADED),
    (Refusal(200, "overloaded_error", message="Overloaded"), CallClass.OVERLOADED),
    (Refusal(503, message="Service Unavailable"), CallClass.OVERLOADED),
    (Refusal(504, "gateway_timeout_error"), CallClass.OVERLOADED),
    (Refusal(500, "api_error"), CallClass.SERVER),
    (Refusal(502, message="nginx"), CallClass.SERVER),
    (Refusal(200, "novel_error"), CallClass.SERVER),
    (Refusal(408), CallClass.NETWORK),
    (Refusal(429, "rate_limit_error", retry_after_seconds=3), CallClass.RATE),
    (Refusal(429, message="slow down"), CallClass.RATE),
    (
        Refusal(429, "rate_limit_error", message="quota per minute", retry_after_seconds=3),
        CallClass.RATE,
    ),
    (
        Refusal(429, "rate_limit_error", message="You have reached your usage limits"),
        CallClass.QUOTA,
    ),
    (
        Refusal(400, "invalid_request_error", message="Your credit balance is too low"),
        CallClass.BILLING,
    ),
    (Refusal(403, message="Spend limit reached"), CallClass.BILLING),
    (Refusal(402, "billing_error"), CallClass.BILLING),
    (Refusal(401, "authentication_error", message="invalid x-api-key"), CallClass.AUTH),
    (Refusal(403, "permission_error"), CallClass.AUTH),
    (Refusal(413, "request_too_large"), CallClass.TOO_LARGE),
    (Refusal(400, "invalid_request_error", message="prompt is too long: 9"), CallClass.TOO_LARGE),
    (
        Refusal(400, message="This model's maximum context length is 8192 tokens"),
        CallClass.TOO_LARGE,
    ),
    (
        Refusal(
            400, "invalid_request_error", message="messages.0.content.1: Could not process image"
        ),
        CallClass.MEDIA,
    ),
    (Refusal(400, message="The PDF specified was not valid"), CallClass.MEDIA),
    (
        Refusal(400, message="messages.1.content.0: Invalid `signature` in `thinking` block"),
        CallClass.PREFIX,
    ),
    (
        Refusal(400, "invalid_request_error", "compaction_signature_invalid", "bad block"),
        CallClass.PREFIX,
    ),
    (Refusal(400, message="thinking: Extra inputs are not permitted"), CallClass.FEATURE),
    (Refusal(400, message="Unexpected value(s) `x` for `anthropic-beta`"), CallClass.FEATURE),
    (Refusal(404, "not_found_error", message="model: claude-none"), CallClass.MODEL),
    (Refusal(400, message="model foo not found, try pulling it first"), CallClass.MODEL),
    (Refusal(400, "invalid_request_error", message="max_tokens: too small"), CallClass.REQUEST),
    (Refusal(422, message="odd"), CallClass.REQUEST),
]


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS, ids=lambda value: str(value)[:70])
def test_a_refusal_has_the_class_that_its_words_say(refusal: Refusal, expected: CallClass) -> None:
    error = classify(refusal)

    assert error.kind is expected
    assert error.trouble is TROUBLES[expected]


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (CallError(CallClass.PREFIX, "anything"), True),
        (CallError(CallClass.REQUEST, "messages.3: bad role"), True),
        (CallError(CallClass.MEDIA, "messages.3.content.0.image: unreadable"), True),
        (CallError(CallClass.REQUEST, "max_tokens: odd"), False),
        (CallError(CallClass.AUTH, "messages.3"), False),
    ],
)
def test_only_errors_of_stored_messages_blame_the_history(error: CallError, blamed: bool) -> None:
    assert error.blames_history is blamed


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"type": "error", "error": {"type": "api_error", "message": "m"}}, ("api_error", "", "m")),
        (
            {"error": {"type": "t", "message": "m", "details": {"error_code": "c"}}},
            ("t", "c", "m"),
        ),
        ({"error": "plain"}, ("", "", "plain")),
        ({"detail": "FastAPI says no"}, ("", "", "FastAPI says no")),
        ("<html><h1>Bad</h1><p>gateway</p>", ("", "", "Bad gateway")),
        (None, ("", "", "")),
        ([1], ("", "", "")),
        ({"error": {"type": 5, "message": {"x": 1}}}, ("", "", "")),
    ],
)
def test_an_error_of_any_shape_is_read(body: object, expected: tuple[str, str, str]) -> None:
    assert read_body(body) == expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_a_servers_wish_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


RULES = RetryRules()


def attempts(kind: CallClass, count: int, elapsed: float = 0.0, in_a_row: int = 0) -> Attempts:
    return Attempts({kind: count}, elapsed, in_a_row)


@pytest.mark.parametrize(("count", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60)])
def test_waits_double_up_to_a_minute(count: int, seconds: float) -> None:
    error = CallError(CallClass.NETWORK, "cut")

    assert decide_retry(error, attempts(CallClass.NETWORK, count), 0, RULES) == Wait(seconds)
    longer = decide_retry(error, attempts(CallClass.NETWORK, count), 1, RULES)
    assert longer == Wait(seconds * 1.25)


@pytest.mark.parametrize(
    ("kind", "tries"),
    [(CallClass.NETWORK, 8), (CallClass.OVERLOADED, 10), (CallClass.SERVER, 5)],
)
def test_each_class_has_its_number_of_tries(kind: CallClass, tries: int) -> None:
    error = CallError(kind, "x")

    assert isinstance(decide_retry(error, attempts(kind, tries - 1), 0, RULES), Wait)
    assert isinstance(decide_retry(error, attempts(kind, tries), 0, RULES), GiveUp)


@pytest.mark.parametrize("kind", [kind for kind in CallClass if kind not in RULES.patience])
def test_what_another_try_cannot_cure_is_not_tried_again(kind: CallClass) -> None:
    assert isinstance(decide_retry(CallError(kind, "x"), attempts(kind, 1), 0, RULES), GiveUp)


@pytest.mark.parametrize(
    ("kind", "wish", "elapsed", "expected"),
    [
        (CallClass.OVERLOADED, 30, 0, Wait(30)),
        (CallClass.OVERLOADED, 300, 0, Wait(1)),
        (CallClass.RATE, 300, 0, Wait(300)),
        (CallClass.RATE, 300, 700, GiveUp("failing for 700 s")),
        (CallClass.RATE, 3600, 0, GiveUp("failing for 0 s")),
        (CallClass.NETWORK, None, 600, GiveUp("failing for 600 s")),
    ],
)
def test_a_servers_wish_is_followed_as_far_as_it_fits(
    kind: CallClass, wish: float | None, elapsed: float, expected: Wait | GiveUp
) -> None:
    error = CallError(kind, "x", wish)

    assert decide_retry(error, attempts(kind, 1, elapsed), 0, RULES) == expected


def test_three_overloads_in_a_row_call_for_another_model() -> None:
    assert not wants_fallback(attempts(CallClass.OVERLOADED, 5, in_a_row=2))
    assert wants_fallback(attempts(CallClass.OVERLOADED, 3, in_a_row=3))


def test_shorter_rules_can_be_given() -> None:
    rules = RetryRules({CallClass.SERVER: Patience(2, 1)}, first_seconds=0.1)

    error = CallError(CallClass.SERVER, "x")

    assert decide_retry(error, attempts(CallClass.SERVER, 1), 0, rules) == Wait(0.1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tools.3: Input tag 'web_search_20260318' is unknown", Feature.WEB_SEARCH),
        ("tools.3: unknown tool type", Feature.WEB_SEARCH),
        ("messages.2.role: unexpected value 'system'", Feature.SYSTEM_ROLE),
        ("thinking.block_binding: Extra inputs are not permitted", Feature.DROP_BLOCK),
        ("thinking: Extra inputs are not permitted", Feature.THINKING),
        ("system.0.cache_control.ttl: not permitted", Feature.LONG_CACHE),
        ("cache_control: not permitted", Feature.CACHE),
        ("output_config: unknown field", Feature.EFFORT),
        ("fallbacks: Extra inputs are not permitted", Feature.FALLBACKS),
        ("compaction: Extra inputs are not permitted", Feature.SERVER_COMPACTION),
        ("stream: not allowed", None),
    ],
)
def test_the_feature_that_is_meant_is_found(words: str, expected: Feature | None) -> None:
    assert find_feature(words, frozenset(Feature)) is expected


def test_a_feature_that_was_not_sent_is_not_blamed() -> None:
    assert find_feature("thinking: not permitted", {Feature.CACHE}) is None


def test_a_removed_feature_stays_removed() -> None:
    features = FeatureSet()
    features.remove(Feature.CACHE)

    assert not features.has(Feature.CACHE)
    assert features.has(Feature.THINKING)


@pytest.mark.parametrize(
    ("spent", "reached"),
    [
        (Spent(199, 3599, 0.99), None),
        (Spent(200, 0, 0), "200 model calls"),
        (Spent(1, 3600, 0), "60 minutes without progress of a tool"),
        (Spent(1, 0, 1.0), "1.00 US dollars"),
    ],
)
def test_a_turn_has_limits(spent: Spent, reached: str | None) -> None:
    limit = decide_limit(spent, TurnLimits(cost_usd=1.0))

    assert (limit and limit.reason) == reached
    assert limit is None or "finish" in limit.note

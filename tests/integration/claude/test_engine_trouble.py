import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.claude_engine_bench import MODEL, Bench, Stream, prompt
from helpers.claude_engine_tools import spec
from helpers.messages_api.answers import (
    Answer,
    Failing,
    Reply,
    Silence,
    answer,
    failing,
    html_page,
    no_credit,
    overloaded,
    rate_limited,
    refusal,
    say,
    think,
    to,
    use,
    wrong_key,
)
from helpers.messages_api.server import MessagesApi

from contract.config import RunnerConfig
from runner.errors import Trouble
from runner.providers.base import Compacted
from runner.providers.claude.errors import CallError

GOOD = "fine now"


def play_once(
    folder: Path,
    *replies: Reply,
    adjust: Callable[[Bench], None] = lambda _: None,
    setup: Callable[[MessagesApi], None] = lambda _: None,
) -> tuple[MessagesApi, Stream]:
    """One turn against these replies."""

    async def play(bench: Bench) -> Stream:
        async with bench.stream("Hello") as stream:
            await stream.until(lambda: stream.results or stream.error, "a result")
            return stream

    with MessagesApi() as api:
        setup(api)
        api.script(*replies)
        bench = Bench(folder, api.url)
        adjust(bench)
        return api, asyncio.run(play(bench))


TEMPORARY: dict[str, tuple[Reply, ...]] = {
    "one overload": (overloaded(),),
    "an overload storm": (overloaded(),) * 5,
    "a rate limit that says when": (rate_limited(milliseconds=10),) * 3,
    "a rate limit in seconds": (rate_limited(retry_after=0.01),),
    "a server error": (failing(500, "api_error"),) * 2,
    "a gateway's page": (html_page(),) * 2,
    "a gateway's page that says all is well": (html_page(200),),
    "a gateway's time-out": (html_page(504),),
    "no answer at all": (Silence(),) * 2,
    "a connection cut in the middle": (answer("half of it", cut_at=3),),
    "an answer that ends too early, cleanly": (answer("half of it", cut_at=3, cut_cleanly=True),),
    "an overload in the middle": (answer("half of it", error_at=3),),
    "an unknown error in the middle": (answer("half", error_at=3, error_type="odd_error"),),
    "broken JSON in an event": (
        answer("x", raw_at=1, raw=b"event: content_block_delta\ndata: {\n\n"),
    ),
    "an event that is no object": (
        answer("x", raw_at=1, raw=b"event: message_delta\ndata: [1]\n\n"),
    ),
    "no message_start": (answer("x", skip=frozenset({0})),),
    "a delta for a block that never started": (answer("x", skip=frozenset({1})),),
    "no stop reason": (answer("x", stop_reason=None),),
    "a block that never stops": (answer("x", skip=frozenset({3})),),
    "the wrong kind of timeout": (failing(408, "timeout_error"),),
}


@pytest.mark.parametrize("name", TEMPORARY)
def test_trouble_that_passes_is_waited_out(tmp_path: Path, name: str) -> None:
    replies = TEMPORARY[name]

    api, stream = play_once(tmp_path, *replies, answer(GOOD))

    assert [result.text for result in stream.results] == [GOOD]
    assert all(failure.retryable for failure in stream.failures)
    assert len(stream.failures) == len(replies)
    assert len({request.raw for request in api.requests}) == 1, "every attempt sends the same"


HARMLESS: dict[str, Answer] = {
    "an unknown event": answer(GOOD, raw_at=2, raw=b'event: novelty\ndata: {"type":"novelty"}\n\n'),
    "a comment": answer(GOOD, raw_at=2, raw=b": keep-alive\n\n"),
    "pings": answer(GOOD, pings=3),
    "a slow first byte": answer(GOOD, first_byte_seconds=0.3),
    "an unknown block": answer({"type": "hologram", "depth": 3}, GOOD),
    "invalid UTF-8 in a comment": answer(GOOD, raw_at=2, raw=b": \xff\xfe\n\n"),
    "an unknown stop reason": answer(GOOD, stop_reason="bored"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_a_newer_server_adds_does_no_harm(tmp_path: Path, name: str) -> None:
    _, stream = play_once(tmp_path, HARMLESS[name])

    assert [result.text for result in stream.results] == [GOOD]
    assert stream.failures == []


FINAL: dict[str, tuple[Failing, Trouble]] = {
    "a wrong key": (wrong_key(), Trouble.AUTH),
    "no credit": (no_credit(), Trouble.BILLING),
    "an unknown model": (failing(404, "not_found_error", "model: claude-x"), Trouble.CONFIG),
    "a usage limit": (
        failing(429, "rate_limit_error", "You have reached your specified API usage limits"),
        Trouble.QUOTA,
    ),
    "a request nobody understands": (
        failing(400, "invalid_request_error", "max_tokens: must be positive"),
        Trouble.UNEXPECTED,
    ),
    "a forbidden page": (html_page(403), Trouble.AUTH),
}


@pytest.mark.parametrize("name", FINAL)
def test_trouble_that_stays_is_told_once_and_the_stream_goes_on(tmp_path: Path, name: str) -> None:
    failing_reply, trouble = FINAL[name]

    async def play(bench: Bench) -> None:
        async with bench.stream("Hello") as stream:
            assert (await stream.result()).text is None
            (failure,) = stream.failures
            assert (failure.trouble, failure.retryable) == (trouble, False)
            stream.query.push(prompt("Again"))
            assert (await stream.result(2)).text == GOOD

    with MessagesApi() as api:
        api.script(failing_reply, answer(GOOD))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert "Hello" in api.requests[1].everything, "nothing of the conversation is lost"
        assert api.refusals == []


def test_endless_overload_ends_with_a_word_to_the_user(tmp_path: Path) -> None:
    api, stream = play_once(tmp_path, *(overloaded(),) * 20)

    assert len(api.requests) == 6
    assert [failure.retryable for failure in stream.failures] == [True] * 5 + [False]
    assert stream.failures[-1].trouble is Trouble.OVERLOADED
    assert [result.text for result in stream.results] == [None]


def test_repeated_overload_leads_to_the_fallback_model(tmp_path: Path) -> None:
    def adjust(bench: Bench) -> None:
        bench.config = RunnerConfig(model=MODEL, fallback_model="haiku")

    api, stream = play_once(tmp_path, *(overloaded(),) * 3, answer(GOOD), adjust=adjust)

    assert stream.results[0].text == GOOD
    assert [request.body["model"] for request in api.requests] == [
        *(MODEL,) * 3,
        "claude-haiku-5-5",
    ]


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("thinking: Extra inputs are not permitted", "thinking"),
        ("system.0.cache_control: Extra inputs are not permitted", "cache_control"),
        ("tools.1: Input tag 'web_fetch_20260318' found using 'type' is unknown", "web_fetch_2026"),
        ("Web search is not enabled for this organization", "web_search_2026"),
    ],
)
def test_what_the_endpoint_does_not_know_is_left_out(tmp_path: Path, words: str, gone: str) -> None:
    api, stream = play_once(
        tmp_path, failing(400, "invalid_request_error", words), answer(GOOD), answer(GOOD)
    )

    assert stream.results[0].text == GOOD
    assert gone.encode() in api.requests[0].raw
    assert gone.encode() not in api.requests[1].raw


def test_the_own_web_fetch_takes_the_place_of_the_servers(tmp_path: Path) -> None:
    def adjust(bench: Bench) -> None:
        bench.toolbox.extra_specs = (spec("web_fetch", read_only=True),)

    words = "tools.1: web_fetch_20260318 is not supported"
    api, stream = play_once(
        tmp_path, failing(400, "invalid_request_error", words), answer(GOOD), adjust=adjust
    )

    assert stream.results[0].text == GOOD
    before, after = (request.body["tools"] for request in api.requests)
    assert [t.get("type") for t in before if t["name"] == "web_fetch"] == ["web_fetch_20260318"]
    assert [t.get("type") for t in after if t["name"] == "web_fetch"] == [None]


def test_a_compatible_endpoint_gets_the_basics_only(tmp_path: Path) -> None:
    def adjust(bench: Bench) -> None:
        bench.config = RunnerConfig(model="local", compat={"endpoint": "compatible"})

    def setup(api: MessagesApi) -> None:
        api.supported_betas = frozenset()

    api, stream = play_once(tmp_path, answer(GOOD), adjust=adjust, setup=setup)

    assert stream.results[0].text == GOOD
    (request,) = api.requests
    assert set(request.body) == {"model", "max_tokens", "system", "tools", "messages", "stream"}
    assert b"cache_control" not in request.raw
    assert not any("type" in tool for tool in request.body["tools"])


def test_thinking_that_does_not_match_is_dropped_once(tmp_path: Path) -> None:
    mismatch = failing(
        400,
        "invalid_request_error",
        "messages.1.content.0: `thinking` block does not match the conversation prefix",
    )
    api, stream = play_once(tmp_path, mismatch, answer(GOOD))

    assert stream.results[0].text == GOOD
    assert "block_binding" not in api.requests[0].body["thinking"]
    binding = api.requests[1].body["thinking"]["block_binding"]
    assert binding == {"prefix_mismatch_behavior": "drop_block"}


def test_a_history_that_stays_refused_makes_the_conversation_invalid(tmp_path: Path) -> None:
    mismatch = failing(
        400,
        "invalid_request_error",
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    )
    _, stream = play_once(tmp_path, mismatch, mismatch)

    assert stream.results == []
    assert isinstance(stream.error, CallError)
    assert stream.provider.is_session_invalid(stream.error)


def test_a_refused_turn_is_taken_out_of_the_history(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        async with bench.stream("First") as stream:
            await stream.result()
            stream.query.push(prompt("Something bad"))
            assert (await stream.result(2)).text is None
            (failure,) = stream.failures
            assert (failure.trouble, failure.shown) == (Trouble.REFUSAL, "not here")
            stream.query.push(prompt("Something good"))
            assert (await stream.result(3)).text == GOOD

    with MessagesApi() as api:
        api.script(answer(think("x"), "one"), refusal("cyber", "not here"), answer(GOOD))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.refusals == []
        assert "Something bad" not in api.requests[2].everything
        assert "declined" in api.requests[2].everything


def test_a_call_that_was_cut_off_is_never_run(tmp_path: Path) -> None:
    cut = {**use("echo", call_id="toolu_cut"), "partial_json": '{"text": "half'}
    broken = replace(answer(cut), stop_reason="max_tokens")

    async def play(bench: Bench) -> None:
        async with bench.stream("Write") as stream:
            assert (await stream.result()).text == GOOD
        assert bench.toolbox.ran == []

    with MessagesApi() as api:
        api.script(broken, answer(GOOD))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert "cut off" in api.requests[1].results["toolu_cut"]
        assert api.refusals == []


def test_a_cut_off_text_is_continued_and_at_last_accepted(tmp_path: Path) -> None:
    cut = answer("and so on", stop_reason="max_tokens")

    api, stream = play_once(tmp_path, *(cut,) * 6)

    assert (stream.results[0].text, stream.results[0].stop_reason) == ("and so on", "max_tokens")
    assert len(api.requests) == 4
    assert "cut off" in api.requests[1].last_text
    assert api.refusals == []


def test_a_paused_turn_is_resumed_with_nothing_added(tmp_path: Path) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    api, stream = play_once(tmp_path, answer(search, stop_reason="pause_turn"), answer(GOOD))

    assert stream.results[0].text == GOOD
    assert api.requests[1].messages[-1] == {"role": "assistant", "content": [search]}
    assert api.refusals == []


def test_arguments_that_are_no_json_are_answered_with_an_error(tmp_path: Path) -> None:
    broken = {**use("echo", call_id="toolu_b"), "partial_json": '{"text": '}
    api, stream = play_once(tmp_path, answer(broken), answer(GOOD))

    assert stream.results[0].text == GOOD
    assert "no valid JSON" in api.requests[1].results["toolu_b"]


def test_a_prompt_that_is_too_long_is_compacted_and_sent_once_more(tmp_path: Path) -> None:
    too_long = failing(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000")

    async def play(bench: Bench) -> None:
        async with bench.stream("First") as stream:
            await stream.result()
            stream.query.push(prompt("Second"))
            assert (await stream.result(2)).text == GOOD
            assert any(isinstance(event, Compacted) for event in stream.events)

    with MessagesApi() as api:
        api.script(answer("one"), too_long, answer(GOOD))
        asyncio.run(play(Bench(tmp_path, api.url)))
        assert api.refusals == []
        last = api.requests[-1]
        assert last.messages[0]["content"][0]["type"] == "compaction"
        assert "Second" in last.everything


def test_a_prompt_that_stays_too_long_is_told(tmp_path: Path) -> None:
    too_long = failing(413, "request_too_large", "Request too large")
    api, stream = play_once(tmp_path, *(too_long,) * 3)

    assert stream.failures[-1].trouble is Trouble.TOO_LARGE
    assert [result.text for result in stream.results] == [None]
    assert len(api.requests) <= 3


def test_halves_of_characters_are_no_danger(tmp_path: Path) -> None:
    api, stream = play_once(
        tmp_path, answer(use("echo", text="a\ud83d b"), say("x\udc00y")), to("family", GOOD)
    )

    assert GOOD in str(stream.results[0].text)
    assert "\ufffd" in api.requests[1].everything

"""The protocol of R-186 to R-195, kept by the scripted provider; no process needed."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from runner.errors import ProviderError, QueryEndedError, Trouble
from runner.providers.base import Event, Failure, Init, Progress, Prompt, QueryInput, Result
from runner.providers.script import parse_script
from runner.providers.scripted import ScriptedProvider, ScriptedQuery

HANG = [{"match": "slow", "steps": [{"say": "lost"}, {"hang": True}]}]


def prompt(words: str) -> Prompt:
    return Prompt(text=f"<message>{words}</message>", words=words)


def play(
    folder: Path,
    words: str,
    act: Callable[[ScriptedQuery, Callable[[], Awaitable[Event]]], Awaitable[None]],
    *,
    rules: object = None,
    continuation: str | None = None,
) -> None:
    """Opens a query and hands it to ``act`` with a function that gives the next real event."""

    async def run() -> None:
        provider = ScriptedProvider(parse_script(rules), folder / "scripted.json")
        query = provider.query(QueryInput(prompt(words), continuation, folder))
        events = query.events()

        async def following() -> Event:
            while True:
                event = await anext(events)
                if isinstance(event, Init | Result | Failure | Progress):
                    return event

        async with asyncio.timeout(5):
            await act(query, following)
        await provider.close()

    asyncio.run(run())


Next = Callable[[], Awaitable[Event]]


def test_conversation_is_named_before_the_first_result(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        first, second = await following(), await following()
        assert isinstance(first, Init)
        assert second == Result("You said: hello", covers=0, bare_ok=True)

    play(tmp_path, "hello", act)


def test_each_pushed_input_gets_its_result_also_after_the_end(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        tickets = [query.push(prompt("two")), query.push(prompt("three"))]
        query.end()
        events = [await following() for _ in range(4)]
        assert tickets == [1, 2]
        assert [event.covers for event in events if isinstance(event, Result)] == [0, 1, 2]
        with pytest.raises(StopAsyncIteration):
            await following()
        with pytest.raises(QueryEndedError):
            query.push(prompt("late"))

    play(tmp_path, "one", act)


def test_push_wakes_a_stream_that_rests(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        await following()
        waiting = asyncio.ensure_future(following())
        await asyncio.sleep(0)
        ticket = query.push(prompt("two"))
        assert await waiting == Result("You said: two", covers=ticket, bare_ok=True)

    play(tmp_path, "one", act)


def test_interrupted_turn_has_a_result_without_text_and_the_stream_goes_on(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        waiting = asyncio.ensure_future(following())
        await asyncio.sleep(0)
        query.interrupt()
        assert await waiting == Result(None, 0, "interrupted")
        query.push(prompt("two"))
        assert await following() == Result("You said: two", covers=1, bare_ok=True)

    play(tmp_path, "slow", act, rules=HANG)


def test_nothing_comes_after_an_abort(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        waiting = asyncio.ensure_future(following())
        await asyncio.sleep(0)
        query.abort()
        with pytest.raises(StopAsyncIteration):
            await waiting

    play(tmp_path, "slow", act, rules=HANG)


def test_absorbed_input_is_covered_by_the_running_turn(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        waiting = asyncio.ensure_future(following())
        await asyncio.sleep(0)
        query.push(prompt("two"))
        assert await waiting == Result("one\ntwo", covers=1, bare_ok=True)

    play(tmp_path, "one", act, rules=[{"steps": [{"absorb": 1}, {"say": "{text}"}]}])


def test_error_event_is_followed_by_a_result_without_text(tmp_path: Path) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        assert await following() == Progress("trying")
        failure = await following()
        assert isinstance(failure, Failure)
        assert (failure.trouble, failure.retryable) == (Trouble.AUTH, False)
        assert await following() == Result(None, covers=0)

    play(tmp_path, "x", act, rules=[{"steps": [{"progress": "trying"}, {"error": "auth"}]}])


@pytest.mark.parametrize(("step", "invalid"), [("raise", False), ("session_invalid", True)])
def test_raised_error_ends_the_stream(tmp_path: Path, step: str, invalid: bool) -> None:
    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        with pytest.raises(ProviderError) as caught:
            await following()
        provider = ScriptedProvider(parse_script(None), tmp_path / "x")
        assert provider.is_session_invalid(caught.value) is invalid

    play(tmp_path, "x", act, rules=[{"steps": [{step: "why"}]}])


def test_turns_are_counted_per_conversation_and_over_restarts(tmp_path: Path) -> None:
    rules = [{"steps": [{"say": "{count} {text} {other}"}]}]
    said: list[Event] = []
    handles: list[str] = []

    async def act(query: ScriptedQuery, following: Next) -> None:
        init = await following()
        assert isinstance(init, Init)
        handles.append(init.continuation)
        said.append(await following())

    play(tmp_path, "x", act, rules=rules)
    play(tmp_path, "x", act, rules=rules, continuation=handles[0])
    play(tmp_path, "x", act, rules=rules)

    texts = [event.text for event in said if isinstance(event, Result)]
    assert texts == ["1 x {other}", "2 x {other}", "1 x {other}"]
    assert handles[0] == handles[1] != handles[2]


def test_damaged_memory_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "scripted.json").write_bytes(b'{"used": {"0": "x", "y": 1}, "turns": "\xff')

    async def act(query: ScriptedQuery, following: Next) -> None:
        await following()
        assert await following() == Result("You said: hello", covers=0, bare_ok=True)

    play(tmp_path, "hello", act)

import asyncio

import pytest

from runner.errors import GiveUpError
from runner.toolbox.together import side_by_side


async def after(event: asyncio.Event, value: int) -> int:
    await event.wait()
    return value


def test_results_keep_the_order_of_the_jobs() -> None:
    async def scene() -> list[int]:
        first, second = asyncio.Event(), asyncio.Event()
        second.set()
        asyncio.get_running_loop().call_soon(first.set)
        return await side_by_side([after(first, 1), after(second, 2)])

    assert asyncio.run(scene()) == [1, 2]


def test_an_error_is_raised_bare_when_the_others_have_ended() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("wait")

    async def fail() -> None:
        raise GiveUpError

    with pytest.raises(GiveUpError):
        asyncio.run(side_by_side([wait(), fail()]))
    assert ended == ["wait"]


def test_cancellation_is_passed_on() -> None:
    async def scene() -> bool:
        task = asyncio.ensure_future(side_by_side([after(asyncio.Event(), 1)]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(scene())

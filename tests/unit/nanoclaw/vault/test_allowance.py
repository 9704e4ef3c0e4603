"""Memory for bodies is shared, and waited for, but not for ever."""

import asyncio

import pytest

from nanoclaw.vault.allowance import Allowance


def test_whoever_finds_too_little_waits_for_what_is_given_back() -> None:
    async def run() -> list[str]:
        allowance = Allowance(10, 10)
        order: list[str] = []
        taken, finish = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with allowance.hold("one", 8, 1):
                order.append("first")
                taken.set()
                await finish.wait()

        async def second() -> None:
            await taken.wait()
            async with allowance.hold("one", 2, 1):
                order.append("small")
            finish.set()
            async with allowance.hold("one", 10, 10):
                order.append("large")

        await asyncio.gather(first(), second())
        assert allowance.left == 10
        return order

    assert asyncio.run(run()) == ["first", "small", "large"]


def test_nothing_is_lost_when_a_waiter_gives_up() -> None:
    async def run() -> None:
        allowance = Allowance(10, 10)
        async with allowance.hold("one", 10, 1):
            with pytest.raises(TimeoutError):
                async with allowance.hold("one", 1, 0.01):
                    raise AssertionError("there is nothing left")
        assert allowance.left == 10
        async with allowance.hold("one", 10, 1):
            assert allowance.left == 0

    asyncio.run(run())


def test_one_owner_waits_for_itself_and_keeps_nobody_else_waiting() -> None:
    async def run() -> None:
        allowance = Allowance(10, 4)
        async with allowance.hold("slow", 3, 1):
            with pytest.raises(TimeoutError):
                async with allowance.hold("slow", 2, 0.01):
                    raise AssertionError("its share is used up")
            async with allowance.hold("slow", 1, 1), allowance.hold("other", 4, 1):
                assert allowance.left == 2
        async with allowance.hold("slow", 4, 1):
            assert allowance.left == 6

    asyncio.run(run())

"""Memory for bodies is shared, and waited for, but not for ever."""

import asyncio

import pytest

from nanoclaw.vault.allowance import Allowance


def test_whoever_finds_too_little_waits_for_what_is_given_back() -> None:
    async def run() -> list[str]:
        allowance = Allowance(10)
        order: list[str] = []
        taken, finish = asyncio.Event(), asyncio.Event()

        async def first() -> None:
            async with allowance.hold(8, 1):
                order.append("first")
                taken.set()
                await finish.wait()

        async def second() -> None:
            await taken.wait()
            async with allowance.hold(2, 1):
                order.append("small")
            finish.set()
            async with allowance.hold(10, 10):
                order.append("large")

        await asyncio.gather(first(), second())
        assert allowance.left == 10
        return order

    assert asyncio.run(run()) == ["first", "small", "large"]


def test_nothing_is_lost_when_a_waiter_gives_up() -> None:
    async def run() -> None:
        allowance = Allowance(10)
        async with allowance.hold(10, 1):
            with pytest.raises(TimeoutError):
                async with allowance.hold(1, 0.01):
                    raise AssertionError("there is nothing left")
        assert allowance.left == 10
        async with allowance.hold(10, 1):
            assert allowance.left == 0

    asyncio.run(run())

"""A common amount that many may hold parts of: here the memory for request bodies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Allowance:
    """``total`` units; whoever finds too few left waits."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._freed = asyncio.Condition()

    @property
    def left(self) -> int:
        return self._left

    @asynccontextmanager
    async def hold(self, amount: int, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError when that much does not become free in time."""
        async with asyncio.timeout(seconds), self._freed:
            await self._freed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            self._left += amount
            async with self._freed:
                self._freed.notify_all()

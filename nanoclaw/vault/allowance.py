"""A common amount that many may hold parts of: here the memory for request bodies."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Allowance:
    """``total`` units; whoever finds too few left waits. One owner holds at most ``share``, so
    that one who takes them and is slow keeps only himself waiting."""

    def __init__(self, total: int, share: int) -> None:
        self._left = total
        self._share = share
        self._held: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @property
    def left(self) -> int:
        return self._left

    @asynccontextmanager
    async def hold(self, owner: str, amount: int, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError when that much does not become free in time."""
        async with asyncio.timeout(seconds), self._freed:
            await self._freed.wait_for(lambda: self._is_free(owner, amount))
            self._left -= amount
            self._held[owner] += amount
        try:
            yield
        finally:
            self._left += amount
            self._held[owner] -= amount
            if not self._held[owner]:
                del self._held[owner]
            async with self._freed:
                self._freed.notify_all()

    def _is_free(self, owner: str, amount: int) -> bool:
        return self._left >= amount and self._share - self._held[owner] >= amount

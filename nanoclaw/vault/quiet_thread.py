"""A thread for what would hold up the event loop, one call after the other.

Used by ``planning``, ``oauth`` and ``leak_guard`` for the secret store, whose keyring may take
seconds and which is not for several threads at once. Whoever asked may go away: the call ends by
itself and the next one begins only then.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class QuietThread:
    """Nothing runs before the first call."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Does not wait."""
        self._thread.shutdown(wait=False)

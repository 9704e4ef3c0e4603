"""Runs several coroutines side by side and fails like one of them.

A TaskGroup wraps what its tasks raise; an error that has to end the process (``ENDS_THE_PROCESS``)
would then pass by everybody who waits for it by its class. Used by ``box`` and for sub-agents.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

_T = TypeVar("_T")


async def side_by_side(jobs: Iterable[Coroutine[object, object, _T]]) -> list[_T]:
    """Results in the order of the jobs. The first error ends the other jobs, and is raised bare
    when they have ended; so does cancellation."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

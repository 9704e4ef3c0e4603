"""Lets the scripts of tasks run beside everything else, and says which tasks passed.

Used by the loop, which has claimed the rows and goes on meanwhile; imported when the first task
with a script comes. A script that says "no" settles its row; one that fails is counted in
``session_state``, and from the third time in a row the agent is told instead (R-104).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from contract.content import TaskIn
from contract.killpoint import reached
from runner.change import Change
from runner.gate.decide import (
    WAKE_AFTER_FAILURES,
    Broken,
    ScriptRun,
    StayAsleep,
    WakeAgent,
    failure_note,
    judge,
)
from runner.gate.script import Surroundings, run_script
from runner.incoming import Incoming
from runner.log import fields
from runner.prompt import SCRIPT_OUTPUT
from runner.store import Store
from runner.turn.beat import Beat, Holder

_log = logging.getLogger(__name__)

AT_ONCE = 4
LOGGED = 500


@dataclass(slots=True)
class _Group:
    """Rows that go on together: tasks, and context that waits with them."""

    items: tuple[Incoming, ...]
    omitted: int


class GateDesk:
    """``ring`` wakes the loop when a group is through."""

    def __init__(
        self, store: Store, beat: Beat, surroundings: Surroundings, ring: Callable[[], None]
    ) -> None:
        self._store = store
        self._beat = beat
        self._around = surroundings
        self._ring = ring
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._passed: list[_Group] = []
        self._failed: list[tuple[Exception, tuple[Incoming, ...]]] = []

    @property
    def busy(self) -> bool:
        return bool(self._tasks or self._passed or self._failed)

    def start(self, items: tuple[Incoming, ...], omitted: int) -> None:
        """``items`` are claimed; ``passed`` gives back those of them that the agent is to see."""
        self._beat.hold(Holder.GATE)
        group = _Group(items, omitted)
        task = asyncio.create_task(self._let_through(group))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._on_done(done, group))

    def passed(self) -> tuple[tuple[Incoming, ...], int]:
        """What is through, once: the rows in their order and the count of omitted ones."""
        groups, self._passed = self._passed, []
        items = sorted((i for g in groups for i in g.items), key=lambda item: item.row.seq)
        return tuple(items), sum(group.omitted for group in groups)

    def failed(self) -> list[tuple[Exception, tuple[Incoming, ...]]]:
        """What went wrong on our side, once, and the rows that are still claimed for it."""
        failed, self._failed = self._failed, []
        return failed

    async def close(self) -> None:
        """Scripts end with us; claims stay, for the next container."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _on_done(self, task: asyncio.Task[None], group: _Group) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._failed.append((error, group.items))
        if not self._tasks:
            self._beat.drop(Holder.GATE)
        self._ring()

    async def _let_through(self, group: _Group) -> None:
        judged = await asyncio.gather(*(self._judge(item) for item in group.items))
        kept = tuple(item for item in judged if item is not None)
        if any(item.row.trigger for item in kept):
            self._passed.append(_Group(kept, group.omitted))
        elif kept:
            # Context alone wakes nobody: it waits for the next message.
            await self._store.apply(Change(release=tuple(item.row.id for item in kept)))

    async def _judge(self, item: Incoming) -> Incoming | None:
        """The row as the agent is to see it, or None when it is settled."""
        script = item.script
        if script is None:
            return item
        async with self._slots:
            run = await run_script(script, self._around)
        self._beat.note_sign()
        if run.errors.strip():
            _log.info("script", extra=fields(message=item.row.id, reason=run.errors[:LOGGED]))
        key = f"script_failures:{item.row.series_id}"
        before = _count((await self._store.state([key])).get(key))
        forget = ((key, None),) if before else ()
        match judge(run):
            case WakeAgent(data):
                if forget:
                    await self._store.apply(Change(state=forget))
                return replace(item, content=_with_output(item, data))
            case StayAsleep():
                await self._settle(item, Change(state=forget), "agent not needed")
            case Broken() as broken if before + 1 >= WAKE_AFTER_FAILURES:
                _log.warning("script failed", extra=fields(message=item.row.id, count=before + 1))
                return _failed(item, broken, run, before + 1)
            case Broken(error):
                count = Change(state=((key, str(before + 1)),))
                await self._settle(item, count, f"script failed: {error}")
        return None

    async def _settle(self, item: Incoming, change: Change, reason: str) -> None:
        _log.info("task passed over", extra=fields(message=item.row.id, reason=reason))
        await self._store.apply(replace(change, complete=(item.row.id,)))
        reached("runner.gated")


def _with_output(item: Incoming, data: object) -> TaskIn:
    assert isinstance(item.content, TaskIn)
    return replace(item.content, extra={**item.content.extra, SCRIPT_OUTPUT: data})


def _failed(item: Incoming, broken: Broken, run: ScriptRun, failures: int) -> Incoming:
    note = failure_note(item.row.series_id, broken, run, failures)
    counter = f"script_failures:{item.row.series_id}"
    return replace(item, notes=(note,), silent=True, on_settled=((counter, None),))


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0

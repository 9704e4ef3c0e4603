"""Answers to questions and requests that arrive as ``system`` rows (R-98, R-172).

Asked by the loop, seldom: whoever waits in this process takes its answer itself. A late answer
to a question becomes a message for the agent; an answer that nobody has fetched within a minute
is acknowledged, so that it does not stay for ever.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from contract.clock import utc_now
from contract.content import CliResponse, QuestionResponse, UnknownIn
from contract.inbound.row import InboundRow
from runner.change import Change
from runner.incoming import Incoming, read_incoming
from runner.log import fields
from runner.store import Store
from runner.turn.current import DeskView

_log = logging.getLogger(__name__)

FETCHED_WITHIN = timedelta(seconds=60)
LOOK_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 5.0
MAX_AT_ONCE = 20

_Stamp = tuple[int, int, int] | None


class SystemRows:
    """``clock`` is monotonic."""

    def __init__(
        self, store: Store, desk: DeskView | None, inbound: Path, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._desk = desk
        self._inbound = inbound
        self._clock = clock
        self._stamp: _Stamp = None
        self._looked_at = -LOOK_SECONDS
        self._left = False

    def wait_seconds(self) -> float | None:
        """When to look again; None: a change of the file will tell."""
        passed = self._clock() - self._looked_at
        if self._left:
            return max(LOOK_AGAIN_SECONDS - passed, 0.0)
        return max(LOOK_SECONDS - passed, 0.0) if _stamp(self._inbound) != self._stamp else None

    async def late_answers(self) -> tuple[InboundRow, ...]:
        """Rows for the agent's next turn; claims nothing. Looks only when it is time to."""
        wait = self.wait_seconds()
        if wait is None or wait > 0:
            return ()
        self._stamp = _stamp(self._inbound)
        self._looked_at = self._clock()
        items = read_incoming(await self._store.system_rows())
        now = utc_now()
        elsewhere = await self._awaited_elsewhere(items, now)
        late = [item.row for item in items if self._is_late_answer(item, elsewhere)]
        others = [item for item in items if item.row not in late]
        abandoned = [item.row for item in others if self._is_abandoned(item, elsewhere, now)]
        if abandoned:
            _log.info("nobody waits for these answers", extra=fields(count=len(abandoned)))
            await self._store.apply(Change(complete=tuple(row.id for row in abandoned)))
        self._left = len(abandoned) < len(others) or len(late) > 0
        return tuple(late[:MAX_AT_ONCE])

    async def _awaited_elsewhere(
        self, items: tuple[Incoming, ...], now: datetime
    ) -> frozenset[str]:
        """Questions for which a tool server in another process waits (R-171)."""
        if not any(isinstance(item.content, QuestionResponse) for item in items):
            return frozenset()
        # Imported late: most sessions never ask anything.
        from runner.desk.questions import QUESTIONS_KEY, parse_questions

        known = (await self._store.state([QUESTIONS_KEY])).get(QUESTIONS_KEY)
        return frozenset(q.id for q in parse_questions(known) if q.is_awaited_elsewhere(now))

    def _is_late_answer(self, item: Incoming, elsewhere: frozenset[str]) -> bool:
        """Only with a desk: it alone knows that nobody waits any more."""
        content = item.content
        return (
            self._desk is not None
            and isinstance(content, QuestionResponse)
            and content.question_id not in elsewhere
            and not self._desk.awaits(content.question_id)
        )

    def _is_abandoned(self, item: Incoming, elsewhere: frozenset[str], now: datetime) -> bool:
        key = _key(item.content)
        if key is not None and (key in elsewhere or self._is_awaited(key)):
            return False
        moment = item.row.timestamp
        return moment is None or now - moment >= FETCHED_WITHIN

    def _is_awaited(self, key: str) -> bool:
        return self._desk is not None and self._desk.awaits(key)


def _key(content: object) -> str | None:
    match content:
        case QuestionResponse(question_id=key) | CliResponse(request_id=key):
            return key
        case UnknownIn(extra=extra):
            found = extra.get("questionId") or extra.get("requestId")
            return found if isinstance(found, str) else None
    return None


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)

"""Chooses the rows of one batch (R-37 to R-43). Pure: candidates and a query in, ids out.

The reference limited first and filtered afterwards, newest first, so that backlogs stalled and
ran backwards (W-24). Here: filter, then the oldest waking rows, then the newest context before
them; what is passed over is named, so that it can be acknowledged and counted.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from contract.clock import parse_text
from contract.inbound.row import MessageKind


@dataclass(frozen=True, slots=True)
class PendingQuery:
    """``acked_ids``: every id that has an acknowledgement in ``outbound.db``, of any status."""

    now: datetime
    limit: int
    first_poll: bool = False
    acked_ids: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending row without its content."""

    seq: int
    id: str
    kind: str
    trigger: bool
    on_wake: bool
    process_after: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """``ids`` in the order of their numbers; see PendingBatch for the rest."""

    ids: tuple[str, ...]
    omitted: tuple[str, ...]
    more: bool
    next_due_at: datetime | None


def select_batch(candidates: Iterable[Candidate], query: PendingQuery) -> Selection:
    """Nothing is selected unless a row that wakes the agent is due."""
    due, next_due_at = _due(candidates, query)
    forced = [row for row in due if row.on_wake]
    waking = [row for row in due if row.trigger and not row.on_wake]
    taken = forced + waking[: max(query.limit - len(forced), 0)]
    left_over = len(forced) + len(waking) - len(taken)
    top = max((row.seq for row in taken if row.trigger), default=None)
    if top is None:
        return Selection((), (), more=False, next_due_at=next_due_at)
    context = [row for row in due if not row.trigger and not row.on_wake and row.seq < top]
    places = max(query.limit - len(taken), 0)
    cut = max(len(context) - places, 0)
    chosen = sorted(taken + context[cut:], key=lambda row: row.seq)
    return Selection(
        ids=tuple(row.id for row in chosen),
        omitted=tuple(row.id for row in context[:cut]),
        more=left_over > 0,
        next_due_at=next_due_at,
    )


def _due(
    candidates: Iterable[Candidate], query: PendingQuery
) -> tuple[list[Candidate], datetime | None]:
    """Rows the agent may see now, by number, and the next moment another waking one joins."""
    due: list[Candidate] = []
    later: list[datetime] = []
    for row in sorted(candidates, key=lambda row: row.seq):
        if row.kind == MessageKind.SYSTEM or row.id in query.acked_ids:
            continue
        if row.on_wake and not query.first_poll:
            continue
        moment = parse_text(row.process_after)
        if row.process_after is None or (moment is not None and moment <= query.now):
            due.append(row)
        elif moment is not None and row.trigger:
            later.append(moment)
    return due, min(later, default=None)

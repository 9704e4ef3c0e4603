"""What a batch means that was perhaps seen before (R-291). Pure.

The host delivers rows again whose claims were released, so a batch after a restart can be the one
of the turn that was cut off. Asked by the engine before it appends an input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from runner.providers.claude.conversation import FinalAnswer, Turn
from runner.providers.claude.records import TurnStatus

INTERRUPTED_NOTE = (
    "The previous attempt to answer the last messages was interrupted, so you may have done part of"
    " the work already. Check what is done (files, sent messages, tasks) before you continue, and"
    " do not send anything twice."
)
OVERLAP_NOTE = (
    "Some of these messages were delivered to you before, in an attempt that was interrupted. Check"
    " what you have already done and said for them, and do not send anything twice."
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Append it."""


@dataclass(frozen=True, slots=True)
class AlreadyAnswered:
    """Do not append it and do not ask the model: emit this as the Result."""

    final: FinalAnswer


@dataclass(frozen=True, slots=True)
class Interrupted:
    """It is in the history without an answer: append only the note, and go on."""

    note: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Part of it is new: emit ``final`` as Said if there is one, append the batch and the note."""

    final: FinalAnswer | None
    note: str


Redelivery = Fresh | AlreadyAnswered | Interrupted | Overlap


def decide_redelivery(ids: Sequence[str], turns: Sequence[Turn]) -> Redelivery:
    """``turns`` are the conversation's, oldest first. Without ids (a nudge) it is fresh."""
    wanted = frozenset(ids)
    if not wanted or not turns:
        return Fresh()
    for turn in reversed(turns):
        if turn.final is not None and wanted <= frozenset(turn.inbound_ids):
            return AlreadyAnswered(turn.final)
    last = turns[-1]
    seen = wanted & frozenset(last.inbound_ids)
    if not seen or last.status in (TurnStatus.REFUSED, TurnStatus.STOPPED):
        return Fresh()
    if seen == wanted and last.final is None:
        return Interrupted(INTERRUPTED_NOTE)
    return Overlap(last.final, OVERLAP_NOTE)

"""Decides about tasks: whether a request is sound, and what follows when a run has ended.

Pure; called by ``tasks.requests`` and ``tasks.keeper`` with facts they have read. Refusals carry
words for the agent. A failed run never ends its series (H-256, W-25).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TypeVar

from contract.actions import ScheduleTask, UpdateTask
from contract.errors import BadContent
from contract.inbound.row import InboundRow, InboundStatus
from contract.recurrence import check_recurrence
from contract.shape import Unset
from contract.zoned import parse_zoned
from nanoclaw.tasks.recurrence import latest_missed, next_after, parse_recurrence

MAX_AHEAD = timedelta(days=5 * 366)
MAX_LIVE_SERIES = 200
"""Of one agent group; whoever needs more has lost track."""
MAX_PROMPT_BYTES = 64 * 1024
MAX_MADE_UP = 100
"""Missed runs that the policy ``all`` makes up."""
LATE_AFTER = timedelta(minutes=10)
"""With the policy ``skip`` a time that passed so long ago is not run; less is mere waiting."""
ALERT_AFTER_FAILURES = 3

_Word = TypeVar("_Word", bound=StrEnum)

_TASK_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


class CatchUp(StrEnum):
    """What happens with times that passed while nothing could run."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


class TaskContext(StrEnum):
    """``group``: the session that asked; ``isolated``: one of its own."""

    GROUP = "group"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True)
class Refused:
    """Words for the agent."""

    text: str


@dataclass(frozen=True, slots=True)
class SoundTask:
    """A request that can be carried out as it is."""

    task_id: str
    prompt: str
    script: str | None
    first_at: datetime
    recurrence: str | None
    tz: str | None
    catch_up: CatchUp
    isolated: bool


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """``zone`` is the one the request names, or the installation's; None when it names no zone
    that exists."""

    now: datetime
    zone: tzinfo | None
    live_series: int


def decide_schedule(action: ScheduleTask, facts: ScheduleFacts) -> SoundTask | Refused:
    """H-248, with every error told."""
    if facts.zone is None:
        return Refused(f"{str(action.tz)[:100]!r} is not an IANA time zone such as Europe/Berlin")
    if not _TASK_ID.fullmatch(action.task_id):
        return Refused("a task's id is made of at most 128 letters, digits and . _ : -")
    if facts.live_series >= MAX_LIVE_SERIES:
        return Refused(f"there are {facts.live_series} live tasks already; cancel some first")
    catch_up = _word(CatchUp, action.catch_up, CatchUp.LATEST)
    context = _word(TaskContext, action.context, TaskContext.GROUP)
    if catch_up is None or context is None:
        return Refused("catchUp is latest, all or skip; context is group or isolated")
    wrong = _wrong_text(action.prompt, "prompt") or _wrong_text(action.script or "", "script")
    if wrong or not action.prompt.strip():
        return Refused(wrong or "the prompt is empty")
    first_at = _moment(action.process_after, facts.now, facts.zone)
    if isinstance(first_at, Refused):
        return first_at
    recurrence = _recurrence(action.recurrence)
    if isinstance(recurrence, Refused):
        return recurrence
    return SoundTask(
        task_id=action.task_id,
        prompt=action.prompt,
        script=action.script or None,
        first_at=first_at,
        recurrence=recurrence,
        tz=action.tz or None,
        catch_up=catch_up,
        isolated=context is TaskContext.ISOLATED,
    )


@dataclass(frozen=True, slots=True)
class SoundChange:
    """Fields of ``update_task``; a ``*_given`` False leaves the column as it is."""

    prompt: str | None
    script: str | None
    script_given: bool
    process_after: datetime | None
    recurrence: str | None
    recurrence_given: bool


def decide_update(action: UpdateTask, now: datetime, zone: tzinfo) -> SoundChange | Refused:
    """H-252: only fields of the right type count, and only those given change anything."""
    prompt = None if isinstance(action.prompt, Unset) else action.prompt
    script = None if isinstance(action.script, Unset) else action.script or None
    wrong = _wrong_text(prompt or "", "prompt") or _wrong_text(script or "", "script")
    if wrong or (prompt is not None and not prompt.strip()):
        return Refused(wrong or "the prompt is empty")
    moment: datetime | None = None
    if not isinstance(action.process_after, Unset):
        found = _moment(action.process_after, now, zone)
        if isinstance(found, Refused):
            return found
        moment = found
    given = not isinstance(action.recurrence, Unset)
    recurrence = _recurrence(None if isinstance(action.recurrence, Unset) else action.recurrence)
    if isinstance(recurrence, Refused):
        return recurrence
    return SoundChange(
        prompt=prompt,
        script=script,
        script_given=not isinstance(action.script, Unset),
        process_after=moment,
        recurrence=recurrence,
        recurrence_given=given,
    )


def _word(kind: type[_Word], text: str | None, default: _Word) -> _Word | None:
    if not text:
        return default
    try:
        return kind(text)
    except ValueError:
        return None


def _wrong_text(text: str, name: str) -> str | None:
    size = len(text.encode("utf-8", "replace"))
    return f"the {name} is over {MAX_PROMPT_BYTES} bytes" if size > MAX_PROMPT_BYTES else None


def _moment(text: str, now: datetime, zone: tzinfo) -> datetime | Refused:
    moment = parse_zoned(text, zone)
    if moment is None:
        return Refused(
            f"processAfter {text[:100]!r} is not a time; write it like 2026-01-15T09:00, or with "
            "Z or an offset at the end"
        )
    if moment - now > MAX_AHEAD:
        return Refused("processAfter is more than five years ahead")
    return moment


def _recurrence(text: str | None) -> str | Refused | None:
    """Blank is none (H-255)."""
    if text is None or not text.strip():
        return None
    try:
        return check_recurrence(text)
    except BadContent as error:
        return Refused(f"recurrence {text[:100]!r}: {error}")


# --- after a run ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A row that is over. ``due_at`` is when it was meant to run, before any retry."""

    now: datetime
    row: InboundRow
    due_at: datetime | None
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Successor:
    """``missed`` times between the two were left out."""

    at: datetime
    missed: int = 0


@dataclass(frozen=True, slots=True)
class SeriesEnds:
    """No further run. ``text`` None: as it was meant to be."""

    text: str | None = None


SuccessorDecision = Successor | SeriesEnds


def decide_successor(facts: RunFacts) -> SuccessorDecision:
    """H-253 with the row's catch-up policy: ``all`` makes missed times up one after the other,
    the others go on with the next one to come."""
    text = facts.row.recurrence
    if text is None:
        return SeriesEnds()
    try:
        recurrence = parse_recurrence(text)
    except BadContent as error:
        return SeriesEnds(f"its recurrence {text[:100]!r} cannot be read: {error}")
    if recurrence is None:
        return SeriesEnds()
    due = facts.due_at or facts.now
    missed: tuple[datetime, ...] = ()
    if due < facts.now:
        missed = latest_missed(recurrence, due, facts.now, facts.zone, MAX_MADE_UP)
    if missed and _catch_up(facts.row) is CatchUp.ALL:
        return Successor(missed[0])
    coming = next_after(recurrence, max(due, facts.now), due, facts.zone)
    if coming is None:
        return SeriesEnds(f"its recurrence {text[:100]!r} never comes again")
    return Successor(coming, len(missed))


def decide_skip(facts: RunFacts) -> Successor | SeriesEnds | None:
    """For a waiting row with the policy ``skip``: when it runs instead. None: it is not late.

    Late is what its own time says: a run that failed and is tried again has been moved on, and was
    not missed.
    """
    waits_since = facts.row.process_after or facts.due_at
    if waits_since is None or facts.now - waits_since < LATE_AFTER:
        return None
    return decide_successor(facts)


def _catch_up(row: InboundRow) -> CatchUp:
    try:
        return CatchUp(row.catch_up or CatchUp.LATEST)
    except ValueError:
        return CatchUp.LATEST


@dataclass(frozen=True, slots=True)
class FailureCount:
    """``alert``: somebody is told, once per row of failures."""

    failures: int
    alert: bool


def count_failures(status: InboundStatus, earlier: int) -> FailureCount:
    if status is not InboundStatus.FAILED:
        return FailureCount(0, alert=False)
    return FailureCount(earlier + 1, alert=earlier + 1 == ALERT_AFTER_FAILURES)

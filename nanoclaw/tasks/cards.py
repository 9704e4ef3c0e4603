"""What a person is shown before a task is scheduled, changed or resumed: all of it (W-6). Pure.

Used by ``schedule`` and ``change`` for turns that have read content from outside. Prompt and script
are what the agent would be told to do later, so they stand there line by line; a change is shown
together with the task as it is.
"""

from datetime import datetime

from contract.content import MAX_INBOUND_BYTES
from contract.errors import BadContent
from contract.inbound.row import InboundRow
from contract.jsontext import parse_object
from nanoclaw.approvals import cards
from nanoclaw.policy.taint import describe
from nanoclaw.tasks.decide import SoundChange, SoundTask


def schedule_card(agent: str, taint: str | None, task: SoundTask) -> str:
    return cards.body(
        [
            *_wish(f"{cards.shown(agent)} wants to schedule a task.", taint),
            f"first: {_moment(task.first_at)}",
            _zone(task.tz),
            _repeats(task.recurrence),
            *cards.block("prompt", task.prompt),
            *cards.block("script that runs first", task.script or ""),
        ]
    )


def update_card(agent: str, taint: str | None, row: InboundRow, change: SoundChange) -> str:
    """``row`` is the task as it is."""
    lines = _wish(f"{cards.shown(agent)} wants to change a task.", taint)
    if change.prompt is not None:
        lines += cards.block("new prompt", change.prompt)
    if change.script_given:
        lines += cards.block("new script", change.script or "")
    if change.process_after is not None:
        lines.append(f"new time: {_moment(change.process_after)}")
    if change.recurrence_given:
        lines.append(f"from then on, {_repeats(change.recurrence)}")
    return cards.body([*lines, "", "As it is now:", *_as_it_is(row)])


def resume_card(agent: str, taint: str | None, row: InboundRow) -> str:
    lines = _wish(f"{cards.shown(agent)} wants to resume a task.", taint)
    return cards.body([*lines, *_as_it_is(row)])


def _wish(what: str, taint: str | None) -> list[str]:
    return [f"{what} The wish arose while it was reading {cards.shown(describe(taint))}."]


def _as_it_is(row: InboundRow) -> list[str]:
    try:
        content = parse_object(row.content, max_bytes=MAX_INBOUND_BYTES)
    except BadContent:
        content = {"prompt": row.content}
    return [
        f"task: {cards.code(row.series_id)}",
        f"next: {_moment(row.process_after)}",
        _zone(row.tz),
        _repeats(row.recurrence),
        *cards.block("prompt", str(content.get("prompt") or "")),
        *cards.block("script that runs first", str(content.get("script") or "")),
    ]


def _moment(moment: datetime | None) -> str:
    return moment.isoformat(timespec="minutes") if moment is not None else "at once"


def _zone(name: str | None) -> str:
    return f"time zone: {cards.code(name)}" if name else "time zone: this installation's"


def _repeats(recurrence: str | None) -> str:
    return f"repeats: {cards.code(recurrence)}" if recurrence else "repeats: no"

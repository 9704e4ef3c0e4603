"""Decides how a long backlog of one chat is shortened after an outage (C-39).

Pure. The first twenty messages go out as they are; the later ones, as far as they are plain text
that no attempt has been made for, are joined into as few messages as the platform's limit allows.
A message that was offered to a channel before is left alone: its parts are in the channel's journal
(C-33).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from contract.content import ChatOut, dump, parse_outbound
from contract.errors import BadContent
from nanoclaw.db.delivery_steps import Joined
from nanoclaw.model import Delivery

KEPT = 20
OUTAGE = timedelta(seconds=60)
"""What has waited for so long has waited for its channel; a burst has not."""


def is_backlog(head: Delivery, now: datetime) -> bool:
    return now - head.created_at > OUTAGE


def plan_joins(late: Sequence[Delivery], limit_bytes: int) -> list[Joined]:
    """``late`` are those behind the first ones. ``limit_bytes`` counts UTF-8, which is never less
    than what a platform counts."""
    joins: list[Joined] = []
    group: list[tuple[Delivery, str]] = []
    for delivery in late:
        text = _plain_text(delivery)
        if text is not None and group and not _fits([*group, (delivery, text)], limit_bytes):
            joins += _join(group)
            group = []
        if text is None:
            joins += _join(group)
            group = []
        else:
            group.append((delivery, text))
    return joins + _join(group)


def _plain_text(delivery: Delivery) -> str | None:
    """None for what cannot be joined."""
    if delivery.attempts or delivery.last_error is not None or delivery.refers_to is not None:
        return None
    try:
        content = parse_outbound(delivery.kind, delivery.content)
    except BadContent:
        return None
    if not isinstance(content, ChatOut) or content.files:
        return None
    return (content.markdown or content.text).strip() or None


def _fits(group: Sequence[tuple[Delivery, str]], limit_bytes: int) -> bool:
    return len(_joined(group).encode("utf-8", "replace")) <= limit_bytes


def _joined(group: Sequence[tuple[Delivery, str]]) -> str:
    return "\n\n".join(text for _, text in group)


def _join(group: Sequence[tuple[Delivery, str]]) -> list[Joined]:
    if len(group) < 2:
        return []
    leader, *others = [delivery for delivery, _ in group]
    return [
        Joined(
            leader.delivery_id,
            dump(ChatOut(text=_joined(group))),
            tuple(delivery.delivery_id for delivery in others),
            any(delivery.completes for delivery, _ in group),
        )
    ]

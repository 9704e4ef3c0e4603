"""A receipt as the books give it; a test changes what it is about."""

from datetime import UTC, datetime

from contract.content import ChatOut, dump
from nanoclaw.model import Delivery, DeliverySource, DeliveryState

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def waiting(number: int, text: str) -> Delivery:
    """A queued text of an agent; its number is its place."""
    return Delivery(
        row_number=number, delivery_id=f"d-{number}", message_out_id=f"m-{number}",
        session_id="s", seq=number, source=DeliverySource.AGENT, instance="cli",
        platform_id="local", thread_id=None, kind="chat", content=dump(ChatOut(text=text)),
        in_reply_to=None, reply_hint=None, reply_to_message_id=None, completes=False,
        state=DeliveryState.QUEUED, attempts=0, next_attempt_at=NOW, last_error=None, part_index=0,
        platform_message_ids=(), projected=False, created_at=NOW, updated_at=NOW, expires_at=NOW,
    )  # fmt: skip

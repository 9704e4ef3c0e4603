"""When the next call may go out, so that platforms need not refuse us (C-35, C-36).

Used by the outbox with monotonic seconds. A minimum interval per chat, a rate per account with a
burst of one second's worth, and pauses that a platform asked for.
"""

from collections.abc import Hashable

from nanoclaw.capabilities import Capabilities

MAX_CHATS = 4096
"""Chats whose last call is remembered; older ones are long past any interval."""


class Pacer:
    """The waiting times of one account."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._interval = capabilities.min_interval_ms / 1000
        self._rate = capabilities.max_per_second
        self._tokens = self._burst
        self._counted_at = 0.0
        self._paused_until = 0.0
        self._chat_free_at: dict[Hashable, float] = {}

    @property
    def unlimited(self) -> bool:
        """The platform asks for no pacing at all; several messages may be handed over at once."""
        return self._interval == 0 and self._rate == 0

    def free_at(self, chat: Hashable, now: float) -> float:
        """The moment from which a call to this chat may be made; not after ``now`` if at once."""
        at = max(self._paused_until, self._chat_free_at.get(chat, 0.0))
        if self._rate:
            missing = 1.0 - self._available(now)
            if missing > 0:
                at = max(at, now + missing / self._rate)
        return at

    def note_call(self, chat: Hashable, now: float) -> None:
        if self._rate:
            self._tokens = self._available(now) - 1.0
            self._counted_at = now
        if self._interval:
            self._chat_free_at.pop(chat, None)
            self._chat_free_at[chat] = now + self._interval
            if len(self._chat_free_at) > MAX_CHATS:
                del self._chat_free_at[next(iter(self._chat_free_at))]

    def pause(self, until: float) -> None:
        """The platform wants silence from the whole account."""
        self._paused_until = max(self._paused_until, until)

    @property
    def paused_until(self) -> float:
        return self._paused_until

    @property
    def _burst(self) -> float:
        return max(1.0, self._rate)

    def _available(self, now: float) -> float:
        grown = (now - self._counted_at) * self._rate
        return min(self._burst, self._tokens + max(0.0, grown))

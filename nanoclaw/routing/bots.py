"""How much other bots wrote in a chat lately (C section 1.4).

Kept in the router's memory only: after a restart the count begins anew, which lets two bots that
answer each other go on for another half minute and costs no write per message.
"""

from collections import OrderedDict, deque
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=1)
MAX_CHATS = 1000
MAX_COUNTED = 64
"""More than the limit that ``decide`` compares with."""


class BotMeter:
    """Times of the last bot messages, per chat."""

    def __init__(self) -> None:
        self._chats: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()

    def count(self, channel_type: str, platform_id: str, now: datetime) -> int:
        """How many came within the last minute; this one is noted for the next question."""
        chat = (channel_type, platform_id)
        times = self._chats.setdefault(chat, deque(maxlen=MAX_COUNTED))
        self._chats.move_to_end(chat)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        before = len(times)
        times.append(now)
        if len(self._chats) > MAX_CHATS:
            self._chats.popitem(last=False)
        return before

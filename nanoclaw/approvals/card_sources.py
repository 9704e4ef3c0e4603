"""What the desk asks of each kind of card: what is to be shown, and what became of it.

``requests``, ``senders``, ``channels`` and ``owner_notice`` each provide one ``CardSource``; the
table of them stands in ``sources``. The desk knows nothing else of a card.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contract.content import Option


@dataclass(frozen=True, slots=True)
class CardToSend:
    """A card that somebody entitled has to see.

    ``agent_group_id``: its administrators are asked first; None: owners and administrators of
    everything only. ``origin`` is the channel that is preferred, or empty. ``prefer`` is asked
    before all others if entitled. Without options it is a plain text (``title`` is then unused).
    """

    card_id: str
    title: str
    question: str
    options: tuple[Option, ...]
    expires_at: datetime
    agent_group_id: str | None = None
    origin: str = ""
    prefer: str | None = None
    owners_only: bool = False


class CardSource(Protocol):
    """One kind of card. Every method but the readers is called inside a write transaction."""

    @property
    def name(self) -> str:
        """Stored with each copy; one word that is never changed."""

    def created(self, conn: sqlite3.Connection, limit: int) -> Sequence[CardToSend]:
        """Cards that are only written down (card_state ``created``), oldest first."""

    def find(self, conn: sqlite3.Connection, card_id: str) -> CardToSend | None:
        """The card while it is undecided, also when it was sent: for the next approver."""

    def mark_sent(
        self, conn: sqlite3.Connection, card_id: str, user_id: str, now: datetime
    ) -> bool:
        """Queued for this approver. False when it was decided meanwhile: then nothing is sent."""

    def nobody_reachable(
        self, conn: sqlite3.Connection, card_id: str, reason: str, now: datetime
    ) -> None:
        """Final: there is nobody to ask. Ends the request and tells whoever waits (W-39)."""

    def expire(self, conn: sqlite3.Connection, now: datetime) -> None:
        """Ends what is too old now, with ``closing.close_card`` for each."""

    def next_expiry(self, conn: sqlite3.Connection) -> datetime | None:
        """From an index: asked at every look of the desk."""

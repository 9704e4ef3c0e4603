"""An answer to a card, whoever gives it and in whatever way.

Pure values. The router makes a ``Click`` of a pressed button, ``text_answers`` of a typed number,
the administration of a command; ``answers`` finds the card it belongs to.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from nanoclaw.events import ActionResult


@dataclass(frozen=True, slots=True)
class Click:
    """``user_id`` is namespaced and comes from the platform's own signature, never from a name.

    ``value`` is what the button carried: the option's index as text, or its literal value.
    ``instance``, ``platform_id`` and ``message_id`` say where it was pressed.
    """

    card_id: str
    value: str
    user_id: str
    instance: str
    platform_id: str
    message_id: str = ""


Answerer = Callable[[sqlite3.Connection, Click, datetime], ActionResult | None]
"""One kind of card. Runs inside the caller's transaction; None: not a card of mine."""

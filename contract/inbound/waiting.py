"""What the runner's loop asks ``inbound.db`` beside the rows of a batch.

The rules of ``reader`` hold: fresh connection, one short transaction, SessionFileBusy for passing
trouble. Called by the runner's store.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from contract.inbound.reader import reading
from contract.jsontext import dump


@dataclass(frozen=True, slots=True)
class KnownNumbers:
    """``numbers`` are of messages that came in; ``sent`` are ids of ours, by the platform's id."""

    numbers: dict[str, int] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)


def read_numbers(path: Path, platform_ids: Collection[str]) -> KnownNumbers:
    """By which numbers the agent knows the messages that the platform calls so (R-116)."""
    wanted = dump(list(platform_ids))
    with reading(path) as conn:
        numbers = conn.execute(
            """
            SELECT platform_message_id, seq FROM messages_in
            WHERE platform_message_id IN (SELECT value FROM json_each(?)) AND seq IS NOT NULL
            ORDER BY seq
            """,
            (wanted,),
        ).fetchall()
        sent = conn.execute(
            """
            SELECT platform_message_id, message_out_id FROM delivered
            WHERE platform_message_id IN (SELECT value FROM json_each(?))
            """,
            (wanted,),
        ).fetchall()
    return KnownNumbers({row[0]: row[1] for row in numbers}, {row[0]: row[1] for row in sent})

"""How values that are no rows of a table look in answers: times, short texts, money, limits.

Pure; used by the resources and views that read more than one table.
"""

from datetime import datetime

from contract.clock import to_text
from contract.errors import BadContent
from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.message_text import text_of_message
from nanoclaw.admin.registry import ArgumentSpec, Kind

MAX_SHORT = 120
MAX_ROWS = 10_000
DEFAULT_ROWS = 50
MICRO = 1_000_000

LIMIT = ArgumentSpec(
    "limit", "how many at most", Kind.INTEGER, default=str(DEFAULT_ROWS), minimum=1,
    maximum=MAX_ROWS,
)  # fmt: skip


def limit_of(arguments: Arguments) -> int:
    return arguments.integer(LIMIT.name, DEFAULT_ROWS)


def moment(at: datetime | None) -> str | None:
    return None if at is None else to_text(at)


def short(text: str | None) -> str | None:
    """One line of a table."""
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHORT else line[: MAX_SHORT - 1] + "…"


def dollars(microusd: int) -> float:
    return microusd / MICRO


def short_message(kind: str, content: str) -> str | None:
    """What an outgoing message says, in one line."""
    try:
        return short(text_of_message(kind, content))
    except BadContent:
        return None

"""What a check is and what it finds.

Used by every module of ``checks`` and by ``run``. A check looks and changes nothing; what it finds
names evidence, meaning and the exact words that cure it. Its own ``cure`` may be run again and
again, and loses nothing that cannot be had back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.doctor.facts import Facts


class Severity(StrEnum):
    """Worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """``fix`` empty: the check has a cure of its own. ``by_hand``: the fix is no command."""

    evidence: str
    meaning: str
    fix: str = ""
    by_hand: bool = False


Inspect = Callable[[Facts], Finding | None]
Cure = Callable[[Facts], str]


@dataclass(frozen=True, slots=True)
class Check:
    """``title`` is what is right when nothing is found; ``cure`` says what it did."""

    id: str
    area: str
    severity: Severity
    title: str
    inspect: Inspect
    cure: Cure | None = None
    needs_network: bool = False

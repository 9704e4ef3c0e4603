"""Slash commands and who handles them: one set for the host's gate and the runner.

The reference kept two lists that differed, and matched once the whole word and once a prefix, so
that ``/clearx`` cleared a session without rights (R-71). Here the first word, lower-cased, must
match exactly, on both sides.
"""

from dataclasses import dataclass
from enum import StrEnum


class CommandClass(StrEnum):
    """ADMIN: runner acts, admins only. HOST: the host answers. FILTERED: dropped silently.

    PASSTHROUGH: any other slash word; an ordinary message unless a provider or skill knows it.
    """

    ADMIN = "admin"
    HOST = "host"
    FILTERED = "filtered"
    PASSTHROUGH = "passthrough"


_CLASSES = {
    "/clear": CommandClass.ADMIN,
    "/compact": CommandClass.ADMIN,
    "/context": CommandClass.ADMIN,
    "/cost": CommandClass.ADMIN,
    "/files": CommandClass.ADMIN,
    "/stop": CommandClass.ADMIN,
    "/help": CommandClass.HOST,
    "/start": CommandClass.HOST,
    "/status": CommandClass.HOST,
    "/config": CommandClass.FILTERED,
    "/doctor": CommandClass.FILTERED,
    "/login": CommandClass.FILTERED,
    "/logout": CommandClass.FILTERED,
    "/remote-control": CommandClass.FILTERED,
}


@dataclass(frozen=True, slots=True)
class Command:
    """``word`` with its slash, lower-cased; ``arguments`` is the rest of the text."""

    word: str
    kind: CommandClass
    arguments: str = ""


def parse_command(text: str) -> Command | None:
    """The command a message text consists of; None when it starts with no slash."""
    words = text.strip().split(maxsplit=1)
    if not words or not words[0].startswith("/"):
        return None
    word = words[0].lower()
    kind = _CLASSES.get(word, CommandClass.PASSTHROUGH)
    return Command(word, kind, words[1] if len(words) > 1 else "")


MEANINGLESS = frozenset({"/config", "/doctor", "/help", "/login", "/logout", "/remote-control"})
"""Of other programs: if one gets past the gate, the runner answers it with one line (R-312)."""


def commands_of(kind: CommandClass) -> frozenset[str]:
    """The known words of one class, for help texts and the runner's table."""
    return frozenset(word for word, found in _CLASSES.items() if found is kind)

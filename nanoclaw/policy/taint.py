"""Foreign content in a turn, and what an agent may then do without asking.

Pure. ``taint`` is the comma-separated text of a row: where content came from that nobody trusted
has written (``web``, ``mail``, ``file``, ``mcp``, ``unknown-sender``, ``agent``). An agent that has
read such content may be acting on its orders, so acts that reach beyond the conversation need a
person. Only the owner switches the guard off, per agent group (``container_configs.taint_guard``).
A word that nobody here knows counts as foreign.
"""

from collections.abc import Iterable
from enum import StrEnum

MAX_TAINT = 1000
"""Characters of the column; words that find no room are left out, one always stays."""
MAX_WORD = 100
OTHER_AGENT = "agent"
"""Said by another agent of this installation. No reason by itself: what that agent had read stands
beside it as words of its own."""
UNREADABLE = "unknown"
"""The session's file cannot be read, so nobody knows what the turn has seen."""

_SHOWN = {
    "web": "a web page",
    "mail": "a mail",
    "file": "a file that somebody sent",
    "mcp": "a tool server",
    "unknown-sender": "somebody without rights",
    UNREADABLE: "an unknown source",
}


class Act(StrEnum):
    """What a tainted turn may not do on its own."""

    MESSAGE_THIRD_PARTY = "message_third_party"
    SCHEDULE = "schedule"
    SELF_MODIFY = "self_modify"
    CREATE_AGENT = "create_agent"


def parse_taint(text: str | None) -> frozenset[str]:
    """The words of a stored taint; empty for None."""
    words = (word.strip()[:MAX_WORD] for word in (text or "").split(","))
    return frozenset(word for word in words if word)


def dump_taint(words: Iterable[str]) -> str | None:
    """The column's text: sorted, bounded; None for no words."""
    text = ""
    for word in sorted({word for word in words if word}):
        longer = f"{text},{word}" if text else word[:MAX_WORD]
        if len(longer) > MAX_TAINT:
            break
        text = longer
    return text or None


def unite(*taints: str | None) -> str | None:
    """Everything that any of them names."""
    return dump_taint(word for taint in taints for word in parse_taint(taint))


def foreign(taint: str | None) -> frozenset[str]:
    """The words that make a turn suspect."""
    return parse_taint(taint) - {OTHER_AGENT}


def needs_approval(act: Act, taint: str | None, *, guarded: bool) -> bool:
    """Whether ``act`` of a turn with this taint waits for a person. All four acts are alike."""
    return guarded and act in Act and bool(foreign(taint))


def describe(taint: str | None) -> str:
    """The sources in words, for the card that an approver sees."""
    return ", ".join(_SHOWN.get(word, word) for word in sorted(foreign(taint)))

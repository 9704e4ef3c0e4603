"""Decides whether a message means an agent (H-78 to H-82).

Pure; called by ``routing.decide`` for each wiring. A mention is the platform's own signal and
never a name in the text (H-73). Being engaged in a talk is a stored fact with an end, not the
existence of a session, and in direct chats it does not exist (W-37).
"""

from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.model import EngageMode, Wiring
from nanoclaw.routing.pattern.search import Finding, search

ANYTHING = "."


@dataclass(frozen=True, slots=True)
class Said:
    """What the engage rule looks at. ``in_talk``: this agent was mentioned here not long ago."""

    text: str
    is_mention: bool
    is_group: bool
    in_talk: bool = False


class Call(StrEnum):
    """How an agent was called, or why it was not."""

    MENTION = "mention"
    PATTERN = "pattern"
    PATTERN_UNREADABLE = "pattern is not readable"
    IN_TALK = "in talk"
    NOT_MEANT = "not meant"
    PATTERN_TOO_SLOW = "pattern takes too long on this text"


NOT_CALLED = frozenset({Call.NOT_MEANT, Call.PATTERN_TOO_SLOW})


def is_called(call: Call) -> bool:
    return call not in NOT_CALLED


def judge_call(wiring: Wiring, said: Said) -> Call:
    """An unknown or missing mode never engages."""
    match wiring.engage_mode:
        case EngageMode.PATTERN:
            return _by_pattern(wiring.engage_pattern, said.text)
        case EngageMode.MENTION:
            return _by_mention(said)
        case EngageMode.PATTERN_OR_MENTION:
            if said.is_mention:
                return Call.MENTION
            return _by_pattern(wiring.engage_pattern, said.text)
        case EngageMode.MENTION_STICKY:
            if said.in_talk and said.is_group and not said.is_mention:
                return Call.IN_TALK
            return _by_mention(said)
        case None:
            return Call.NOT_MEANT


def begins_talk(wiring: Wiring, said: Said) -> bool:
    """Whether the agent stays in the talk from here on. Only a mention prolongs it: if every
    answered message did, one mention would last for ever."""
    sticky = wiring.engage_mode is EngageMode.MENTION_STICKY
    return sticky and said.is_group and said.is_mention


def _by_mention(said: Said) -> Call:
    return Call.MENTION if said.is_mention else Call.NOT_MEANT


_FINDINGS = {
    Finding.FOUND: Call.PATTERN,
    Finding.NOT_FOUND: Call.NOT_MEANT,
    Finding.UNREADABLE: Call.PATTERN_UNREADABLE,
    Finding.TOO_MUCH: Call.PATTERN_TOO_SLOW,
}


def _by_pattern(pattern: str | None, text: str) -> Call:
    if pattern is None or pattern == ANYTHING:
        return Call.PATTERN
    return _FINDINGS[search(pattern, text)]

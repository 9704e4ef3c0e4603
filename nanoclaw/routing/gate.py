"""Decides what a slash command does before any agent sees it (H-97 to H-101).

Pure; called by ``routing.decide`` for agents that are engaged and that the sender may talk to, so
a command that is not for us is never answered (W-22). The sets of words are ``contract.commands``,
which the runner uses as well.
"""

from dataclasses import dataclass
from typing import assert_never

from contract.commands import CommandClass, parse_command


@dataclass(frozen=True, slots=True)
class Pass:
    """An ordinary message, or a command for the agent."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A word of other programs; silence is the answer."""

    word: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Needs administrator rights over this agent."""

    word: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The host itself answers, without waking anything."""

    word: str


Gate = Pass | Drop | Deny | Answer


def judge_command(text: str, *, is_admin: bool) -> Gate:
    """An unidentified sender is never an administrator; the caller knows who is one."""
    command = parse_command(text)
    if command is None:
        return Pass()
    match command.kind:
        case CommandClass.PASSTHROUGH:
            return Pass()
        case CommandClass.ADMIN:
            return Pass() if is_admin else Deny(command.word)
        case CommandClass.HOST:
            return Answer(command.word)
        case CommandClass.FILTERED:
            return Drop(command.word)
        case _:
            assert_never(command.kind)

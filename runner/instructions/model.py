"""What a provider gets to build its system prompt from (R-260).

The pieces are kept apart because a provider treats them differently: a change of the addendum or
of the agent's memory is told by a note, a change of the rest starts a new epoch (R-262).
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Instructions:
    """All texts in their order. Nothing volatile is in them: equal input, equal bytes (R-268)."""

    harness: str
    """Role, environment, rules of tool use and safety, format."""
    documents: str
    """The expanded CLAUDE.md hierarchy without the agent's own memory."""
    memory: str
    """CLAUDE.local.md, introduced by its path; empty when there is none."""
    skills: str
    """The list of skills with their descriptions; empty when there are none."""
    addendum: str
    """Identity and whom messages can be sent to (R-21)."""
    day: str = ""
    """One line with the date on which this was read: it goes after ``harness`` when a new epoch
    begins, and has no part in comparing with a stored one, or every day would begin an epoch."""

    @property
    def blocks(self) -> tuple[str, ...]:
        """The non-empty texts, without the day, for a provider that treats them alike."""
        texts = (self.harness, self.documents, self.memory, self.skills, self.addendum)
        return tuple(text for text in texts if text)


class InstructionSource(Protocol):
    """Reads the files anew at each call: at every epoch, not at every request."""

    async def read(self) -> Instructions:
        """Never fails: what cannot be read is named in the text or left out (R-298 to R-302)."""

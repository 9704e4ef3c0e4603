"""Questions that wait for a person, as ``session_state`` keeps them (R-171). Pure.

Written by the desk when a card is sent, and removed with its answer. What remains is how a late
answer, or one after a restart, is told together with its question (R-172), and how the repair of
the conversation knows that a call is still open.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.clock import parse_text, to_text
from contract.errors import BadContent
from contract.jsontext import dump, parse_value

QUESTIONS_KEY = "open_questions"
MAX_QUESTIONS = 50
KEPT_FOR = timedelta(days=7)
"""Somebody may come back to a card after a weekend; later it is only said that one was answered."""
_MAX_TEXT_BYTES = 1024 * 1024
_MAX_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """``deadline`` is when the tool stops waiting; ``elsewhere``: it waits in another process."""

    id: str
    call_id: str
    title: str
    question: str
    deadline: datetime
    elsewhere: bool = False

    def is_awaited_elsewhere(self, now: datetime) -> bool:
        """A tool server takes the answer itself, so the loop must leave it alone."""
        return self.elsewhere and now < self.deadline


def parse_questions(text: str | None) -> tuple[OpenQuestion, ...]:
    """The entries of the state's text, oldest first; what cannot be read is left out."""
    try:
        value = parse_value(text, max_bytes=_MAX_TEXT_BYTES)
    except BadContent:
        return ()
    entries = value if isinstance(value, list) else []
    found = (_question(entry) for entry in entries if isinstance(entry, dict))
    return tuple(question for question in found if question is not None)


def find_question(text: str | None, question_id: str) -> OpenQuestion | None:
    return next((q for q in parse_questions(text) if q.id == question_id), None)


def with_question(text: str | None, new: OpenQuestion, now: datetime) -> str:
    """The state's text with one more; old ones are forgotten, because the list is bounded."""
    kept = [q for q in parse_questions(text) if q.id != new.id and now - q.deadline < KEPT_FOR]
    return _dump([*kept[-(MAX_QUESTIONS - 1) :], new])


def without_question(text: str | None, question_id: str) -> str | None:
    """The state's text with one less; None when the key can be deleted."""
    kept = [q for q in parse_questions(text) if q.id != question_id]
    return _dump(kept) if kept else None


def _dump(questions: Iterable[OpenQuestion]) -> str:
    return dump(
        [
            {
                "id": q.id,
                "call": q.call_id,
                "title": q.title[:_MAX_SHOWN],
                "question": q.question[:_MAX_SHOWN],
                "deadline": to_text(q.deadline),
                "elsewhere": q.elsewhere,
            }
            for q in questions
        ]
    )


def _question(entry: dict[str, object]) -> OpenQuestion | None:
    deadline = parse_text(entry.get("deadline"))
    question_id = entry.get("id")
    if not isinstance(question_id, str) or deadline is None:
        return None
    return OpenQuestion(
        id=question_id,
        call_id=_text(entry, "call"),
        title=_text(entry, "title"),
        question=_text(entry, "question"),
        deadline=deadline,
        elsewhere=entry.get("elsewhere") is True,
    )


def _text(entry: dict[str, object], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""

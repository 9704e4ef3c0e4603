"""Questions that wait for an answer typed into the terminal (C-77).

Used by the switchboard on its thread only. A line that is a number or a label answers the open
question when there is exactly one; in any other case it is an ordinary message. Kept in a small
file, so that a restart of the channel does not turn an answer into chat.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from contract.clock import parse_text, to_text
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.shape import Shape
from nanoclaw.channels.durable import replace_file
from nanoclaw.channels.part import Question

MAX_OPEN = 20
OPEN_FOR = timedelta(hours=24)
_MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion(Shape):
    """A question that was shown; ``message_id`` is the id of the reply that showed it."""

    question_id: str
    title: str
    options: tuple[str, ...]
    message_id: str
    platform_id: str
    shown_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored(Shape):
    questions: tuple[OpenQuestion, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """``value`` is the position of the chosen option, as buttons carry it (C-63)."""

    question: OpenQuestion
    value: str
    label: str


class Questions:
    """The open questions of the terminal."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "questions.json"
        self._open = _read(self._path)

    def shown(self, question: Question, message_id: str, platform_id: str, now: datetime) -> None:
        item = OpenQuestion(
            question_id=question.question_id,
            title=question.title,
            options=question.options,
            message_id=message_id,
            platform_id=platform_id,
            shown_at=to_text(now),
        )
        others = [other for other in self._open if other.question_id != item.question_id]
        self._store([*others, item][-MAX_OPEN:])

    def match(self, text: str, now: datetime) -> Answer | None:
        """What a typed line answers, if it does."""
        oldest = now - OPEN_FOR
        current = [item for item in self._open if (parse_text(item.shown_at) or oldest) > oldest]
        if len(current) != 1:
            return None
        question, typed = current[0], text.strip()
        for index, label in enumerate(question.options):
            if typed == str(index + 1) or typed.casefold() == label.strip().casefold():
                return Answer(question, str(index), label)
        return None

    def shown_as(self, message_id: str) -> OpenQuestion | None:
        """The open question that this reply showed."""
        return next((item for item in self._open if item.message_id == message_id), None)

    def close(self, question_id: str) -> None:
        """The question is answered, expired or unknown to the host."""
        self._store([item for item in self._open if item.question_id != question_id])

    def _store(self, questions: list[OpenQuestion]) -> None:
        self._open = questions
        stored = _Stored(questions=tuple(questions))
        replace_file(self._path, dump(stored.plain()).encode())


def _read(path: Path) -> list[OpenQuestion]:
    try:
        text = path.read_text(encoding="utf-8")
        return list(_Stored.read(parse_object(text, max_bytes=_MAX_FILE_BYTES)).questions)
    except (OSError, UnicodeDecodeError, BadContent):
        return []

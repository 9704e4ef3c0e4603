"""What the resume file holds, as values and as text (S-41). Pure; ``store`` reads and writes it.

Never a secret: answers come here without those of secret questions. What is not in order is
dropped, because a step is inspected again anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contract.jsontext import dump, parse_object

VERSION = 1
MAX_BYTES = 1024 * 1024

STARTED = "started"
"""Also what a killed run leaves behind."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    status: str
    finished_at: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetupState:
    started_at: str = ""
    finished_at: str = ""
    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_resumable(self) -> bool:
        return bool(self.started_at) and not self.finished_at

    def with_step(self, name: str, record: StepRecord) -> "SetupState":
        return replace(self, steps={**self.steps, name: record})

    def with_answer(self, key: str, value: str) -> "SetupState":
        return replace(self, answers={**self.answers, key: value})


def to_text(state: SetupState) -> str:
    steps = {
        name: {
            "status": record.status,
            "finished_at": record.finished_at,
            "fields": dict(record.fields),
            "facts": dict(record.facts),
        }
        for name, record in state.steps.items()
    }
    return dump(
        {
            "version": VERSION,
            "started_at": state.started_at,
            "finished_at": state.finished_at,
            "steps": steps,
            "answers": dict(state.answers),
        }
    )


def from_text(text: str) -> SetupState:
    """Raises BadContent for what is no JSON object, ValueError for a later version."""
    table = parse_object(text, max_bytes=MAX_BYTES)
    version = table.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(f"it has version {version}, this program knows {VERSION}")
    steps = table.get("steps")
    records = {
        name: StepRecord(
            _text(entry.get("status")),
            _text(entry.get("finished_at")),
            _texts(entry.get("fields")),
            _texts(entry.get("facts")),
        )
        for name, entry in (steps.items() if isinstance(steps, dict) else ())
        if isinstance(entry, dict)
    }
    return SetupState(
        _text(table.get("started_at")),
        _text(table.get("finished_at")),
        records,
        _texts(table.get("answers")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> dict[str, str]:
    entries = value.items() if isinstance(value, dict) else ()
    return {key: item for key, item in entries if isinstance(item, str)}

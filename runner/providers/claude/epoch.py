"""The frozen head of a conversation: model, effort, system and tools, and when it changes.

Current models bind their thinking to everything before it, so the head is built once per epoch and
stored; what is new is told by notes (R-261 to R-263, R-268). ``decide_epoch`` is pure and is asked
at process start and whenever model or effort changed; the engine carries its answer out.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.instructions.model import Instructions
from runner.providers.claude.records import Json, as_strings

NOTED_PARTS = frozenset({"memory", "addendum"})
"""Parts of the system prompt whose change is told instead of starting a new epoch (R-262)."""
SILENT_PARTS = frozenset({"date"})
"""Parts that differ at every start and may stay as they were."""
NOTE_CHARACTERS = 20_000
"""A longer part is cut in a note; the agent can read its own memory file."""
_CALLED = {
    "memory": "your memory file CLAUDE.local.md",
    "addendum": "your identity and the destinations you can send to",
}


@dataclass(frozen=True, slots=True)
class Prefix:
    """What every request of an epoch begins with. ``labels`` names the system blocks in order."""

    model: str
    effort: str | None
    thinking: Mapping[str, object] | None
    system: tuple[Json, ...]
    labels: tuple[str, ...]
    tools: tuple[Json, ...]

    @property
    def hash(self) -> str:
        """Over what the model is bound to; markers of the cache are never in here."""
        value = [self.model, self.effort, list(self.system), list(self.tools)]
        return _digest(json.dumps(value, sort_keys=True, ensure_ascii=True))

    @property
    def parts(self) -> dict[str, str]:
        """The texts of the system blocks by label."""
        texts = (block.get("text") for block in self.system)
        return {label: str(text) for label, text in zip(self.labels, texts, strict=False)}


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stored head. ``drop_block``: old thinking does not match it and may be dropped (R-262)."""

    number: int
    prefix: Prefix
    hash: str
    reason: str
    drop_block: bool = False
    told: Mapping[str, str] = field(default_factory=dict)
    """Hash of the parts that were told anew by notes since, by label."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing changed."""


@dataclass(frozen=True, slots=True)
class KeepWithNote:
    """Go on with the stored head and append ``text`` as an operator note.

    ``told`` goes into the record of the note (``append_user``), so that it is told once.
    """

    text: str
    told: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """``start_epoch`` with these."""

    reason: str
    drop_block: bool


EpochDecision = Keep | KeepWithNote | NewEpoch


def system_blocks(
    instructions: Instructions, date: str = ""
) -> tuple[tuple[Json, ...], tuple[str, ...]]:
    """The system blocks of a new epoch and their labels (R-260). ``date`` is a sentence of its
    own block, because a new day is no reason for a new epoch."""
    texts = {
        "harness": instructions.harness,
        "date": date,
        "documents": instructions.documents,
        "memory": instructions.memory,
        "skills": instructions.skills,
        "addendum": instructions.addendum,
    }
    present = {label: text for label, text in texts.items() if text.strip()}
    blocks = tuple[Json, ...]({"type": "text", "text": text} for text in present.values())
    return blocks, tuple(present)


def decide_epoch(stored: Epoch | None, fresh: Prefix, *, has_history: bool) -> EpochDecision:
    """R-262. ``has_history``: the active list holds answers of the model."""
    if stored is None:
        return NewEpoch("first", drop_block=False)
    reason = _reason(stored.prefix, fresh)
    changed = _changed_parts(stored, fresh)
    if reason is None and changed - NOTED_PARTS:
        reason = "instructions"
    if reason is not None:
        return NewEpoch(reason, drop_block=has_history)
    if not changed:
        return Keep()
    parts = fresh.parts
    notes = [_note(label, parts.get(label, "")) for label in sorted(changed)]
    return KeepWithNote("\n\n".join(notes), {label: _part_hash(fresh, label) for label in changed})


def epoch_fields(epoch: Epoch) -> Json:
    """The fields of its record (R-288)."""
    prefix = epoch.prefix
    return {
        "epoch": epoch.number,
        "model": prefix.model,
        "effort": prefix.effort,
        "thinking": prefix.thinking,
        "system": list(prefix.system),
        "labels": list(prefix.labels),
        "tools": list(prefix.tools),
        "hash": epoch.hash,
        "reason": epoch.reason,
        "drop_block": epoch.drop_block,
    }


def epoch_of(record: Mapping[str, object]) -> Epoch:
    """The reverse. Never fails: what is missing is empty, and then differs from a fresh head."""
    number, effort, thinking = record.get("epoch"), record.get("effort"), record.get("thinking")
    prefix = Prefix(
        model=str(record.get("model", "")),
        effort=effort if isinstance(effort, str) else None,
        thinking=thinking if isinstance(thinking, dict) else None,
        system=_objects(record.get("system")),
        labels=as_strings(record.get("labels")),
        tools=_objects(record.get("tools")),
    )
    return Epoch(
        number=number if isinstance(number, int) else 0,
        prefix=prefix,
        hash=str(record.get("hash", "")),
        reason=str(record.get("reason", "")),
        drop_block=record.get("drop_block") is True,
    )


def _reason(stored: Prefix, fresh: Prefix) -> str | None:
    if stored.model != fresh.model:
        return "model"
    if stored.effort != fresh.effort:
        return "effort"
    if stored.thinking != fresh.thinking:
        return "thinking"
    return "tools" if list(stored.tools) != list(fresh.tools) else None


def _changed_parts(stored: Epoch, fresh: Prefix) -> set[str]:
    labels = (set(stored.prefix.labels) | set(fresh.labels)) - SILENT_PARTS
    return {
        label
        for label in labels
        if _part_hash(fresh, label) != stored.told.get(label, _part_hash(stored.prefix, label))
    }


def _part_hash(prefix: Prefix, label: str) -> str:
    return _digest(prefix.parts.get(label, ""))


def _note(label: str, text: str) -> str:
    if not text:
        return f"There is nothing any more in {_CALLED[label]}; the earlier section is void."
    cut = text if len(text) <= NOTE_CHARACTERS else f"{text[:NOTE_CHARACTERS]}\n… (cut)"
    return f"Changed since this conversation began: {_CALLED[label]}. It now reads:\n\n{cut}"


def _objects(value: object) -> tuple[Json, ...]:
    return (
        tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

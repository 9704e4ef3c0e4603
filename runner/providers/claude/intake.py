"""Stores what goes to the model: input, attachments, tool results and operator notes.

Called by ``turn`` at its boundaries. Nothing here waits, so that an interrupt never finds an input
taken and not stored. Remembers what was appended since the last answer, because only that may be
taken back: when the API refuses an image in it (R-259).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.log import fields
from runner.providers.claude.attachments import attachment_blocks, has_media, without_media
from runner.providers.claude.conversation import Conversation
from runner.providers.claude.epoch import KeepWithNote
from runner.providers.claude.mainline import Mainline
from runner.providers.claude.message import Block
from runner.providers.claude.records import UserKind
from runner.providers.claude.request import note_block
from runner.providers.claude.steering import Input
from runner.toolbox.base import Toolbox
from runner.turn.taint import TurnTaint

_log = logging.getLogger(__name__)

FELL_BACK = "The model was overloaded; from here on you are {model} instead."


@dataclass(frozen=True, slots=True)
class _Appended:
    """A record since the last answer, as it was appended."""

    number: int
    message: dict[str, object]
    ids: tuple[str, ...]
    kind: UserKind


class Intake:
    """One per stream. ``native`` False: attachments are told by their paths only."""

    def __init__(
        self, mainline: Mainline, toolbox: Toolbox, taint: TurnTaint, *, native: bool
    ) -> None:
        self._mainline = mainline
        self._toolbox = toolbox
        self._taint = taint
        self._native = native
        self._pending: list[str] = []
        self._pending_told: dict[str, str] = {}
        self._told_model: str | None = None
        self._tail: list[_Appended] = []

    @property
    def _conversation(self) -> Conversation:
        return self._mainline.conversation

    def begin_turn(self, inputs: Sequence[Input]) -> None:
        """A turn that goes on with earlier work (a nudge, a note) has seen what that had seen."""
        ids = [one for given in inputs for one in given.prompt.ids]
        goes_on = not inputs or any(not given.prompt.ids for given in inputs)
        earlier = self._taint.words if goes_on else frozenset[str]()
        self._taint.begin(earlier | self._conversation.taint_of(ids))

    def tell(self, *notes: str) -> None:
        """Goes with the next input."""
        self._pending += [note for note in notes if note.strip()]

    def tell_change(self, change: KeepWithNote | None) -> None:
        if change is not None:
            self._pending.append(change.text)
            self._pending_told.update(change.told)

    def append(
        self,
        inputs: Sequence[Input],
        ids: Sequence[str],
        *,
        leading: Sequence[Block] = (),
        notes: Sequence[str] = (),
    ) -> None:
        """Results first, then the input, then the notes (R-244, R-247)."""
        self._taint.add(self._conversation.taint_of(ids))
        blocks = [*leading]
        for given in inputs:
            blocks += self._input_blocks(given)
        told = self._notes(inputs, notes)
        in_role = bool(blocks) and self._mainline.takes_notes
        if not in_role:
            blocks += [note_block(note) for note in told]
        changed = dict(self._pending_told)
        self._pending_told.clear()
        kind = UserKind.INPUT
        if leading:
            kind = UserKind.TOOL_RESULTS
        elif not inputs:
            kind = UserKind.NOTE
        if blocks:
            self._store("user", blocks, tuple(ids), kind, None if in_role else changed)
        if in_role and told:
            note: list[Block] = [{"type": "text", "text": "\n\n".join(told)}]
            self._store("system", note, (), UserKind.NOTE, changed)

    def forget_tail(self) -> None:
        """The model has answered, or the list was shortened: nothing can be taken back."""
        self._tail.clear()

    def replace_media(self, reason: str) -> bool:
        """Takes back what the API will not look at; False: there is nothing of that kind."""
        if not any(has_media(_blocks(item.message)) for item in self._tail):
            return False
        _log.warning("media refused", extra=fields(reason=reason[:200]))
        tail, self._tail = self._tail, []
        self._conversation.retract([item.number for item in tail], "media refused")
        for item in tail:
            blocks = without_media(_blocks(item.message), "the model could not read this file")
            self._store(str(item.message["role"]), blocks, item.ids, item.kind, None)
        return True

    def _store(
        self,
        role: str,
        blocks: list[Block],
        ids: tuple[str, ...],
        kind: UserKind,
        told: Mapping[str, str] | None,
    ) -> None:
        message: dict[str, object] = {"role": role, "content": blocks}
        number = self._conversation.append_user(message, ids, kind, told or None)
        self._tail.append(_Appended(number, message, ids, kind))

    def _input_blocks(self, given: Input) -> list[Block]:
        prompt = given.prompt
        blocks: list[Block] = []
        if prompt.text.strip():
            blocks.append({"type": "text", "text": prompt.text})
        if self._native:
            blocks += attachment_blocks(prompt.attachments)
        return blocks

    def _notes(self, inputs: Sequence[Input], notes: Sequence[str]) -> list[str]:
        told = [*self._pending, *self._toolbox.take_notes()]
        self._pending.clear()
        for given in inputs:
            told += given.prompt.notes
        told += notes
        model = self._mainline.fell_back_to
        if model is not None and model != self._told_model:
            self._told_model = model
            told.append(FELL_BACK.format(model=model))
        return [note for note in told if note.strip()]


def _blocks(message: Mapping[str, object]) -> list[Block]:
    content = message["content"]
    assert isinstance(content, list)
    return content

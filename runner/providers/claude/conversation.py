"""A conversation on disk: the active list of messages and the file that is its truth.

The engine appends what it is about to send and what came back; every method that returns has its
record in the file, and in addition on the disk where something durable may depend on it (R-289).
All calls are synchronous and short, and may come from several threads. Nothing that was sent is
ever edited: the list grows at its end, is replaced by a compaction, or loses messages by a
retraction.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.clock import utc_now
from contract.killpoint import reached
from runner.log import fields
from runner.providers.base import Origin
from runner.providers.claude.epoch import Epoch, Prefix, epoch_fields
from runner.providers.claude.identity import (
    conversation_path,
    is_conversation_id,
    new_conversation_id,
)
from runner.providers.claude.loading import (
    INDEX_SUFFIX,
    load,
    stored_messages,
    write_index,
)
from runner.providers.claude.recordfile import RecordFile
from runner.providers.claude.records import (
    FORMAT,
    Json,
    Message,
    Record,
    RecordType,
    StorageError,
    TurnStatus,
    UnusableError,
    UserKind,
    decode,
    encode,
    owns,
    stamp,
)
from runner.providers.claude.repair import OpenCall, open_calls, valid_messages
from runner.providers.claude.replay import Entry, History, TurnState
from runner.providers.claude.retention import forget_old

_log = logging.getLogger(__name__)

LOST_NOTE = (
    "The stored conversation could not be read, so what was said before is no longer in your"
    " context. Archives of earlier conversations are in the folder conversations/, and your memory"
    " files are untouched: look there before you ask people to repeat themselves."
)


@dataclass(frozen=True, slots=True)
class ConversationFacts:
    """What a conversation is opened with."""

    runner_version: str
    provider: str = "claude"
    lock_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """A stored last answer of a turn, to be said again without asking the model."""

    text: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Turn:
    """What was appended between two turn ends. ``status`` None: it has not ended."""

    inbound_ids: tuple[str, ...]
    status: TurnStatus | None = None
    final: FinalAnswer | None = None
    """The answer, if the last message is one (complete, or the turn ended well)."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What takes the place of all messages up to a record (R-282, R-284)."""

    replaces_up_to: int
    message: Message
    pre_tokens: int
    post_tokens: int
    archive: str | None = None


class Conversation:
    """Owns the file and its lock until ``close``. Made by ``open`` or ``create``."""

    def __init__(self, file: RecordFile, history: History, notes: tuple[str, ...] = ()) -> None:
        self._file = file
        self._history = history
        self._appending = threading.Lock()
        self.id: str = file.path.stem
        """The continuation, ``nc1-…``."""
        self.opening_notes: tuple[str, ...] = notes
        """What the agent must be told of how this conversation came to be; not yet appended."""

    @classmethod
    def open(
        cls, folder: Path, continuation: str | None, facts: ConversationFacts
    ) -> "Conversation":
        """The stored conversation, or a new one.

        A missing or corrupt file leads to a new conversation whose ``opening_notes`` tell the
        agent (R-289); compare ``id`` with the continuation. A handle of another program (R-57) is
        treated as None. Raises LockedError after ``lock_seconds``, StorageError.
        """
        notes: tuple[str, ...] = ()
        if continuation is not None and owns(continuation):
            try:
                conversation = cls._open_stored(folder, continuation, facts)
            except UnusableError as error:
                _log.error("conversation is unusable, starting anew", extra=fields(reason=error))
                notes = (LOST_NOTE,)
            else:
                forget_old(folder, conversation.id)
                return conversation
        conversation = cls.create(folder, facts)
        conversation.opening_notes = notes
        forget_old(folder, conversation.id)
        return conversation

    @classmethod
    def create(cls, folder: Path, facts: ConversationFacts) -> "Conversation":
        """A new one; its header is on the disk when this returns (R-287). Raises StorageError."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder.name} cannot be made: {error.strerror}") from error
        file = RecordFile.create(conversation_path(folder, new_conversation_id()))
        conversation = cls(file, History())
        conversation._append(
            RecordType.HEADER,
            {
                "format": FORMAT,
                "id": conversation.id,
                "runner_version": facts.runner_version,
                "provider": facts.provider,
            },
            sync=True,
        )
        file.sync_folder()
        reached("runner.conversation_begun")
        return conversation

    @classmethod
    def read(cls, folder: Path, continuation: str, facts: ConversationFacts) -> "Conversation":
        """A stored one and never a new one; raises UnusableError as well (R-292)."""
        return cls._open_stored(folder, continuation, facts)

    @classmethod
    def _open_stored(cls, folder: Path, name: str, facts: ConversationFacts) -> "Conversation":
        if not is_conversation_id(name):
            raise UnusableError("the stored handle is malformed")
        path = conversation_path(folder, name)
        file = RecordFile.open(path, facts.lock_seconds)
        try:
            conversation = cls(file, load(file))
            paused = conversation._history.paused_tail()
            if paused:
                conversation.retract([entry.n for entry in paused], "paused")
        except UnusableError:
            _set_aside(path)
            file.close()
            raise
        except BaseException:
            file.close()
            raise
        return conversation

    @property
    def messages(self) -> list[Message]:
        """The active list in API form: valid, adjacent messages of one role joined.

        A new list of shared messages: never change one in place (cache markers go on copies).
        Open calls of the last assistant message are not answered in it; see ``open_calls``.
        """
        return valid_messages([entry.message for entry in self._history.entries])

    def all_messages(self) -> Iterator[Message]:
        """Everything that was ever in the list, also before compactions; reads the whole file."""
        return stored_messages(self._file)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The active list with the records behind it, unrepaired."""
        return tuple(self._history.entries)

    def first_messages(self, count: int) -> list[Message]:
        """The same for the first ``count`` of ``entries``."""
        return valid_messages([entry.message for entry in self._history.entries[:count]])

    @property
    def epoch(self) -> Epoch | None:
        """The head in force; None in a new conversation."""
        return self._history.epoch

    @property
    def has_history(self) -> bool:
        """The model has said something that is still in the list (for ``decide_epoch``)."""
        return any(entry.message.get("role") == "assistant" for entry in self._history.entries)

    @property
    def open_calls(self) -> tuple[OpenCall, ...]:
        """Must be answered before anything else is appended (R-246); see settle.py."""
        return open_calls(self.messages)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The newest turns, oldest first; the last one may be unfinished."""
        return tuple(self._turn(state) for state in self._history.turns)

    @property
    def unfinished(self) -> Turn | None:
        """The last turn if it has not ended (``turn_end``)."""
        state = self._history.open_turn
        return None if state is None else self._turn(state)

    @property
    def todo(self) -> tuple[Json, ...]:
        """The current list of ``todo_write`` (R-256)."""
        return self._history.todo

    @property
    def interrupted_input(self) -> str:
        """What people wrote in the open turn, when only a summary is left of it."""
        return self._history.interrupted_input

    @property
    def needs_finishing(self) -> bool:
        """A kill cut a compaction off: ``Compactor.finish`` comes before the next input."""
        return self._history.needs_finishing

    def start_epoch(self, prefix: Prefix, *, reason: str, drop_block: bool = False) -> Epoch:
        """A new head from now on. On disk when this returns."""
        number = self.epoch.number + 1 if self.epoch else 1
        epoch = Epoch(number, prefix, prefix.hash, reason, drop_block)
        self._append(RecordType.EPOCH, epoch_fields(epoch), sync=True)
        reached("runner.conversation_epoch")
        write_index(self._file, self._history)
        return epoch

    def append_user(
        self,
        message: Message,
        inbound_ids: Sequence[str] = (),
        kind: UserKind = UserKind.INPUT,
        told: Mapping[str, str] | None = None,
    ) -> int:
        """Before the request that carries it; the record's number.

        ``message`` may also have the role ``system`` (an operator note). ``told`` is that of a
        KeepWithNote. Lone surrogates in texts are replaced.
        """
        record: Json = {"message": message, "inbound_ids": list(inbound_ids), "kind": kind.value}
        if told:
            record["told"] = dict(told)
        n = self._append(RecordType.USER, record, sync=False).n
        reached("runner.conversation_user")
        return n

    def append_assistant(
        self, message: Message, *, stop_reason: str | None, response_id: str, model: str
    ) -> Record:
        """A complete response exactly as received. On disk when this returns, before any block
        of it may be dispatched; the record gives the Origin (``origin_of``)."""
        record = self._append(
            RecordType.ASSISTANT,
            {
                "message": message,
                "stop_reason": stop_reason,
                "response_id": response_id,
                "model": model,
            },
            sync=True,
        )
        reached("runner.conversation_assistant")
        return record

    def origin_of(self, record: Record) -> Origin:
        """``seed`` is the conversation and the record's number."""
        return Origin(f"{self.id}:{record.n}", record.at)

    def turn_end(self, inbound_ids: Sequence[str], status: TurnStatus) -> None:
        """With the ``result`` event, before it is emitted. On disk when this returns."""
        record = {"inbound_ids": list(inbound_ids), "status": status.value}
        self._append(RecordType.TURN_END, record, sync=True)
        reached("runner.conversation_turn_end")

    def dispatch(self, ref: int, block: int, dest: str, outbound_id: str | None = None) -> None:
        """A block of assistant record ``ref`` was sent."""
        record = {"ref": ref, "block": block, "dest": dest, "outbound_id": outbound_id}
        self._append(RecordType.DISPATCH, record, sync=False)

    def retract(self, refs: Sequence[int], why: str) -> None:
        """Takes messages out of the active list; the file keeps them. On disk at return."""
        self._append(RecordType.RETRACT, {"refs": list(refs), "why": why}, sync=True)
        reached("runner.conversation_retract")

    def retract_turn(self, why: str) -> tuple[int, ...]:
        """Everything since the last turn end (R-243); the record numbers."""
        refs = tuple(entry.n for entry in self._history.tail_of_turn())
        if refs:
            self.retract(refs, why)
        return refs

    def replace_by_compaction(self, compaction: Compaction) -> None:
        """Later messages stay behind the new first one. On disk when this returns."""
        self._append(
            RecordType.COMPACTION,
            {
                "replaces_up_to": compaction.replaces_up_to,
                "message": compaction.message,
                "pre_tokens": compaction.pre_tokens,
                "post_tokens": compaction.post_tokens,
                "archive": compaction.archive,
                "turn": self._history.turn_snapshot(compaction.replaces_up_to),
            },
            sync=True,
        )
        reached("runner.conversation_compaction")
        if self.todo:  # its record is before the point from which a reload reads
            self.set_todo(self.todo)
        write_index(self._file, self._history)

    def set_todo(self, items: Sequence[Mapping[str, object]]) -> None:
        self._append(RecordType.TASKS, {"items": [dict(item) for item in items]}, sync=False)

    def note_taint(self, words: frozenset[str]) -> None:
        """Tools have brought this into the turn; before anything of it is appended."""
        self._append(RecordType.TAINT, {"words": sorted(words)}, sync=False)

    def taint_of(self, ids: Sequence[str]) -> frozenset[str]:
        """What earlier attempts at these rows had seen."""
        states = [turn for turn in self._history.turns if set(turn.inbound_ids) & set(ids)]
        return frozenset[str]().union(*(turn.taint for turn in states))

    def log_usage(self, usage: Mapping[str, object]) -> None:
        """A ``usage`` record, for reading by people."""
        self._append(RecordType.USAGE, {"usage": dict(usage)}, sync=False)

    def log_error(self, trouble: str, detail: str) -> None:
        """An ``error`` record; ``detail`` must hold no secret."""
        self._append(RecordType.ERROR, {"class": trouble, "detail": detail[:2000]}, sync=False)

    def close(self) -> None:
        """Releases the lock. Safe to repeat."""
        self._file.close()

    def _append(self, kind: RecordType, values: Mapping[str, object], *, sync: bool) -> Record:
        with self._appending:
            record = stamp(kind, self._history.last_n + 1, utc_now(), values)
            line = encode(record)
            offset = self._file.append(line, sync=sync)
            # Read back, so that memory holds what a reload will find, and nobody else's objects.
            self._history.apply(decode(line), offset, len(line))
            return Record(self._history.last_n, self._history.last_at)

    def _turn(self, state: TurnState) -> Turn:
        answer = state.answer
        final = None
        if answer is not None:
            record = Record(answer.n, answer.at)
            final = FinalAnswer(answer.text, self.origin_of(record))
        return Turn(state.inbound_ids, state.status, final)


def _set_aside(path: Path) -> None:
    """A corrupt file is kept for people to look at; its index is of no use any more."""
    try:
        path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)
        path.replace(path.with_name(f"{path.name}.corrupt"))
    except OSError as error:
        _log.warning("corrupt conversation cannot be renamed", extra=fields(reason=error))

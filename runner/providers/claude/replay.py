"""What the records of a conversation add up to: active list, head, turns, todo list.

Both loading and appending go through ``History.apply``, so that a reloaded conversation is the
same as the one that was written (R-290). Nothing here touches a file. Unknown record types are
passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from contract.clock import parse_text, to_text
from runner.providers.claude.epoch import Epoch, epoch_of
from runner.providers.claude.records import (
    Json,
    Message,
    RecordType,
    TurnStatus,
    UnusableError,
    UserKind,
    as_strings,
    joined_text,
)
from runner.providers.claude.repair import tool_calls

FINAL_STOPS = frozenset({"end_turn", "stop_sequence"})
PAUSED = "pause_turn"
TURNS_KEPT = 8
"""A redelivery concerns the last turn or two; older ones are settled long since."""
INPUT_CHARACTERS = 20_000
_STATUSES = frozenset(TurnStatus)
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the active list and the record that brought it."""

    n: int
    at: datetime
    offset: int
    message: Message
    kind: str
    inbound_ids: tuple[str, ...] = ()
    stop_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of an assistant record that ended a turn."""

    n: int
    at: datetime
    text: str


@dataclass(slots=True)
class TurnState:
    """Messages between two turn ends. ``ids`` by the record that brought them."""

    ids: dict[int, tuple[str, ...]] = field(default_factory=dict)
    newest: Entry | None = None
    status: TurnStatus | None = None
    taint: frozenset[str] = frozenset()
    """What tools brought into it."""
    kept: Answer | None = None
    """From the record of a compaction, when the message itself is gone."""

    @property
    def inbound_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for ids in self.ids.values() for one in ids))

    @property
    def answer(self) -> Answer | None:
        """R-291: what can be said again. Of an unfinished turn only a complete answer."""
        if self.status not in (None, TurnStatus.OK):
            return None
        entry = self.newest
        if entry is None:
            return self.kept
        ended = self.status is TurnStatus.OK
        if entry.kind != RecordType.ASSISTANT or tool_calls(entry.message):
            return None
        if not ended and entry.stop_reason not in FINAL_STOPS:
            return None
        return Answer(entry.n, entry.at, joined_text(entry.message))


@dataclass(slots=True)
class History:
    """Grows by ``apply``."""

    header: Json | None = None
    entries: list[Entry] = field(default_factory=list)
    epoch: Epoch | None = None
    epoch_at: tuple[int, int] = (0, 0)
    """Offset and length of the record of the head in force."""
    todo: tuple[Json, ...] = ()
    turns: list[TurnState] = field(default_factory=list)
    last_n: int = 0
    last_at: datetime = _NEVER
    last_turn_end: int = 0
    interrupted_input: str = ""
    """What people wrote in the open turn, when only a summary is left of it."""
    taint: frozenset[str] = frozenset()
    """What tools have brought in since the last turn ended."""
    needs_finishing: bool = False
    """A compaction is in force that the agent has not been told the situation after."""
    replay_from: int = 0
    """Offset from which reading is enough (with header and epoch)."""

    def apply(self, record: Json, offset: int, length: int) -> None:
        """Raises UnusableError for a record that makes no sense."""
        n, at = record["n"], parse_text(record["ts"])
        if not isinstance(n, int) or at is None or n <= self.last_n:
            raise UnusableError(f"record {n} follows record {self.last_n}")
        self.last_n, self.last_at = n, at
        match record["t"]:
            case RecordType.HEADER:
                self.header = record
            case RecordType.EPOCH:
                self.epoch, self.epoch_at = epoch_of(record), (offset, length)
            case RecordType.USER | RecordType.ASSISTANT:
                self._add(_entry(record, n, at, offset))
                self._tell(record)
            case RecordType.TURN_END:
                self._end_turn(record, n)
            case RecordType.COMPACTION:
                self._compact(record, Entry(n, at, offset, _message(record), "compaction"))
            case RecordType.RETRACT:
                self._retract(_numbers(record.get("refs")))
            case RecordType.TASKS:
                self.todo = _items(record.get("items"))
            case RecordType.TAINT:
                self._taint(as_strings(record.get("words")))
            case _:
                pass

    @property
    def open_turn(self) -> TurnState | None:
        """The last turn, if it has not ended."""
        if self.turns and self.turns[-1].status is None:
            return self.turns[-1]
        return None

    def tail_of_turn(self) -> list[Entry]:
        """What was appended since the last turn ended; never a compaction."""
        return [
            entry
            for entry in self.entries
            if entry.n > self.last_turn_end and entry.kind != RecordType.COMPACTION
        ]

    def paused_tail(self) -> list[Entry]:
        """Answers that the server wanted to go on with, at the end of the list."""
        tail: list[Entry] = []
        for entry in reversed(self.entries):
            if entry.stop_reason != PAUSED:
                break
            tail.insert(0, entry)
        return tail

    def turn_snapshot(self, limit: int) -> Json:
        """What a compaction of everything up to record ``limit`` must carry on of the turn."""
        ended: Json = {"ended_before": self.last_turn_end}
        if not self.turns:
            return ended
        turn = self.turns[-1]
        answer = turn.answer
        return ended | {
            "inbound_ids": list(turn.inbound_ids),
            "status": turn.status.value if turn.status else None,
            "taint": sorted(turn.taint),
            "answer": answer and {"n": answer.n, "text": answer.text, "ts": to_text(answer.at)},
            "input": self._input_of_turn(limit) if turn.status is None else "",
        }

    def _taint(self, words: tuple[str, ...]) -> None:
        self.taint |= frozenset(words)
        if self.open_turn is not None:
            self.open_turn.taint = self.taint

    def _add(self, entry: Entry) -> None:
        turn = self.open_turn
        if turn is None:
            turn = TurnState(taint=self.taint)
            self.turns = [*self.turns, turn][-TURNS_KEPT:]
        turn.newest = entry
        self.needs_finishing = self.needs_finishing and entry.kind == RecordType.ASSISTANT
        if entry.inbound_ids:
            turn.ids[entry.n] = entry.inbound_ids
        self.entries.append(entry)

    def _input_of_turn(self, limit: int) -> str:
        inputs = [entry for entry in self.tail_of_turn() if entry.kind == UserKind.INPUT]
        texts = [joined_text(entry.message) for entry in inputs if entry.n <= limit]
        return "\n\n".join([self.interrupted_input, *texts]).strip()[:INPUT_CHARACTERS]

    def _tell(self, record: Mapping[str, object]) -> None:
        told = record.get("told")
        if isinstance(told, dict) and self.epoch is not None:
            self.epoch = replace(self.epoch, told={**self.epoch.told, **told})

    def _end_turn(self, record: Mapping[str, object], n: int) -> None:
        self.last_turn_end, self.interrupted_input, self.taint = n, "", frozenset()
        turn = self.open_turn
        if turn is None:
            return
        try:
            turn.status = TurnStatus(str(record.get("status")))
        except ValueError:
            turn.status = TurnStatus.ERROR
        ids = as_strings(record.get("inbound_ids"))
        if ids:
            turn.ids.setdefault(n, ids)

    def _compact(self, record: Mapping[str, object], first: Entry) -> None:
        limit = record.get("replaces_up_to")
        if not isinstance(limit, int):
            raise UnusableError(f"compaction {first.n} does not say what it replaces")
        kept = [entry for entry in self.entries if entry.n > limit]
        self.entries = [first, *kept]
        self.replay_from = min(entry.offset for entry in self.entries)
        self.needs_finishing, self.interrupted_input = True, ""
        earlier = [t for t in self.turns[:-1] if t.newest is not None and t.newest.n > limit]
        self.turns = []
        snapshot = record.get("turn")
        if isinstance(snapshot, dict):
            ended = snapshot.get("ended_before")
            self.last_turn_end = ended if isinstance(ended, int) else self.last_turn_end
            self.interrupted_input = str(snapshot.get("input", ""))
            if "status" in snapshot:
                self.turns = [*earlier, _restored(snapshot, first.n)]
            if self.open_turn is not None:
                self.taint |= self.open_turn.taint

    def _retract(self, refs: frozenset[int]) -> None:
        self.entries = [entry for entry in self.entries if entry.n not in refs]
        for turn in self.turns:
            turn.ids = {n: ids for n, ids in turn.ids.items() if n not in refs}
            if turn.newest is not None and turn.newest.n in refs:
                turn.newest = None


def _entry(record: Mapping[str, object], n: int, at: datetime, offset: int) -> Entry:
    stop_reason = record.get("stop_reason")
    return Entry(
        n=n,
        at=at,
        offset=offset,
        message=_message(record),
        kind=str(record.get("kind", record["t"])),
        inbound_ids=as_strings(record.get("inbound_ids")),
        stop_reason=stop_reason if isinstance(stop_reason, str) else None,
    )


def _message(record: Mapping[str, object]) -> Message:
    message = record.get("message")
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise UnusableError(f"record {record['n']} holds no message")
    return message


def _restored(snapshot: Mapping[str, object], n: int) -> TurnState:
    status, answer = snapshot.get("status"), snapshot.get("answer")
    turn = TurnState(
        ids={n: as_strings(snapshot.get("inbound_ids"))},
        status=TurnStatus(status) if isinstance(status, str) and status in _STATUSES else None,
        taint=frozenset(as_strings(snapshot.get("taint"))),
    )
    if isinstance(answer, dict):
        number, at = answer.get("n"), parse_text(answer.get("ts"))
        if isinstance(number, int) and at is not None:
            turn.kept = Answer(number, at, str(answer.get("text", "")))
    return turn


def _numbers(value: object) -> frozenset[int]:
    items = value if isinstance(value, list) else []
    return frozenset(item for item in items if isinstance(item, int))


def _items(value: object) -> tuple[Json, ...]:
    return (
        tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
    )

"""What is being answered just now, as far as tools need it.

In the runner's process it comes from memory, in another one from ``session_state`` (R-58), so
that ``in_reply_to`` is right in both (R-158).
"""

from dataclasses import dataclass
from typing import Protocol

from contract.address import NOWHERE, Address
from contract.errors import BadContent, SessionFileMissing
from contract.inbound.lookup import read_rows
from contract.inbound.row import InboundRow
from contract.jsontext import parse_object
from contract.layout import RunnerPaths
from contract.outbound.reader import read_outbound
from runner.desk.access import SessionStore
from runner.provenance import TURN_TAINT, Provenance, provenance_of, taint_words
from runner.store import CURRENT_BATCH
from runner.turn.current import CurrentTurn

_MAX_STATE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """``rows`` are all rows of the turn; ``address`` and ``in_reply_to`` are of the routing row."""

    address: Address = NOWHERE
    in_reply_to: str | None = None
    rows: tuple[InboundRow, ...] = ()
    words: frozenset[str] = frozenset()
    """The taint of the turn that does not come from the rows' columns."""

    @property
    def provenance(self) -> Provenance:
        return provenance_of(self.rows, self.words)


class BatchSource(Protocol):
    """Where the desk asks; empty between turns."""

    async def read(self) -> Batch: ...


class TurnBatch:
    """For tools in the runner's process."""

    def __init__(self, current: CurrentTurn) -> None:
        self._current = current

    async def read(self) -> Batch:
        current = self._current
        return Batch(current.origin, current.in_reply_to, current.rows, current.words)


class StoredBatch:
    """For tools in another process."""

    def __init__(self, paths: RunnerPaths, store: SessionStore) -> None:
        self._paths = paths
        self._store = store

    async def read(self) -> Batch:
        return await self._store.ask(self._read)

    def _read(self) -> Batch:
        try:
            with read_outbound(self._paths.outbound_db) as out:
                state = parse_object(out.get_state(CURRENT_BATCH), max_bytes=_MAX_STATE_BYTES)
                seen = taint_words(out.get_state(TURN_TAINT))
        except (SessionFileMissing, BadContent):
            return Batch()
        ids = state.get("ids")
        known = [i for i in ids if isinstance(i, str)] if isinstance(ids, list) else []
        address = Address(
            _text(state, "channel_type"), _text(state, "platform_id"), _text(state, "thread_id")
        )
        rows = read_rows(self._paths.inbound_db, known)
        words = taint_words(_text(state, "taint")) | seen
        return Batch(address, _text(state, "in_reply_to"), rows, words)


def _text(state: dict[str, object], key: str) -> str | None:
    value = state.get(key)
    return value if isinstance(value, str) else None

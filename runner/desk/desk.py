"""What tools may do with the session files; made once per process.

Every tool of NanoClaw reads and writes through it, in the runner's process and in the tool server
alike. It answers to the providers' and the loop's protocols as well (``UsageSink``,
``EffectMemory``, ``DeskView``, in-flight marks). Nothing here decides what is sent to whom.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from contract.address import Address
from contract.clock import utc_now
from contract.errors import ContractError, SessionFileMissing
from contract.inbound import lookup, reader
from contract.inbound.row import DeliveredMark, InboundRow
from contract.killpoint import reached
from contract.layout import RunnerPaths
from contract.outbound.reader import OutboundReader, read_outbound
from contract.outbound.row import NewOutbound, UsageEntry
from contract.outbound.writer import OutboundWriter
from runner.address_book import (
    AddressFacts,
    Resolved,
    Unresolved,
    newest_known,
    resolve,
    wanted_chats,
)
from runner.desk import outbox
from runner.desk.access import SessionStore
from runner.desk.batch import Batch, BatchSource
from runner.desk.errand import Errand, Numbers, new_row
from runner.desk.questions import (
    QUESTIONS_KEY,
    OpenQuestion,
    find_question,
    parse_questions,
    with_question,
    without_question,
)
from runner.errors import RunnerError
from runner.log import fields
from runner.provenance import TURN_TAINT, joined_taint
from runner.store import EFFECT_PREFIX

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

BASH = "Bash"
"""The only name in flight that widens the host's patience (R-60)."""

SETTLE_SECONDS = 6.0
"""A little longer than a transaction waits for its lock."""


@dataclass(frozen=True, slots=True)
class Referred:
    """The message with a number (R-50). ``id`` is what a platform knows it by, if it is known."""

    row_id: str
    id: str
    address: Address
    own: bool


class Desk:
    """Used from the event loop; ``start`` comes first in the runner's process."""

    def __init__(self, paths: RunnerPaths, store: SessionStore, batches: BatchSource) -> None:
        self._paths = paths
        self._in = paths.inbound_db
        self._store = store
        self._batches = batches
        self._deliveries = 0
        self._awaited: set[str] = set()

    @property
    def paths(self) -> RunnerPaths:
        return self._paths

    @property
    def deliveries(self) -> int:
        """How many times tools have said something to somebody in this process (R-88)."""
        return self._deliveries

    @property
    def open_questions(self) -> bool:
        """Somebody is waited for (R-94)."""
        return bool(self._awaited)

    def awaits(self, key: str) -> bool:
        """A tool of this process waits for the answer to this question or request (R-98)."""
        return key in self._awaited

    @contextmanager
    def awaiting(self, key: str) -> Iterator[None]:
        """For as long as a tool waits for an answer."""
        self._awaited.add(key)
        try:
            yield
        finally:
            self._awaited.discard(key)

    async def start(self) -> None:
        """Removes files whose message was never written. Not while another process sends."""
        removed = await self._store.ask(self._remove_orphans)
        if removed:
            _log.info("files without a message removed", extra=fields(count=removed))

    async def batch(self) -> Batch:
        return await self._batches.read()

    async def resolve(self, to: str | None, batch: Batch) -> Resolved | Unresolved:
        """What a tool's ``to`` means just now (R-146)."""
        return await self._store.ask(lambda: self._resolve(to, batch))

    async def write(self, errand: Errand, call_id: str) -> str:
        """Carries it out and gives its answer. Under a call id that did so before: only that.

        A cancelled call is passed on when the transaction is through, so that its caller knows
        that what belongs to the rows must stay.
        """
        job = asyncio.ensure_future(self._write(errand, call_id))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait({job}, timeout=SETTLE_SECONDS)
            if job.done() and not job.cancelled() and job.exception() is not None:
                _log.warning("cancelled call not written", extra=fields(reason=job.exception()))
            raise

    async def _write(self, errand: Errand, call_id: str) -> str:
        batch = await self._batches.read()
        rows = [new_row(letter, batch, utc_now()) for letter in errand.letters]
        text = await self._store.transact(
            lambda out, above: _carry_out(errand, call_id, _Pen(out, above, rows, utc_now()))
        )
        reached("runner.tool_committed")
        if errand.delivers:
            self._deliveries += 1
        return text

    async def recall(self, call_id: str) -> str | None:
        """What this call has durably done, if anything (R-171, R-246)."""
        effect = await self._state(EFFECT_PREFIX + call_id)
        if effect is not None:
            return effect
        questions = await self._state(QUESTIONS_KEY)
        asked = next((q for q in parse_questions(questions) if q.call_id == call_id), None)
        if asked is None:
            return None
        return (
            f"The question {asked.title!r} was sent and is still open; nobody waits for it any "
            "more. If it is answered, the answer arrives as a message. Do not ask it again."
        )

    async def started(self, tool: str, milliseconds: int | None) -> None:
        """Marks a running tool for the host (R-59); never fails."""
        name = BASH if tool.casefold() == "bash" else tool
        await self._note(lambda out: out.set_tool_in_flight(name, milliseconds, utc_now()))

    async def ended(self) -> None:
        await self._note(lambda out: out.clear_tool_in_flight(utc_now()))

    async def publish_taint(self, words: frozenset[str]) -> None:
        """For programs that a tool starts and that write rows themselves; on disk at return."""
        text = joined_taint(words)

        def work(out: OutboundWriter, _: int) -> None:
            if text is None:
                out.delete_state(TURN_TAINT)
            else:
                out.set_state(TURN_TAINT, text, utc_now())

        await self._store.transact(work)

    async def log_usage(self, entry: UsageEntry) -> None:
        """Never fails: the row is information only (R-318)."""
        await self._note(lambda out: out.log_usage(entry))

    async def find_message(self, number: int) -> Referred | None:
        """R-51, R-52; an inbound row is known by the platform's own id where the host gave it."""
        row = await self._store.ask(lambda: reader.read_row_by_seq(self._in, number))
        if row is not None:
            return Referred(row.id, row.platform_message_id or row.id, row.address, own=False)
        sent = await self._ask_outbound(lambda out: out.find_by_seq(number), None)
        return None if sent is None else Referred(sent.id, sent.id, sent.address, own=True)

    async def find_delivered(self, message_id: str) -> DeliveredMark | None:
        """What the host has recorded about a message of ours."""
        marks = await self._store.ask(lambda: reader.read_delivered(self._in, [message_id]))
        return marks[0] if marks else None

    async def tasks(self) -> tuple[InboundRow, ...]:
        return await self._store.ask(lambda: reader.read_tasks(self._in))

    async def find_task(self, task_id: str) -> InboundRow | None:
        return await self._store.ask(lambda: lookup.find_task(self._in, task_id))

    async def has_written(self, message_id: str) -> bool:
        """A row of ours with this id is still in the queue."""
        return await self._ask_outbound(lambda out: out.has_message(message_id), default=False)

    async def session_routing(self) -> Address:
        return await self._store.ask(lambda: reader.read_session_routing(self._in))

    async def newest_number(self) -> int:
        """The highest number of the host's messages, to know later what is newer."""
        return await self._store.ask(lambda: reader.read_max_seq(self._in))

    async def find_question(self, question_id: str) -> OpenQuestion | None:
        return find_question(await self._state(QUESTIONS_KEY), question_id)

    async def questions(self) -> tuple[OpenQuestion, ...]:
        """What people were asked and have not answered, oldest first."""
        return parse_questions(await self._state(QUESTIONS_KEY))

    async def find_answer(self, question_id: str) -> InboundRow | None:
        """The answer to a question, unless somebody has taken it already (R-47)."""
        row = await self._store.ask(lambda: reader.find_question_response(self._in, question_id))
        return await self._unless_acked(row)

    async def find_frame(self, request_id: str) -> InboundRow | None:
        """The answer to an administrative request (R-182)."""
        row = await self._store.ask(lambda: lookup.find_response(self._in, request_id))
        return await self._unless_acked(row)

    async def find_chat_after(self, chat: Address, number: int) -> InboundRow | None:
        """An ordinary message from that chat above this number (R-170)."""
        return await self._store.ask(lambda: lookup.read_chat_after(self._in, chat, number))

    async def _state(self, key: str) -> str | None:
        return await self._ask_outbound(lambda out: out.get_state(key), None)

    async def _unless_acked(self, row: InboundRow | None) -> InboundRow | None:
        if row is None:
            return None
        acked = await self._ask_outbound(lambda out: out.acked_ids([row.id]), frozenset[str]())
        return None if row.id in acked else row

    async def _ask_outbound(self, read: Callable[[OutboundReader], _T], default: _T) -> _T:
        def work() -> _T:
            try:
                with read_outbound(self._paths.outbound_db) as out:
                    return read(out)
            except SessionFileMissing:
                return default

        return await self._store.ask(work)

    async def _note(self, work: Callable[[OutboundWriter], None]) -> None:
        try:
            await self._store.transact(lambda out, _: work(out))
        except (ContractError, RunnerError) as error:
            _log.warning("note for the host not written", extra=fields(reason=error))

    def _resolve(self, to: str | None, batch: Batch) -> Resolved | Unresolved:
        facts = AddressFacts(
            destinations=reader.read_destinations(self._in),
            origin=batch.address,
            in_reply_to=batch.in_reply_to,
            consumed=batch.rows,
            session=reader.read_session_routing(self._in),
        )
        newest = {
            chat: row
            for chat in wanted_chats(to, facts)
            if (row := self._newest_from(chat)) is not None
        }
        return resolve(to, replace(facts, newest=newest))

    def _newest_from(self, chat: Address) -> InboundRow | None:
        rows = lookup.read_recent_from(self._in, chat)
        try:
            with read_outbound(self._paths.outbound_db) as out:
                acked = out.acked_ids([row.id for row in rows])
        except SessionFileMissing:
            acked = frozenset()
        return newest_known(rows, acked)

    def _remove_orphans(self) -> int:
        try:
            with read_outbound(self._paths.outbound_db) as out:
                known = frozenset(out.message_ids())
        except SessionFileMissing:
            known = frozenset()
        return outbox.remove_orphans(self._paths.out_files, known)


@dataclass(frozen=True, slots=True)
class _Pen:
    """An open transaction and what is to be written in it."""

    out: OutboundWriter
    above: int
    rows: list[NewOutbound]
    now: datetime


def _carry_out(errand: Errand, call_id: str, pen: _Pen) -> str:
    out = pen.out
    done = out.get_state(EFFECT_PREFIX + call_id) if call_id else None
    if done is not None:
        return done
    numbers: Numbers = tuple(out.write_message(row, pen.above) for row in pen.rows)
    out.complete(errand.settles, pen.now)
    _keep_questions(errand, pen)
    text = errand.answer(numbers)
    # A question that was only sent has no answer yet: its entry says so (see ``recall``).
    if call_id and errand.opens is None:
        out.set_state(EFFECT_PREFIX + call_id, text, pen.now)
    return text


def _keep_questions(errand: Errand, pen: _Pen) -> None:
    if errand.opens is not None:
        text = pen.out.get_state(QUESTIONS_KEY)
        pen.out.set_state(QUESTIONS_KEY, with_question(text, errand.opens, pen.now), pen.now)
    if errand.closes is not None:
        rest = without_question(pen.out.get_state(QUESTIONS_KEY), errand.closes)
        if rest is None:
            pen.out.delete_state(QUESTIONS_KEY)
        else:
            pen.out.set_state(QUESTIONS_KEY, rest, pen.now)

"""Commits what events lead to: the redo log first, everything else follows from it.

``Committer`` puts events, decisions, target rows and all that the host says about them into the
central database in one transaction; only then may the channel be told "committed" (design
section 4). ``routing.writing`` puts the rows into session files afterwards. Called by
``routing.loop``; each event is decided by ``routing.decide`` and carried out by
``routing.verdicts``.
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from contract.errors import BadContent
from nanoclaw.approvals.intercept import Incoming, intercept
from nanoclaw.db import inbound_events
from nanoclaw.db.connection import transaction
from nanoclaw.db.inbound_events import LoggedEvent, NewInboundEvent
from nanoclaw.events import InboundEvent, Outcome
from nanoclaw.model import EventState
from nanoclaw.paths import HostPaths
from nanoclaw.routing.arrival import Arrival, UnreadableEventError, parse_arrival
from nanoclaw.routing.bots import BotMeter
from nanoclaw.routing.decide import (
    AskForChat,
    DropReason,
    Ignore,
    Judged,
    Reject,
    RouteDecision,
    decide_route,
    names_another_chat,
)
from nanoclaw.routing.facts import read_facts
from nanoclaw.routing.plan import NOTHING, Plan, dump_plan, parse_plan
from nanoclaw.routing.taken import TakenFiles
from nanoclaw.routing.verdicts import Carrier, Consequence
from nanoclaw.sessions.new_group import folders_on_disk

HELD_FOR = timedelta(days=7)
RELEASE_GROUP = 50
PAGE = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """What the log now says about one arrival, and what is to be done for it.

    ``speaks``: a message or card was queued. ``subscribes``: the thread is to be followed.
    """

    arrival: Arrival
    outcome: Outcome
    reason: str | None = None
    event_id: int | None = None
    plan: Plan = NOTHING
    speaks: bool = False
    subscribes: bool = False


class Committer:
    """Owned by the router's loop."""

    def __init__(self, conn: sqlite3.Connection, paths: HostPaths) -> None:
        self._conn = conn
        self._folders = partial(folders_on_disk, paths)
        self._files = TakenFiles(paths)
        self._carrier = Carrier(conn, self._files)
        self._bots = BotMeter()

    def commit(self, arrivals: Sequence[Arrival], now: datetime) -> list[Decided]:
        """All arrivals in one transaction; a copy of an earlier event changes nothing."""
        with transaction(self._conn):
            return [self._commit_one(arrival, now) for arrival in arrivals]

    def reject(self, arrival: Arrival, reason: str, now: datetime) -> Decided:
        """An event that no decision can be made about; it must not come back for ever (C-26)."""
        with transaction(self._conn):
            return self._log(arrival, Consequence(Outcome.REJECTED, reason), now)

    def decide_released(self, now: datetime, limit: int = RELEASE_GROUP) -> list[Decided]:
        """Events that somebody has decided about, judged anew; some may have to wait again."""
        if not inbound_events.released(self._conn, 1):
            return []
        with transaction(self._conn):
            events = inbound_events.released(self._conn, limit)
            return [self._decide_anew(event, now) for event in events]

    def reject_released(self, reason: str, now: datetime) -> Decided:
        """The oldest released event cannot be decided; the others must not wait for it."""
        with transaction(self._conn):
            (event,) = inbound_events.released(self._conn, 1)
            arrival = Arrival(event.instance, False, _nothing(event))
            found = Consequence(Outcome.REJECTED, reason)
            return self._store_anew(event, arrival, found, now)

    def expire_held(self, now: datetime) -> int:
        """The net below the expiry of requests: no event is held for longer than a week."""
        with transaction(self._conn):
            expired = inbound_events.expire_held(self._conn, now - HELD_FOR)
        return expired + self._files.sweep(now, wanted_files(self._conn))

    def _commit_one(self, arrival: Arrival, now: datetime) -> Decided:
        event = arrival.event
        if inbound_events.outcome_of(self._conn, arrival.instance, event.event_key) is not None:
            return Decided(arrival, Outcome.DUPLICATE)
        found = self._intercepted(arrival, now) or self._consequence(arrival, now)
        return self._log(arrival, found, now)

    def _intercepted(self, arrival: Arrival, now: datetime) -> Consequence | None:
        """Step 0 of H-71; once per event, so what is released later is never taken for an answer
        to something else."""
        event = arrival.event
        if not event.sender_id or (names_another_chat(event) and not arrival.is_operator):
            return None
        incoming = Incoming(
            arrival.instance, arrival.channel_type, arrival.user_id, event, self._folders
        )
        consumed = intercept(self._conn, incoming, now)
        if consumed is None:
            return None
        return Consequence(Outcome.ROUTED, consumed.reason, speaks=True)

    def _consequence(self, arrival: Arrival, now: datetime) -> Consequence:
        decision = self._decide(arrival, now)
        match decision:
            case Reject(reason):
                return Consequence(Outcome.REJECTED, reason.value)
            case Ignore(reason, silent):
                return Consequence(Outcome.IGNORED, reason.value, silent=silent)
            case AskForChat(group):
                return self._carrier.ask_for_chat(arrival, group, now)
            case Judged():
                return self._carrier.carry_out(arrival, decision, now)

    def _decide(self, arrival: Arrival, now: datetime) -> RouteDecision:
        event = arrival.event
        bots = 0
        if event.sender_is_bot:
            bots = self._bots.count(arrival.channel_type, event.platform_id, now)
        facts = read_facts(self._conn, arrival, now, bot_messages=bots)
        if arrival.only_for is not None and not facts.agents:
            return Ignore(DropReason.NOT_ENGAGED)  # those it waited for listen here no more
        return decide_route(facts)

    def _log(self, arrival: Arrival, found: Consequence, now: datetime) -> Decided:
        event_id = None
        if not found.silent:
            event_id = inbound_events.insert(self._conn, _entry(arrival, found, now))
        if found.plan.is_empty and found.waits_for is None:
            self._let_go(arrival)
        return _decided(arrival, found, event_id, found.plan)

    def _decide_anew(self, event: LoggedEvent, now: datetime) -> Decided:
        try:
            arrival = parse_arrival(event.event_json or "", event.instance, event.event_key)
        except UnreadableEventError as error:
            arrival = Arrival(event.instance, False, _nothing(event))
            found = Consequence(Outcome.REJECTED, str(error))
        else:
            found = self._consequence(arrival, now)
        return self._store_anew(event, arrival, found, now)

    def _store_anew(
        self, event: LoggedEvent, arrival: Arrival, found: Consequence, now: datetime
    ) -> Decided:
        plan = _joined(event, found.plan)
        entry = _entry(arrival, found, now, plan)
        inbound_events.decide_anew(self._conn, event.event_id, entry)
        if plan.is_empty and found.waits_for is None:
            self._let_go(arrival)
        return _decided(arrival, found, event.event_id, plan)

    def _let_go(self, arrival: Arrival) -> None:
        """Nobody gets the files of a message that goes nowhere."""
        names = [file.spool for file in arrival.event.attachments if file.spool]
        if names:
            self._files.take(arrival.instance, names)
            self._files.let_go(arrival.instance, names)


def wanted_files(conn: sqlite3.Connection) -> set[str]:
    """Names of all files that belong to events which are not done."""
    wanted: set[str] = set()
    after = 0
    while events := inbound_events.unrouted(conn, PAGE, after=after):
        after = events[-1].event_id
        for event in events:
            wanted.update(_plan_of(event).taken)
    after = 0
    while events := inbound_events.held(conn, PAGE, after=after):
        after = events[-1].event_id
        for event in events:
            wanted.update(_files_of(event))
    return wanted


def _files_of(event: LoggedEvent) -> list[str]:
    try:
        arrival = parse_arrival(event.event_json or "", event.instance, event.event_key)
    except UnreadableEventError:
        return []
    return [file.spool for file in arrival.event.attachments if file.spool]


def _decided(arrival: Arrival, found: Consequence, event_id: int | None, plan: Plan) -> Decided:
    return Decided(
        arrival, found.outcome, found.reason, event_id, plan, found.speaks, found.subscribes
    )


def _entry(
    arrival: Arrival, found: Consequence, now: datetime, plan: Plan | None = None
) -> NewInboundEvent:
    plan = found.plan if plan is None else plan
    return NewInboundEvent(
        instance=arrival.instance,
        event_key=arrival.event.event_key,
        received_at=now,
        outcome=found.outcome.value,
        reason=found.reason,
        event_json=found.event_json,
        targets_json=None if plan.is_empty else dump_plan(plan),
        waits_for=found.waits_for,
    )


def _joined(event: LoggedEvent, plan: Plan) -> Plan:
    """Rows of the first decision that are not in their files yet stay in the log."""
    if event.state is not EventState.COMMITTED:
        return plan
    earlier = _plan_of(event)
    return Plan(earlier.rows + plan.rows, plan.status or earlier.status,
                tuple(dict.fromkeys(earlier.taken + plan.taken)))  # fmt: skip


def _plan_of(event: LoggedEvent) -> Plan:
    try:
        return parse_plan(event.targets_json or "")
    except BadContent:
        return NOTHING


def _nothing(event: LoggedEvent) -> InboundEvent:
    return InboundEvent(event.event_key, "", "", "", "")

"""Carries the verdicts about one event out, inside the router's transaction.

Called by ``routing.apply``. Rows for session files are only planned here; sessions, talks, users,
requests for approval and what the host says are written now. What one agent's verdict leads to
is independent of the others (W-21). An event that waits for somebody is stored whole, and only
for the agents that it waits for.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from contract.ids import new_id
from nanoclaw.approvals import channels, senders
from nanoclaw.db import dropped, engagements, inbound_events, messaging_groups, sessions, users
from nanoclaw.db.dropped import DroppedMessage
from nanoclaw.db.engagements import Engagement
from nanoclaw.events import InboundEvent, Outcome
from nanoclaw.model import (
    EngageMode,
    MessagingGroup,
    NewSession,
    Session,
    UnknownSenderPolicy,
    User,
)
from nanoclaw.policy.taint import unite
from nanoclaw.routing.arrival import Arrival, dump_arrival
from nanoclaw.routing.content import extra_of
from nanoclaw.routing.decide import (
    TAINT_FILE,
    Command,
    Deliver,
    DropReason,
    Judged,
    Refuse,
    Skip,
    Verdict,
)
from nanoclaw.routing.gate import Answer, Deny, Drop
from nanoclaw.routing.host_answers import (
    HostAnswer,
    denial_text,
    help_text,
    occasion_of,
    queue_answer,
    start_text,
)
from nanoclaw.routing.incoming_files import inline_files
from nanoclaw.routing.plan import NOTHING, Plan, PlannedStatus, StatusOf
from nanoclaw.routing.rows import answer_address, plan_row
from nanoclaw.routing.taken import TakenFiles
from nanoclaw.sessions.decide import SessionKey

MAX_HELD = 50
"""Events that wait for one request; the oldest are kept, because they show what it is about."""
TALK_SECONDS = 24 * 3600
MAX_NAME = 200
TOO_MANY_HELD = "too_many_held"


@dataclass(frozen=True, slots=True)
class Consequence:
    """What one event leads to; see ``apply.Decided``. ``silent``: not even a line in the log."""

    outcome: Outcome
    reason: str | None = None
    plan: Plan = NOTHING
    waits_for: str | None = None
    event_json: str | None = None
    speaks: bool = False
    subscribes: bool = False
    silent: bool = False


class Carrier:
    """Everything here runs in the caller's transaction."""

    def __init__(self, conn: sqlite3.Connection, files: TakenFiles) -> None:
        self._conn = conn
        self._files = files

    def ask_for_chat(
        self, arrival: Arrival, group: MessagingGroup | None, now: datetime
    ) -> Consequence:
        """H-77 and H-210: the chat is noted, and somebody is asked what to do with it."""
        event = arrival.event
        if group is None:
            group = messaging_groups.find_or_create(self._conn, _new_chat(arrival, now))
        self._note_dropped(arrival, group, DropReason.NO_AGENT_WIRED, None, now)
        event_json = dump_arrival(arrival)
        is_group = group.is_group if event.is_group is None else event.is_group
        chat = channels.UnknownChat(
            group, is_group, arrival.user_id, _shown_name(event), event_json
        )
        waits_for = channels.request(self._conn, chat, now)
        if waits_for is None:
            return Consequence(Outcome.IGNORED, DropReason.NO_AGENT_WIRED.value)
        return self._hold(arrival, waits_for, event_json)

    def carry_out(self, arrival: Arrival, judged: Judged, now: datetime) -> Consequence:
        """Each verdict on its own, then what they come to together."""
        verdicts = judged.verdicts
        delivered = [verdict for verdict in verdicts if isinstance(verdict, Deliver)]
        commands = [verdict for verdict in verdicts if isinstance(verdict, Command)]
        refused = [verdict for verdict in verdicts if isinstance(verdict, Refuse)]
        asking = [verdict for verdict in refused if verdict.refusal.asks]
        if asking or commands or any(verdict.wakes for verdict in delivered):
            self._note_user(arrival, now)
        plan = self._plan_rows(arrival, judged, delivered, now)
        plan, speaks = self._answer_commands(arrival, commands, plan, now)
        waits_for, event_json = self._ask_for_sender(arrival, judged, asking, now)
        self._audit(arrival, judged, now)
        outcome, reason = _outcome(verdicts, plan, spoke=speaks)
        found = Consequence(
            outcome, reason, plan, speaks=speaks or waits_for is not None,
            subscribes=_subscribes(arrival, judged.messaging_group, delivered),
        )  # fmt: skip
        if waits_for is None or event_json is None:
            return found
        held = self._hold(arrival, waits_for, event_json)
        if outcome is Outcome.IGNORED:
            return replace(held, speaks=True)
        if held.waits_for is not None:
            # Those who wait still need the files when the others have theirs.
            kept = {file.spool for file in arrival.event.attachments}
            taken = tuple(name for name in plan.taken if name not in kept)
            found = replace(found, plan=replace(plan, taken=taken))
        return replace(found, waits_for=held.waits_for, event_json=held.event_json)

    # --- rows -------------------------------------------------------------------------------------

    def _plan_rows(
        self, arrival: Arrival, judged: Judged, delivered: Sequence[Deliver], now: datetime
    ) -> Plan:
        if not delivered:
            return NOTHING
        before = len(arrival.event.attachments)
        arrival, taken = self._take_files(arrival)
        if len(arrival.event.attachments) > before:  # some came inside: files like any other
            delivered = [replace(one, taint=unite(one.taint, TAINT_FILE)) for one in delivered]
        rows = []
        for verdict in delivered:
            session = self._find_or_create(judged.messaging_group, verdict.session, now)
            if verdict.wakes:
                sessions.mark_due(self._conn, session.id, now)
            else:
                sessions.touch(self._conn, session.id, now)  # or it would close as a quiet one
            if verdict.begins_talk:
                self._begin_talk(arrival, verdict, now)
            rows.append(plan_row(arrival, verdict, session, now))
        return Plan(tuple(rows), taken=taken)

    def _take_files(self, arrival: Arrival) -> tuple[Arrival, tuple[str, ...]]:
        """The event with all its files in our hands, also those that came inside of it."""
        event = arrival.event
        attachments = list(event.attachments)
        for attachment, data in inline_files(extra_of(event)) if event.extra_json else ():
            stored = attachment
            if data is not None:
                stored = self._files.store(arrival.instance, data, attachment)
            attachments.append(stored)
        names = tuple(file.spool for file in attachments if file.spool)
        self._files.take(arrival.instance, names)
        return replace(arrival, event=replace(event, attachments=tuple(attachments))), names

    def _find_or_create(self, group: MessagingGroup, key: SessionKey, now: datetime) -> Session:
        """The conversation of this key: the active one, the closed one again, or a new one."""
        found = sessions.find_active(self._conn, key.text)
        if found is not None:
            return found
        closed = sessions.find_closed(self._conn, key.text)
        if closed is not None:
            sessions.reopen(self._conn, closed.id)
            return closed
        new = NewSession(
            id=new_id("sess"),
            agent_group_id=key.agent_group_id,
            messaging_group_id=group.id,
            thread_id=key.thread_id,
            mode=key.mode,
            session_key=key.text,
            created_at=now,
        )
        return sessions.create(self._conn, new)

    def _begin_talk(self, arrival: Arrival, verdict: Deliver, now: datetime) -> None:
        wiring = verdict.agent.wiring
        seconds = wiring.sticky_seconds or TALK_SECONDS
        engagements.engage(
            self._conn,
            Engagement(
                wiring.agent_group_id, wiring.messaging_group_id, arrival.thread_id, now,
                now + timedelta(seconds=seconds),
            ),
        )  # fmt: skip

    # --- people -----------------------------------------------------------------------------------

    def _note_user(self, arrival: Arrival, now: datetime) -> None:
        """Only who has to do with an agent becomes a user (W-15); names follow (W-62)."""
        name = _shown_name(arrival.event)
        users.upsert(self._conn, User(arrival.user_id, arrival.channel_kind, now, name))

    def _ask_for_sender(
        self, arrival: Arrival, judged: Judged, asking: Sequence[Refuse], now: datetime
    ) -> tuple[str | None, str | None]:
        """One request per chat and sender, for the first of the agents; the rest ask later."""
        if not asking:
            return None, None
        waiting = frozenset(verdict.agent.agent_group.id for verdict in asking)
        event_json = dump_arrival(arrival, waiting)
        for verdict in asking:
            sender = senders.UnknownSender(
                judged.messaging_group, verdict.agent.agent_group, arrival.user_id,
                _shown_name(arrival.event), event_json,
            )  # fmt: skip
            waits_for = senders.request(self._conn, sender, now)
            if waits_for is not None:
                return waits_for, event_json
        return None, None

    def _hold(self, arrival: Arrival, waits_for: str, event_json: str) -> Consequence:
        if inbound_events.count_waiting(self._conn, waits_for) >= MAX_HELD:
            return Consequence(Outcome.IGNORED, TOO_MANY_HELD, speaks=True)
        self._files.take(
            arrival.instance, [file.spool for file in arrival.event.attachments if file.spool]
        )
        return Consequence(Outcome.HELD, waits_for=waits_for, event_json=event_json, speaks=True)

    # --- commands ---------------------------------------------------------------------------------

    def _answer_commands(
        self, arrival: Arrival, commands: Sequence[Command], plan: Plan, now: datetime
    ) -> tuple[Plan, bool]:
        """One message gets one answer, however many agents are meant by it."""
        for word, agents in _by_word(commands, Answer).items():
            if word == "/status":
                return replace(plan, status=self._plan_status(arrival, agents)), False
            names = [command.agent.agent_group.name for command in agents]
            text = help_text(names) if word == "/help" else start_text(names)
            return plan, queue_answer(self._conn, _answer(arrival, text), now)
        for word, agents in _by_word(commands, Deny).items():
            names = [command.agent.agent_group.name for command in agents]
            answer = _answer(arrival, denial_text(word, names))
            return plan, queue_answer(self._conn, answer, now)
        return plan, False

    def _plan_status(self, arrival: Arrival, commands: Sequence[Command]) -> PlannedStatus:
        agents = []
        for command in commands:
            session = sessions.find_active(self._conn, command.session.text)
            agents.append(
                StatusOf(command.agent.agent_group.id, None if session is None else session.id)
            )
        answer = _answer(arrival, "")
        return PlannedStatus(
            answer.occasion, answer.address, tuple(agents), answer.reply_hint, answer.reply_to
        )

    # --- the audit --------------------------------------------------------------------------------

    def _audit(self, arrival: Arrival, judged: Judged, now: datetime) -> None:
        """One message, one line, with the reason that decided (H-107, H-108, W-55)."""
        refused = [verdict for verdict in judged.verdicts if isinstance(verdict, Refuse)]
        audited = [verdict for verdict in refused if verdict.refusal.audited]
        if audited:
            first = audited[0]
            reason, agent_id = first.refusal.reason, first.agent.agent_group.id
            self._note_dropped(arrival, judged.messaging_group, reason, agent_id, now)
        elif all(isinstance(verdict, Skip | Refuse) for verdict in judged.verdicts):
            event = arrival.event
            if event.sender_is_bot or event.edited or event.reaction:
                return  # nobody has asked for them, so nothing was dropped
            reason = refused[0].refusal.reason if refused else DropReason.NOT_ENGAGED.value
            self._note_dropped(arrival, judged.messaging_group, reason, None, now)

    def _note_dropped(
        self, arrival: Arrival, group: MessagingGroup, reason: str, agent_id: str | None,
        now: datetime,
    ) -> None:  # fmt: skip
        dropped.record(
            self._conn,
            DroppedMessage(
                arrival.channel_type, arrival.event.platform_id, reason, now, arrival.user_id,
                _shown_name(arrival.event), group.id, agent_id,
            ),
        )  # fmt: skip


def _answer(arrival: Arrival, text: str) -> HostAnswer:
    event = arrival.event
    return HostAnswer(
        occasion_of(arrival.instance, event.event_key), text, answer_address(arrival),
        event.reply_hint, event.message_id,
    )  # fmt: skip


def _shown_name(event: InboundEvent) -> str | None:
    return event.sender_name[:MAX_NAME] if event.sender_name else None


def _new_chat(arrival: Arrival, now: datetime) -> MessagingGroup:
    return MessagingGroup(
        new_id("mg"),
        arrival.channel_type,
        arrival.event.platform_id,
        now,
        is_group=arrival.event.is_group is True,
        unknown_sender_policy=UnknownSenderPolicy.REQUEST_APPROVAL,
    )


def _by_word(
    commands: Sequence[Command], gate: type[Answer] | type[Deny]
) -> dict[str, list[Command]]:
    found: dict[str, list[Command]] = {}
    for command in commands:
        if isinstance(command.gate, gate):
            found.setdefault(command.gate.word, []).append(command)
    return found


def _subscribes(arrival: Arrival, group: MessagingGroup, delivered: Sequence[Deliver]) -> bool:
    """H-95: an agent stays in a thread, so the channel has to hear the rest of it."""
    return (
        arrival.thread_id is not None
        and group.is_group
        and any(
            verdict.wakes and verdict.agent.wiring.engage_mode is EngageMode.MENTION_STICKY
            for verdict in delivered
        )
    )


def _outcome(verdicts: Sequence[Verdict], plan: Plan, *, spoke: bool) -> tuple[Outcome, str | None]:
    """For the channel and the log; held events are dealt with by the caller."""
    if not plan.is_empty:
        return Outcome.ROUTED, None
    if spoke:
        return Outcome.ROUTED, "answered by the host"
    reasons = [reason for verdict in verdicts if (reason := _reason(verdict)) is not None]
    return Outcome.IGNORED, reasons[0] if reasons else DropReason.NOT_ENGAGED.value


def _reason(verdict: Verdict) -> str | None:
    match verdict:
        case Refuse(_, refusal):
            return refusal.reason
        case Command(_, Drop(word)):
            return f"{word} is a command of another program"
        case Command() | Deliver() | Skip():
            return None
        case _:
            assert_never(verdict)

"""Decides what an inbound event leads to: the tree of H-71.

Pure: facts in, one decision out. Called by ``routing.apply`` with what ``routing.facts`` read.
Each wiring is judged on its own, so what one agent does never depends on another. A refused sender
never leaves content behind, hence nothing is accumulated after a refusal (H-72).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from contract.address import MAX_PART_BYTES
from contract.inbound.row import MessageKind
from nanoclaw.events import InboundEvent
from nanoclaw.model import (
    AgentGroup,
    IgnoredMessagePolicy,
    MessagingGroup,
    SessionMode,
    Wiring,
)
from nanoclaw.permissions.access import Refusal, Standing, judge_access, judge_scope
from nanoclaw.routing.engage import Call, Said, begins_talk, is_called, judge_call
from nanoclaw.routing.gate import Answer, Deny, Drop, Pass, judge_command
from nanoclaw.sessions.decide import SessionKey, decide_session_key

CHANNEL_KINDS = frozenset({MessageKind.CHAT, MessageKind.CHAT_SDK, MessageKind.WEBHOOK})
"""The others are ours: no stranger speaks as the system or as a task."""
MAIL_KINDS = frozenset({"email", "resend"})
GATED_KINDS = frozenset({MessageKind.CHAT, MessageKind.CHAT_SDK})
TAINT_SENDER, TAINT_MAIL, TAINT_FILE = "unknown-sender", "mail", "file"
MAX_BOT_MESSAGES = 30
"""From other bots, per chat and minute; two bots that answer each other end here."""


class DropReason(StrEnum):
    """Why an event reaches no agent; most are words of the audit."""

    UNKNOWN_CHAT = "no chat of this name is registered"
    NO_AGENT_WIRED = "no_agent_wired"
    CHAT_DENIED = "the owner refused this chat"
    NOT_ENGAGED = "no_agent_engaged"
    NO_SENDER = "the message has no sender id"
    EMPTY = "the message has no content"
    NO_OPERATOR = "only the terminal may name another chat"
    BAD_KIND = "the message is of no kind that a channel may send"
    LONG_ID = "the id of its chat, thread or sender is too long to be answered"
    TOO_MANY_BOTS = "other bots write too much here"


@dataclass(frozen=True, slots=True)
class WiredAgent:
    """One wiring with the agent group at its end. ``in_talk``: see ``engage.Said``."""

    wiring: Wiring
    agent_group: AgentGroup
    in_talk: bool = False


@dataclass(frozen=True, slots=True)
class RoutingFacts:
    """Everything the decision rests on. ``channel_type`` and ``standing`` say where and who."""

    event: InboundEvent
    kind: str
    channel_type: str
    supports_threads: bool
    messaging_group: MessagingGroup | None
    agents: tuple[WiredAgent, ...]
    standing: Standing
    bot_messages: int = 0
    """From other bots in this chat within the last minute, this one not counted."""

    @property
    def thread_id(self) -> str | None:
        """Step 1: a channel that is not threaded has no threads (C-8)."""
        return (self.event.thread_id or None) if self.supports_threads else None


@dataclass(frozen=True, slots=True)
class Deliver:
    """A row for the agent. Without ``wakes`` it is context for later."""

    agent: WiredAgent
    session: SessionKey
    wakes: bool
    taint: str | None
    begins_talk: bool = False
    call: Call = Call.NOT_MEANT


@dataclass(frozen=True, slots=True)
class Refuse:
    """The sender may not talk to this agent. With ``refusal.asks`` somebody is asked."""

    agent: WiredAgent
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Command:
    """The gate kept the message from the agent, or answers in its place."""

    agent: WiredAgent
    gate: Drop | Deny | Answer
    session: SessionKey


@dataclass(frozen=True, slots=True)
class Skip:
    """Not meant, and nothing is kept."""

    agent: WiredAgent
    call: Call


Verdict = Deliver | Refuse | Command | Skip


@dataclass(frozen=True, slots=True)
class Reject:
    """The event breaks the contract of channels; it is kept in the log and goes nowhere."""

    reason: DropReason


@dataclass(frozen=True, slots=True)
class Ignore:
    """``silent``: not even a line in the log, because a bot may sit in many busy chats (W-15)."""

    reason: DropReason
    silent: bool = False


@dataclass(frozen=True, slots=True)
class AskForChat:
    """Somebody calls us in a chat that no agent listens to. None: the chat is new, too."""

    messaging_group: MessagingGroup | None


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict per wiring, highest priority first."""

    messaging_group: MessagingGroup
    verdicts: tuple[Verdict, ...]


RouteDecision = Reject | Ignore | AskForChat | Judged


def decide_route(facts: RoutingFacts) -> RouteDecision:
    """Steps 2 to 4 of H-71; order matters."""
    rejected = _contract_breach(facts)
    if rejected is not None:
        return Reject(rejected)
    event, group = facts.event, facts.messaging_group
    if group is None or not facts.agents:
        return _unheard(facts)
    if event.sender_is_bot and facts.bot_messages >= MAX_BOT_MESSAGES:
        return Ignore(DropReason.TOO_MANY_BOTS, silent=True)
    return Judged(group, tuple(_judge(facts, group, agent) for agent in facts.agents))


def _contract_breach(facts: RoutingFacts) -> DropReason | None:
    event = facts.event
    if not event.sender_id:
        return DropReason.NO_SENDER
    if names_another_chat(event) and not facts.standing.is_operator:
        return DropReason.NO_OPERATOR
    if event.kind not in CHANNEL_KINDS:
        return DropReason.BAD_KIND
    if any(len(part.encode()) > MAX_PART_BYTES for part in _ids(event)):
        return DropReason.LONG_ID
    if not event.text and not event.attachments and not event.reaction and not event.extra_json:
        return DropReason.EMPTY
    return None


def _ids(event: InboundEvent) -> Iterator[str]:
    yield from (event.platform_id, event.thread_id or "", event.sender_id, event.channel_type or "")
    if event.answer_to is not None:
        other = event.answer_to
        yield from (other.channel_type, other.platform_id, other.thread_id or "")


def names_another_chat(event: InboundEvent) -> bool:
    """What the terminal alone may do (C-17)."""
    return event.channel_type is not None or event.answer_to is not None


def _unheard(facts: RoutingFacts) -> AskForChat | Ignore:
    group, event = facts.messaging_group, facts.event
    calls_us = event.is_mention is True and not event.sender_is_bot and not _is_change(event)
    if group is not None and group.denied_at is not None:
        return Ignore(DropReason.CHAT_DENIED, silent=True)
    if calls_us:
        return AskForChat(group)
    reason = DropReason.UNKNOWN_CHAT if group is None else DropReason.NO_AGENT_WIRED
    return Ignore(reason, silent=True)


def _judge(facts: RoutingFacts, group: MessagingGroup, agent: WiredAgent) -> Verdict:
    event, wiring = facts.event, agent.wiring
    if not _is_wanted(wiring, event):
        return Skip(agent, Call.NOT_MEANT)
    if event.reaction:
        return _judge_reaction(facts, group, agent)
    said = Said(event.text, event.is_mention is True, group.is_group, agent.in_talk)
    call = judge_call(wiring, said)
    if is_called(call):
        refusal = _refusal(facts, group, agent)
        return _called(facts, group, agent, call) if refusal is None else Refuse(agent, refusal)
    if wiring.ignored_message_policy is IgnoredMessagePolicy.ACCUMULATE:
        return _deliver(facts, group, agent, call)
    return Skip(agent, call)


def _judge_reaction(facts: RoutingFacts, group: MessagingGroup, agent: WiredAgent) -> Verdict:
    """It carries no words, so it calls nobody and nobody is asked about its sender."""
    if _refusal(facts, group, agent) is not None:
        return Skip(agent, Call.NOT_MEANT)
    return _deliver(facts, group, agent, Call.NOT_MEANT)


def _refusal(facts: RoutingFacts, group: MessagingGroup, agent: WiredAgent) -> Refusal | None:
    agent_id = agent.agent_group.id
    refusal = judge_access(group.unknown_sender_policy, facts.standing, agent_id)
    return refusal or judge_scope(agent.wiring.sender_scope, facts.standing, agent_id)


def _called(
    facts: RoutingFacts, group: MessagingGroup, agent: WiredAgent, call: Call
) -> Deliver | Command:
    event = facts.event
    if event.kind in GATED_KINDS and not event.edited:
        is_admin = facts.standing.is_admin_of(agent.agent_group.id)
        gate = judge_command(event.text, is_admin=is_admin)
        if not isinstance(gate, Pass):
            return Command(agent, gate, _session_key(facts, group, agent))
    return _deliver(facts, group, agent, call)


def _deliver(facts: RoutingFacts, group: MessagingGroup, agent: WiredAgent, call: Call) -> Deliver:
    event = facts.event
    said = Said(event.text, event.is_mention is True, group.is_group)
    return Deliver(
        agent,
        _session_key(facts, group, agent),
        wakes=is_called(call),
        taint=_taint(facts, agent),
        begins_talk=is_called(call) and begins_talk(agent.wiring, said),
        call=call,
    )


def _session_key(facts: RoutingFacts, group: MessagingGroup, agent: WiredAgent) -> SessionKey:
    return decide_session_key(
        wired_mode=agent.wiring.session_mode or SessionMode.SHARED,
        agent_group_id=agent.agent_group.id,
        messaging_group_id=group.id,
        thread_id=facts.thread_id,
        threaded_group=facts.supports_threads and group.is_group,
    )


def _taint(facts: RoutingFacts, agent: WiredAgent) -> str | None:
    """Where the content comes from that nobody trusted has written (``policy.taint``)."""
    words = []
    if not facts.standing.may_talk_to(agent.agent_group.id):
        words.append(TAINT_SENDER)
    if facts.kind in MAIL_KINDS:
        words.append(TAINT_MAIL)
    if facts.event.kind == "webhook":
        words.append("webhook")
    if facts.event.attachments:
        words.append(TAINT_FILE)
    return ",".join(words) or None


def _is_wanted(wiring: Wiring, event: InboundEvent) -> bool:
    """Bots, edits and reactions are heard only where the wiring asks for them."""
    if event.sender_is_bot and not wiring.bot_messages:
        return False
    if event.edited and not wiring.edits:
        return False
    return wiring.reactions or not event.reaction


def _is_change(event: InboundEvent) -> bool:
    return event.edited or event.reaction is not None

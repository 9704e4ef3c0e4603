"""Decides what an inbound event leads to.

Pure: facts in, one decision out. Called by ``routing.apply`` with what ``routing.facts`` read.
Each wiring is judged on its own, in order of priority, and every refusal names its reason. A
message that nobody may answer leaves nothing behind but its entry in the log.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from contract.jsontext import dump
from nanoclaw.events import InboundEvent
from nanoclaw.model import AgentGroup, EngageMode, MessagingGroup, SessionMode, Wiring
from nanoclaw.sessions.decide import SessionKey, decide_session_key

MAX_PATTERN_TEXT = 4000
"""Characters of a message that a pattern is tried on; patterns backtrack (W-14)."""


class DropReason(StrEnum):
    UNKNOWN_CHAT = "no chat of this name is registered"
    NOT_WIRED = "no agent is wired to this chat"
    CHAT_DENIED = "the owner refused this chat"
    NOT_ENGAGED = "no agent is meant by this message"
    NO_SENDER = "the message has no sender id"
    EMPTY = "the message has no content"


@dataclass(frozen=True, slots=True)
class WiredAgent:
    """One wiring with the agent group at its end."""

    wiring: Wiring
    agent_group: AgentGroup


@dataclass(frozen=True, slots=True)
class RoutingFacts:
    """Everything the decision rests on."""

    event: InboundEvent
    channel_type: str
    supports_threads: bool
    messaging_group: MessagingGroup | None
    agents: tuple[WiredAgent, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One session row to be written."""

    session: SessionKey
    agent_group_id: str
    messaging_group_id: str
    thread_id: str | None
    trigger: bool


@dataclass(frozen=True, slots=True)
class Route:
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """The event breaks the contract of channels; it is kept in the log and goes nowhere."""

    reason: DropReason


@dataclass(frozen=True, slots=True)
class Ignore:
    reason: DropReason


RouteDecision = Route | Reject | Ignore


def decide_route(facts: RoutingFacts) -> RouteDecision:
    """Steps of H-71 as far as this version has them; order matters."""
    event = facts.event
    if not event.sender_id:
        return Reject(DropReason.NO_SENDER)
    if not event.text and not event.attachments:
        return Reject(DropReason.EMPTY)
    group = facts.messaging_group
    if group is None:
        return Ignore(DropReason.UNKNOWN_CHAT)
    if not facts.agents:
        denied = group.denied_at is not None
        return Ignore(DropReason.CHAT_DENIED if denied else DropReason.NOT_WIRED)
    thread_id = event.thread_id if facts.supports_threads else None
    targets = tuple(
        _target(facts, agent, group, thread_id)
        for agent in facts.agents
        if engages(agent.wiring, event)
    )
    return Route(targets) if targets else Ignore(DropReason.NOT_ENGAGED)


def engages(wiring: Wiring, event: InboundEvent) -> bool:
    """H-78 to H-81; an unknown or missing mode never engages."""
    mentioned = event.is_mention is True
    if wiring.engage_mode is EngageMode.PATTERN:
        return _matches(wiring.engage_pattern, event.text)
    if wiring.engage_mode is EngageMode.MENTION:
        return mentioned
    if wiring.engage_mode is EngageMode.PATTERN_OR_MENTION:
        return mentioned or _matches(wiring.engage_pattern, event.text)
    if wiring.engage_mode is EngageMode.MENTION_STICKY:
        return mentioned
    return False


def _matches(pattern: str | None, text: str) -> bool:
    if pattern is None or pattern == ".":
        return True
    try:
        return re.search(pattern, text[:MAX_PATTERN_TEXT]) is not None
    except re.error:
        return True  # fail open, so that the administrator notices (H-78)


def _target(
    facts: RoutingFacts, agent: WiredAgent, group: MessagingGroup, thread_id: str | None
) -> Target:
    key = decide_session_key(
        wired_mode=agent.wiring.session_mode or SessionMode.SHARED,
        agent_group_id=agent.agent_group.id,
        messaging_group_id=group.id,
        thread_id=thread_id,
        threaded_group=facts.supports_threads and group.is_group,
    )
    return Target(key, agent.agent_group.id, group.id, thread_id, trigger=True)


def render_content(event: InboundEvent, channel_type: str) -> str:
    """The JSON text of the inbound row, with the keys of C-9; compact, as old readers need it."""
    content: dict[str, object] = {
        "text": event.text,
        "sender": event.sender_name or event.sender_id,
        "senderId": f"{channel_type}:{event.sender_id}",
    }
    if event.sender_name:
        content["senderName"] = event.sender_name
    if event.reply_to is not None:
        quoted = event.reply_to
        content["replyTo"] = {"id": quoted.id, "sender": quoted.sender, "text": quoted.text[:2000]}
    return dump(content)

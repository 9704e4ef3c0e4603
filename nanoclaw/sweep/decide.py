"""Decides about agents that run or should: whom to start, whom to stop and why.

Pure; called by ``sweep.loop`` and ``health`` with facts they have read. What follows when one has
ended is decided in ``ends.decide``. A claim counts only if it carries the lease of the container
that is judged, so a fresh container never answers for its predecessor (W-33).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from nanoclaw.model import EgressMode

CLAIM_STUCK = timedelta(seconds=60)
"""H-145. Our runner's sign of life is a timer, so a minute of silence in a turn means it hangs."""
DEAF_AFTER = timedelta(seconds=60)
IDLE_GRACE = timedelta(seconds=60)
"""The runner leaves by itself first; this is for one that does not."""
QUIET_BEFORE_STOP = timedelta(seconds=2)
"""An agent that has just said something is not taken for idle, whatever the pressure."""
LOCK_LIMIT = timedelta(seconds=10)
TURN_GRACE = timedelta(seconds=60)


WITHOUT_MODEL = frozenset({"scripted", "mock"})
"""Providers that answer by themselves."""


def decide_door(provider: str, egress_mode: EgressMode | None) -> bool:
    """Whether a container gets a door to the vault: for a model, or for an egress that was asked
    for. Whoever needs neither runs without one, and without the vault."""
    if provider not in WITHOUT_MODEL:
        return True
    return egress_mode in (EgressMode.ALLOWLIST, EgressMode.OPEN)


class StopReason(StrEnum):
    """Why the host itself ended a container."""

    IDLE = "idle"
    PRESSURE = "idle, others wait"
    OUTDATED = "runs an older version"
    STUCK = "a claimed message shows no sign of life"
    OVERTIME = "a turn takes longer than this group allows"
    DEAF = "does not take up its messages"
    LOCKED = "holds a lock on its files"
    DISK = "uses more disk than this group allows"
    REQUESTED = "asked to stop"
    HOST_STOPS = "the host stops"
    NOT_OURS = "another host has this session"


# --- whom to start --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session with due work."""

    session_id: str
    agent_group_id: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Places:
    """Who has how many of the places. ``caps``: what a group may have at most, if it is limited."""

    taken: Mapping[str, int]
    caps: Mapping[str, int] = field(default_factory=dict)

    def is_full(self, agent_group_id: str, more: int = 0) -> bool:
        cap = self.caps.get(agent_group_id)
        return cap is not None and self.taken.get(agent_group_id, 0) + more >= cap


def choose_starts(waiting: Sequence[Waiting], places: Places, free: int) -> list[str]:
    """Who gets the free places: the group with the fewest containers first, then who waits longest.

    So a group with many chats cannot keep another one out (H-162).
    """
    chosen: list[str] = []
    more: Counter[str] = Counter()
    left = sorted(waiting, key=lambda one: (one.due_at, one.session_id))
    while len(chosen) < free:
        left = [
            one for one in left if not places.is_full(one.agent_group_id, more[one.agent_group_id])
        ]
        if not left:
            break
        nearest = min(
            left, key=lambda one: places.taken.get(one.agent_group_id, 0) + more[one.agent_group_id]
        )
        left.remove(nearest)
        more[nearest.agent_group_id] += 1
        chosen.append(nearest.session_id)
    return chosen


@dataclass(frozen=True, slots=True)
class IdleAgent:
    session_id: str
    quiet_for: timedelta
    agent_group_id: str = ""


def choose_victims(
    idle: Collection[IdleAgent],
    waiting: Mapping[str, int],
    leaving: Mapping[str, int],
    places: Places,
) -> list[str]:
    """Whom to stop so that others can start: the longest idle first.

    ``waiting`` and ``leaving`` are sessions per group. One of a group that has all its places makes
    room within its own group; nobody else has to go for it.
    """
    ready = [agent for agent in idle if agent.quiet_for >= QUIET_BEFORE_STOP]
    ready.sort(key=lambda agent: agent.quiet_for, reverse=True)
    chosen: list[str] = []
    wanted = -sum(leaving.values())
    for group, count in waiting.items():
        if places.is_full(group):
            own = [agent.session_id for agent in ready if agent.agent_group_id == group]
            chosen += own[: max(count - leaving.get(group, 0), 0)]
        else:
            wanted += count
    others = [agent.session_id for agent in ready if agent.session_id not in chosen]
    return chosen + others[: max(wanted - len(chosen), 0)]


# --- is a running one well ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that the container has taken and not settled."""

    message_id: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """One running container, as it looks from outside. Unknown times are None."""

    now: datetime
    started_at: datetime
    claims: tuple[Claim, ...]
    heartbeat_at: datetime | None = None
    output_at: datetime | None = None
    """When it last wrote its file."""
    asked_at: datetime | None = None
    """When the last message came for it."""
    tool_allowance: timedelta = timedelta(0)
    """What the running tool has declared that it may take (H-146)."""
    idle_limit: timedelta | None = None
    turn_limit: timedelta | None = None
    outdated: bool = False
    locked_for: timedelta = timedelta(0)
    used_bytes: int = 0
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Goes on. ``quiet_for`` None: it is at work."""

    quiet_for: timedelta | None


@dataclass(frozen=True, slots=True)
class Stop:
    reason: StopReason
    detail: str = ""


HealthDecision = Keep | Stop


def decide_health(facts: AgentFacts) -> HealthDecision:
    """The first rule that is broken, else how long it has been quiet."""
    if facts.disk_bytes is not None and facts.used_bytes > facts.disk_bytes:
        return Stop(StopReason.DISK, f"{facts.used_bytes} of {facts.disk_bytes} bytes")
    if facts.locked_for >= LOCK_LIMIT:
        return Stop(StopReason.LOCKED, f"for {facts.locked_for.total_seconds():.0f} s")
    for claim in facts.claims:
        stop = _judge_claim(facts, claim)
        if stop is not None:
            return stop
    if facts.claims:
        return Keep(None)
    quiet_for = facts.now - last_activity(facts)
    if facts.outdated and quiet_for >= QUIET_BEFORE_STOP:
        return Stop(StopReason.OUTDATED)
    if facts.idle_limit is not None and quiet_for >= facts.idle_limit + IDLE_GRACE:
        return Stop(StopReason.IDLE, f"for {quiet_for.total_seconds():.0f} s")
    return Keep(quiet_for)


def last_activity(facts: AgentFacts) -> datetime:
    """When anything last happened: a start, a message, a sign of life, a word."""
    moments = (facts.started_at, facts.heartbeat_at, facts.output_at, facts.asked_at)
    return max(moment for moment in moments if moment is not None)


def looks_deaf(facts: AgentFacts) -> bool:
    """It was asked a while ago and has shown nothing since; its inbox is worth a look then."""
    if facts.asked_at is None or facts.claims:
        return False
    shown = (facts.started_at, facts.heartbeat_at, facts.output_at)
    newest = max(moment for moment in shown if moment is not None)
    return newest < facts.asked_at and facts.now - facts.asked_at >= DEAF_AFTER


def _judge_claim(facts: AgentFacts, claim: Claim) -> Stop | None:
    tolerance = max(CLAIM_STUCK, facts.tool_allowance)
    # Times in the agent's file are the agent's: none of them can make it look alive in the future.
    claimed_at = min(claim.claimed_at, facts.now)
    alive_at = max(claimed_at, min(facts.heartbeat_at or facts.started_at, facts.now))
    silent_for = facts.now - alive_at
    if silent_for > tolerance:
        return Stop(StopReason.STUCK, f"{claim.message_id} for {silent_for.total_seconds():.0f} s")
    if facts.turn_limit is not None and facts.now - claimed_at > facts.turn_limit + TURN_GRACE:
        return Stop(StopReason.OVERTIME, claim.message_id)
    return None

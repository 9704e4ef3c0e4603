"""Looks at running containers from outside and says which of them must be stopped.

Called by ``loop`` every few seconds while anything runs, never otherwise. Reads the agent's file
only when it has changed. Times that the agent can write are never believed beyond the present.
"""

import sqlite3
from datetime import UTC, datetime, timedelta

from contract.errors import SessionFileBusy, SnapshotBusy
from contract.inbound.reader import read_pending
from contract.inbound.row import AckStatus
from contract.inbound.select import PendingQuery
from contract.outbound.row import Ack, ContainerState
from nanoclaw.db import sessions
from nanoclaw.model import Session
from nanoclaw.sweep.agents import Agent
from nanoclaw.sweep.decide import (
    AgentFacts,
    Claim,
    HealthDecision,
    Stop,
    StopReason,
    decide_health,
    looks_deaf,
)
from nanoclaw.sweep.lock_probe import is_locked
from nanoclaw.sweep.output import OutputReader, heartbeat_time

BASH = "Bash"
"""The one tool whose declared time counts (H-146)."""
MAX_TOOL_ALLOWANCE = timedelta(hours=2)


class Health:
    """Owned by the ``sweep`` process; every method runs on its reactor."""

    def __init__(self, conn: sqlite3.Connection, reader: OutputReader) -> None:
        self._conn = conn
        self._reader = reader

    def judge(self, agent: Agent, now: datetime, clock: float) -> HealthDecision:
        """``clock`` is monotonic. Raises SessionFileCorrupt for the session's own file."""
        session = sessions.get(self._conn, agent.session_id)
        if session is None or session.lease_token != agent.lease:
            return Stop(StopReason.NOT_OURS)
        busy = not self._refresh(agent, now)
        locked = busy or is_locked(agent.folder.inbound_db)
        facts = _facts(agent, session, now, _locked_for(agent, clock, locked=locked))
        if looks_deaf(facts) and _has_unclaimed(agent, now):
            return Stop(StopReason.DEAF)
        return decide_health(facts)

    def _refresh(self, agent: Agent, now: datetime) -> bool:
        """False: its file is locked, so nobody knows what it says."""
        token = self._reader.token(agent.folder)
        if token == agent.view.token:
            return True
        try:
            output = self._reader.read(agent.session_id, agent.folder)
        except SnapshotBusy:
            agent.view.changed_at = now
            return False
        agent.view.acks = output.acks
        agent.view.claimed_at = _claim_times(agent.view.claimed_at, output.acks, now)
        agent.view.state = output.state
        agent.view.changed_at = now
        agent.view.token = token
        return True


def _locked_for(agent: Agent, clock: float, *, locked: bool) -> timedelta:
    if not locked:
        agent.locked_since = None
        return timedelta(0)
    if agent.locked_since is None:
        agent.locked_since = clock
    return timedelta(seconds=clock - agent.locked_since)


def _claim_times(
    known: dict[str, datetime], acks: tuple[Ack, ...], now: datetime
) -> dict[str, datetime]:
    """A claim's time is overwritten when it is settled; those seen before are kept."""
    times: dict[str, datetime] = {}
    for ack in acks:
        if ack.status is AckStatus.PROCESSING:
            times[ack.message_id] = min(ack.status_changed or now, now)
        elif ack.message_id in known:
            times[ack.message_id] = known[ack.message_id]
    return times


def _facts(agent: Agent, session: Session, now: datetime, locked_for: timedelta) -> AgentFacts:
    heartbeat = heartbeat_time(agent.folder)
    limits = agent.limits
    return AgentFacts(
        now=now,
        started_at=agent.started_at,
        claims=_claims(agent, now),
        heartbeat_at=None if heartbeat is None else min(_moment(heartbeat), now),
        output_at=agent.view.changed_at,
        asked_at=session.last_active,
        tool_allowance=_allowance(agent.view.state),
        idle_limit=limits.idle,
        turn_limit=limits.turn,
        outdated=agent.outdated,
        locked_for=locked_for,
        used_bytes=agent.used_bytes,
        disk_bytes=limits.disk_bytes,
    )


def _claims(agent: Agent, now: datetime) -> tuple[Claim, ...]:
    """Open claims of this very container."""
    return tuple(
        Claim(ack.message_id, ack.status_changed or now)
        for ack in agent.view.acks
        if ack.status is AckStatus.PROCESSING and ack.lease == agent.lease
    )


def _allowance(state: ContainerState | None) -> timedelta:
    if state is None or state.current_tool != BASH or state.tool_declared_timeout_ms is None:
        return timedelta(0)
    seconds = state.tool_declared_timeout_ms / 1000
    return min(timedelta(seconds=min(seconds, 86400)), MAX_TOOL_ALLOWANCE)


def _has_unclaimed(agent: Agent, now: datetime) -> bool:
    """Whether the inbox holds something due that the container has not even claimed."""
    known = {ack.message_id for ack in agent.view.acks}
    query = PendingQuery(now=now, limit=1, first_poll=False, acked_ids=known)
    try:
        return bool(read_pending(agent.folder.inbound_db, query).rows)
    except SessionFileBusy:
        return False


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)

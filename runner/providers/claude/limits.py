"""How long and how dear a turn may become (R-240.6, R-322).

Pure. Asked by ``turn`` at every tool boundary. A reached limit is told to the agent, which gets one
more call, without tools, to say how far it has come.
"""

from dataclasses import dataclass

from runner.providers.claude.decide import MAX_CALLS

NO_PROGRESS_SECONDS = 3600.0
_ASK = (
    "The limit of this turn is reached: {reason}. No more tools can be used. Report in a few words "
    "to whoever waits what is done and what is not, and finish."
)


@dataclass(frozen=True, slots=True)
class TurnLimits:
    calls: int = MAX_CALLS
    idle_seconds: float = NO_PROGRESS_SECONDS
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """``idle_seconds`` since a tool last ended, or since the turn began."""

    calls: int
    idle_seconds: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class ReachedLimit:
    """``note`` is for the agent."""

    reason: str

    @property
    def note(self) -> str:
        return _ASK.format(reason=self.reason)


def decide_limit(spent: Spent, limits: TurnLimits) -> ReachedLimit | None:
    if spent.calls >= limits.calls:
        return ReachedLimit(f"{spent.calls} model calls")
    if spent.idle_seconds >= limits.idle_seconds:
        return ReachedLimit(f"{spent.idle_seconds / 60:.0f} minutes without progress of a tool")
    if limits.cost_usd is not None and spent.cost_usd >= limits.cost_usd:
        return ReachedLimit(f"{spent.cost_usd:.2f} US dollars")
    return None

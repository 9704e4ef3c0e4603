"""Sentences about money, for people and agents. Pure; asked by ``exchange`` and ``telling``.

Each names the budget, what is spent of it, from when there is more, and the command for more.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.db.usage import BY_CONFIGURATION, Spending

_WHOSE = {
    BudgetScope.INSTALL: "of this installation",
    BudgetScope.GROUP: "of this agent",
    BudgetScope.SERIES: "of this task",
    BudgetScope.CONVERSATION: "of this conversation",
}
_CENT = 10_000


def outage_text(endpoint: str, seconds: float, reason: str, *, others_work: bool) -> str:
    """For an owner."""
    effect = (
        "Agents that may use another one do so"
        if others_work
        else "No other endpoint works, so agents get no answers"
    )
    return (
        f"The model endpoint {endpoint} has been failing for {round(seconds / 60)} minutes, the "
        f"last time with: {reason}. {effect}. See the provider's status page; endpoints are in "
        "config.toml, and `ncl audit list --kind endpoint.failed` shows failures."
    )


@dataclass(frozen=True, slots=True)
class BudgetFacts:
    """A budget on a day. ``needed_*`` is what the refused request might have cost."""

    budget: Budget
    spending: Spending
    day: str
    needed_tokens: int = 0
    needed_microusd: int = 0

    @property
    def in_tokens(self) -> bool:
        return self.budget.unit is BudgetUnit.TOKENS

    @property
    def used(self) -> int:
        return self.spending.tokens if self.in_tokens else self.spending.microusd

    @property
    def held(self) -> int:
        return self.spending.reserved_tokens if self.in_tokens else self.spending.reserved_microusd

    @property
    def needed(self) -> int:
        return self.needed_tokens if self.in_tokens else self.needed_microusd


def period_key_of(budget: Budget, day: str) -> str:
    return day if budget.period is BudgetPeriod.DAY else day[:7]


def budget_text(facts: BudgetFacts) -> str:
    """One sentence: which budget, how much is left of it, and from when there is more."""
    budget = facts.budget
    return (
        f"the budget {_WHOSE[budget.scope]} for {_period(facts)} does not cover this: of "
        f"{_amount(budget, budget.amount)} {_amount(budget, facts.used)} are spent and "
        f"{_amount(budget, facts.held)} reserved, and it may cost up to "
        f"{_amount(budget, facts.needed)}; there is more from {_renewal(facts)} on, or when the "
        "owner raises the budget"
    )


def chat_text(facts: BudgetFacts) -> str:
    return (
        f"I have to pause: {budget_text(facts)}. I do not say this again. To raise it, whoever "
        f"runs this installation types: {command(facts)}"
    )


def owner_text(facts: BudgetFacts, group_name: str) -> str:
    budget = facts.budget
    return (
        f"A request of the agent {group_name} was refused: {budget_text(facts)}. "
        f"Further ones are refused as long as they do not fit. To raise it to "
        f"{_amount(budget, _more(facts))}: {command(facts)}"
    )


def warning_text(facts: BudgetFacts) -> str:
    budget = facts.budget
    subject = f" ({budget.subject})" if budget.subject else ""
    whose = _WHOSE[budget.scope].replace("this", "one", 1) if subject else _WHOSE[budget.scope]
    return (
        f"Of the budget {whose}{subject} for {_period(facts)}, {_amount(budget, budget.amount)}, "
        f"{_amount(budget, facts.used)} are spent. When it is used up, requests are refused until "
        f"{_renewal(facts)}. To raise it: {command(facts)}"
    )


def command(facts: BudgetFacts) -> str:
    budget = facts.budget
    more = _more(facts)
    shown = f"{more}" if facts.in_tokens else f"{more / 1_000_000:.2f}"
    if budget.updated_by == BY_CONFIGURATION:
        return f"ncl groups config update {budget.subject} --max-cost-per-day-usd {shown}"
    subject = f" --subject {budget.subject}" if budget.subject else ""
    unit = "--tokens" if facts.in_tokens else "--usd"
    return f"ncl budgets set {budget.scope}{subject} --period {budget.period} {unit} {shown}"


def _more(facts: BudgetFacts) -> int:
    """Twice as much, and enough for what was refused."""
    enough = max(2 * facts.budget.amount, facts.used + facts.held + facts.needed)
    return enough if facts.in_tokens else -(-enough // _CENT) * _CENT


def _period(facts: BudgetFacts) -> str:
    if facts.budget.period is BudgetPeriod.DAY:
        return f"the day {facts.day}"
    return f"the month {facts.day[:7]}"


def _renewal(facts: BudgetFacts) -> str:
    today = date.fromisoformat(facts.day)
    if facts.budget.period is BudgetPeriod.DAY:
        return (today + timedelta(days=1)).isoformat()
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat()


def _amount(budget: Budget, amount: int) -> str:
    if budget.unit is BudgetUnit.TOKENS:
        return f"{amount} tokens"
    return f"${amount / 1_000_000:.2f}"

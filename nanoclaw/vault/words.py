"""Sentences about money, for people. Pure; asked by ``exchange``."""

from datetime import date, timedelta

from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.vault.books import Exceeded
from nanoclaw.vault.estimate import Estimate

_WHOSE = {
    BudgetScope.INSTALL: "of this installation",
    BudgetScope.GROUP: "of this agent",
    BudgetScope.SERIES: "of this task",
    BudgetScope.CONVERSATION: "of this conversation",
}


def budget_text(exceeded: Exceeded, estimate: Estimate, day: str) -> str:
    """One sentence: which budget, how much is left of it, and from when there is more."""
    budget, spending = exceeded.budget, exceeded.spending
    in_tokens = budget.unit is BudgetUnit.TOKENS
    used = spending.tokens if in_tokens else spending.microusd
    held = spending.reserved_tokens if in_tokens else spending.reserved_microusd
    needed = estimate.tokens if in_tokens else estimate.microusd
    return (
        f"the budget {_WHOSE[budget.scope]} for {_period(budget, day)} does not cover this: of "
        f" {_amount(budget, budget.amount)} {_amount(budget, used)} are spent and "
        f"{_amount(budget, held)} reserved, and it may cost up to {_amount(budget, needed)}; "
        f"there is more from {_renewal(budget, day)} on, or when the owner raises the budget"
    )


def _period(budget: Budget, day: str) -> str:
    return f"the day {day}" if budget.period is BudgetPeriod.DAY else f"the month {day[:7]}"


def _renewal(budget: Budget, day: str) -> str:
    today = date.fromisoformat(day)
    if budget.period is BudgetPeriod.DAY:
        return (today + timedelta(days=1)).isoformat()
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat()


def _amount(budget: Budget, amount: int) -> str:
    if budget.unit is BudgetUnit.TOKENS:
        return f"{amount} tokens"
    return f"${amount / 1_000_000:.2f}"

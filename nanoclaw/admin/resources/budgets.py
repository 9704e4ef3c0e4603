"""``ncl budgets``: how much may be spent, by whom, in which period; checked before each request.

Money is given in dollars and kept in millionths of one. A new amount is news: who hits it is told
again.
"""

from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.shown import MICRO, dollars, moment
from nanoclaw.db import agent_groups, budgets, reading_tasks, sessions, usage
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit

MAX_AMOUNT = 10**15

_SCOPE = ArgumentSpec(
    "scope", "whose: everything, an agent group, a task or a conversation", required=True,
    choices=tuple(BudgetScope), positional=True,
)  # fmt: skip
_SUBJECT = ArgumentSpec(
    "subject", "the agent group's, task's or session's id; none for the scope install"
)
_PERIOD = ArgumentSpec(
    "period", "from one midnight or first of the month to the next", choices=tuple(BudgetPeriod),
    default=BudgetPeriod.DAY.value,
)  # fmt: skip
_USD = ArgumentSpec("usd", "so many dollars, like 2.50")
_TOKENS = ArgumentSpec("tokens", "so many tokens", Kind.INTEGER, minimum=0, maximum=MAX_AMOUNT)
_UNIT = ArgumentSpec(
    "unit", "the one in money or the one in tokens", choices=("usd", "tokens"), default="usd"
)


def _list(context: CommandContext, arguments: Arguments) -> object:
    today = context.now.astimezone(ZoneInfo(context.config.timezone)).date().isoformat()
    return [_row(context, budget, today) for budget in budgets.list_all(context.conn)]


def _get(context: CommandContext, arguments: Arguments) -> object:
    wanted = _wanted(context, arguments)
    today = context.now.astimezone(ZoneInfo(context.config.timezone)).date().isoformat()
    for budget in budgets.list_all(context.conn):
        if _key(budget) == _key(wanted):
            return _row(context, budget, today)
    raise _not_found(wanted)


def _set(context: CommandContext, arguments: Arguments) -> object:
    scope, subject = _whose(arguments)
    _check_subject(context, scope, subject)
    unit, amount = _amount(arguments)
    budget = Budget(
        scope=scope,
        subject=subject,
        period=BudgetPeriod(arguments.text(_PERIOD.name, BudgetPeriod.DAY)),
        unit=unit,
        amount=amount,
        updated_at=context.now,
        updated_by=context.actor,
    )
    budgets.put(context.conn, budget)
    today = context.now.astimezone(ZoneInfo(context.config.timezone)).date().isoformat()
    return _row(context, budget, today)


def _remove(context: CommandContext, arguments: Arguments) -> object:
    budget = _wanted(context, arguments)
    if not budgets.remove(context.conn, budget):
        raise _not_found(budget)
    return {"removed": _key(budget)}


def _wanted(context: CommandContext, arguments: Arguments) -> Budget:
    """The one that the arguments name, without its amount."""
    scope, subject = _whose(arguments)
    period = BudgetPeriod(arguments.text(_PERIOD.name, BudgetPeriod.DAY))
    in_tokens = arguments.text(_UNIT.name, "usd") == "tokens"
    unit = BudgetUnit.TOKENS if in_tokens else BudgetUnit.MICROUSD
    return Budget(scope, subject, period, unit, 0, context.now, context.actor)


def _not_found(budget: Budget) -> NotFoundError:
    whose = f"{budget.scope} {budget.subject}".strip()
    unit = _key(budget)["unit"]
    return NotFoundError(f"budget not found: {whose} per {budget.period} in {unit}")


def _whose(arguments: Arguments) -> tuple[BudgetScope, str]:
    scope = BudgetScope(arguments.text(_SCOPE.name))
    subject = arguments.text(_SUBJECT.name)
    if scope is BudgetScope.INSTALL and subject:
        raise InvalidArgsError("the scope install is everything; it has no --subject")
    if scope is not BudgetScope.INSTALL and not subject:
        raise InvalidArgsError(f"--subject is required: which {scope} is it for?")
    return scope, subject


def _check_subject(context: CommandContext, scope: BudgetScope, subject: str) -> None:
    """A budget for something that does not exist would never be hit, and nobody would notice."""
    conn = context.conn
    if scope is BudgetScope.GROUP and agent_groups.get(conn, subject) is None:
        raise NotFoundError(f"group not found: {subject}")
    if scope is BudgetScope.CONVERSATION and sessions.get(conn, subject) is None:
        raise NotFoundError(f"session not found: {subject}")
    if scope is BudgetScope.SERIES and not reading_tasks.find_series(conn, subject, 1):
        raise NotFoundError(f"task not found: {subject}")


def _amount(arguments: Arguments) -> tuple[BudgetUnit, int]:
    text = arguments.optional(_USD.name)
    if (text is None) == (_TOKENS.name not in arguments):
        raise InvalidArgsError("give either --usd or --tokens")
    if text is None:
        return BudgetUnit.TOKENS, arguments.integer(_TOKENS.name, 0)
    try:
        amount = Decimal(text)
        if not amount.is_finite() or not 0 <= amount * MICRO <= MAX_AMOUNT:
            raise InvalidOperation
    except InvalidOperation as error:
        raise InvalidArgsError(f"--usd {text[:100]!r} is no amount of money like 2.50") from error
    return BudgetUnit.MICROUSD, int(amount * MICRO)


def _row(context: CommandContext, budget: Budget, today: str) -> dict[str, object]:
    period_key = today if budget.period is BudgetPeriod.DAY else today[:7]
    spending = usage.spent(context.conn, budget.scope, budget.subject, period_key)
    in_tokens = budget.unit is BudgetUnit.TOKENS
    spent = spending.tokens if in_tokens else spending.microusd
    reserved = spending.reserved_tokens if in_tokens else spending.reserved_microusd
    left = max(0, budget.amount - spent - reserved)
    return {
        **_key(budget),
        "amount": _shown(budget, budget.amount),
        "spent": _shown(budget, spent),
        "reserved": _shown(budget, reserved),
        "left": _shown(budget, left),
        "updated_at": moment(budget.updated_at),
        "updated_by": budget.updated_by,
    }


def _key(budget: Budget) -> dict[str, object]:
    return {
        "scope": budget.scope.value,
        "subject": budget.subject,
        "period": budget.period.value,
        "unit": "tokens" if budget.unit is BudgetUnit.TOKENS else "usd",
    }


def _shown(budget: Budget, amount: int) -> int | float:
    return amount if budget.unit is BudgetUnit.TOKENS else dollars(amount)


_NAMED = (_SCOPE, _SUBJECT, _PERIOD, _UNIT)

RESOURCE = ResourceSpec(
    name="budget",
    plural="budgets",
    id_column="scope",
    description="how much may be spent, and how much of it is left",
    columns=(
        ColumnSpec("scope", "whose it is", generated=True, choices=tuple(BudgetScope)),
        ColumnSpec("subject", "of the agent group, task or conversation", generated=True),
        ColumnSpec("period", "day or month", generated=True, choices=tuple(BudgetPeriod)),
        ColumnSpec("unit", "usd or tokens", generated=True),
        ColumnSpec("amount", "the limit", Kind.NUMBER, generated=True),
        ColumnSpec("spent", "in the present period", Kind.NUMBER, generated=True),
        ColumnSpec("reserved", "for requests under way", Kind.NUMBER, generated=True),
        ColumnSpec("left", "what may still be spent", Kind.NUMBER, generated=True),
        ColumnSpec("updated_at", "when it was set", generated=True),
        ColumnSpec("updated_by", "by whom", generated=True),
    ),
    operations=(
        Operation("list", Access.OPEN, "all budgets and what is left of them", _list),
        Operation("get", Access.OPEN, "show one, and what is left of it", _get, _NAMED),
        Operation(
            "set", Access.APPROVAL, "set or replace one", _set,
            (_SCOPE, _SUBJECT, _PERIOD, _USD, _TOKENS), mutating=True,
            examples=("ncl budgets set install --usd 20 --period month",
                      "ncl budgets set group --subject ag-1 --tokens 500000"),
        ),
        Operation(
            "remove", Access.APPROVAL, "take one away; there is then no such limit", _remove,
            _NAMED, mutating=True,
        ),
        Operation("rm", Access.APPROVAL, "the same as remove", _remove, _NAMED, mutating=True),
    ),
)  # fmt: skip

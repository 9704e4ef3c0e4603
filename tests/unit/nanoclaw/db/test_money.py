import sqlite3
from dataclasses import replace

import pytest
from helpers.central_rows import NOW, seconds

from nanoclaw.db import budgets, usage
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.db.usage import Cost, Reservation

REQUEST = Reservation("req-1", "sess-1", "ag-1", "claude", "m", "2026-11-21", 100, 500, NOW)
COST = Cost(10, 20, 5, 1, microusd=80)
DAILY = Budget(
    BudgetScope.GROUP, "ag-1", BudgetPeriod.DAY, BudgetUnit.TOKENS, 250, NOW, "u:owner"
)  # fmt: skip


def request(number: int) -> Reservation:
    return replace(REQUEST, request_id=f"req-{number}")


def test_reservation_counts_for_every_scope_and_period(conn: sqlite3.Connection) -> None:
    assert usage.reserve(conn, replace(REQUEST, series_id="task-1")) is None

    for scope, subject in (
        (BudgetScope.INSTALL, ""),
        (BudgetScope.GROUP, "ag-1"),
        (BudgetScope.CONVERSATION, "sess-1"),
        (BudgetScope.SERIES, "task-1"),
    ):
        for period in ("2026-11-21", "2026-11"):
            spent = usage.spent(conn, scope, subject, period)
            assert (spent.reserved_tokens, spent.reserved_microusd) == (100, 500)
            assert (spent.tokens, spent.microusd) == (0, 0)


def test_settling_replaces_the_reservation_by_the_cost(conn: sqlite3.Connection) -> None:
    usage.reserve(conn, REQUEST)

    assert usage.settle(conn, "req-1", COST, NOW)
    assert not usage.settle(conn, "req-1", COST, NOW)
    spent = usage.spent(conn, BudgetScope.INSTALL, "", "2026-11")
    assert (spent.tokens, spent.microusd) == (36, 80)
    assert (spent.reserved_tokens, spent.reserved_microusd) == (0, 0)
    row = usage.recent(conn, "ag-1", 10)[0]
    assert (row.state, row.tokens, row.settled_at) == ("settled", 36, NOW)


def test_request_over_budget_is_refused_and_leaves_nothing(conn: sqlite3.Connection) -> None:
    budgets.put(conn, DAILY)
    usage.reserve(conn, request(1))
    usage.reserve(conn, request(2))

    assert usage.reserve(conn, request(3)) == DAILY
    assert len(usage.recent(conn, None, 10)) == 2
    spent = usage.spent(conn, BudgetScope.GROUP, "ag-1", "2026-11-21")
    assert spent.reserved_tokens == 200


def test_settled_requests_free_what_they_did_not_use(conn: sqlite3.Connection) -> None:
    budgets.put(conn, DAILY)
    usage.reserve(conn, request(1))
    usage.reserve(conn, request(2))
    usage.settle(conn, "req-1", COST, NOW)

    assert usage.reserve(conn, request(3)) is None


@pytest.mark.parametrize(
    ("scope", "subject", "refused"),
    [
        (BudgetScope.INSTALL, "", True),
        (BudgetScope.GROUP, "ag-1", True),
        (BudgetScope.GROUP, "ag-2", False),
        (BudgetScope.SERIES, "task-1", True),
        (BudgetScope.SERIES, "task-2", False),
        (BudgetScope.CONVERSATION, "sess-1", True),
        (BudgetScope.CONVERSATION, "sess-2", False),
    ],
)
@pytest.mark.parametrize("period", list(BudgetPeriod))
@pytest.mark.parametrize(("unit", "amount"), [(BudgetUnit.TOKENS, 99), (BudgetUnit.MICROUSD, 499)])
def test_each_budget_stops_only_what_falls_under_it(
    conn: sqlite3.Connection,
    *,
    scope: BudgetScope,
    subject: str,
    period: BudgetPeriod,
    unit: BudgetUnit,
    amount: int,
    refused: bool,
) -> None:
    budgets.put(conn, Budget(scope, subject, period, unit, amount, NOW, "u:owner"))

    exceeded = usage.reserve(conn, replace(REQUEST, series_id="task-1"))

    assert (exceeded is not None) is refused


def test_request_that_just_fits_is_allowed(conn: sqlite3.Connection) -> None:
    budgets.put(conn, replace(DAILY, amount=100))

    assert usage.reserve(conn, REQUEST) is None
    assert usage.reserve(conn, replace(request(2), tokens=0)) is None
    assert usage.reserve(conn, replace(request(3), tokens=1)) is not None


def test_new_day_begins_with_nothing_spent(conn: sqlite3.Connection) -> None:
    budgets.put(conn, replace(DAILY, amount=100))
    usage.reserve(conn, REQUEST)

    assert usage.reserve(conn, request(2)) is not None
    assert usage.reserve(conn, replace(request(2), day="2026-11-22")) is None


def test_reservations_open_at_a_crash_are_charged_in_full(conn: sqlite3.Connection) -> None:
    usage.reserve(conn, request(1))
    usage.reserve(conn, request(2))
    usage.settle(conn, "req-1", COST, NOW)

    assert usage.charge_open(conn, NOW + seconds(1)) == 1
    assert usage.charge_open(conn, NOW + seconds(1)) == 0
    spent = usage.spent(conn, BudgetScope.CONVERSATION, "sess-1", "2026-11-21")
    assert (spent.tokens, spent.microusd, spent.reserved_tokens) == (136, 580, 0)
    assert {row.state for row in usage.recent(conn, None, 10)} == {"settled", "charged"}


def test_user_is_told_once_per_period_and_again_after_a_change(conn: sqlite3.Connection) -> None:
    budgets.put(conn, DAILY)

    assert budgets.mark_told(conn, DAILY, "2026-11-21")
    assert not budgets.mark_told(conn, DAILY, "2026-11-21")
    assert budgets.mark_told(conn, DAILY, "2026-11-22")
    budgets.put(conn, replace(DAILY, amount=300))
    assert budgets.mark_told(conn, DAILY, "2026-11-22")


def test_what_was_told_today_is_not_forgotten_by_news_of_yesterday(
    conn: sqlite3.Connection,
) -> None:
    """A request that began before midnight is settled after somebody was refused."""
    budgets.put(conn, DAILY)

    assert budgets.tell_once(conn, DAILY, "2026-11-22", "sess-1", NOW)
    assert budgets.tell_once(conn, DAILY, "2026-11-21", "owner-warned", NOW)
    assert not budgets.tell_once(conn, DAILY, "2026-11-22", "sess-1", NOW)


def test_budgets_are_listed_and_removed(conn: sqlite3.Connection) -> None:
    budgets.put(conn, DAILY)

    assert budgets.list_all(conn) == [DAILY]
    assert budgets.remove(conn, DAILY)
    assert not budgets.remove(conn, DAILY)


def test_budget_of_the_install_names_no_subject(conn: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        budgets.put(conn, replace(DAILY, scope=BudgetScope.INSTALL))


def test_old_requests_are_forgotten_and_their_sums_stay(conn: sqlite3.Connection) -> None:
    usage.reserve(conn, request(1))
    usage.settle(conn, "req-1", COST, NOW)
    usage.reserve(conn, request(2))

    assert usage.prune(conn, NOW + seconds(1)) == 1
    assert [row.request_id for row in usage.recent(conn, None, 10)] == ["req-2"]
    assert usage.spent(conn, BudgetScope.INSTALL, "", "2026-11").tokens == 36

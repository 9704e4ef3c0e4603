"""A task's budget, with a real runner behind a real door: it pays for the task and nothing else."""

from contextlib import closing
from pathlib import Path

from helpers.agent import CHAT, AgentHome
from helpers.messages_api.answers import answer, to, use
from helpers.messages_api.server import MessagesApi
from helpers.ncl_program import run_ncl

from contract.clock import utc_now
from contract.inbound.row import AckStatus
from nanoclaw.db import budgets
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.db.connection import open_central

PROMPT = "WATER the plants"


def planned(home: AgentHome) -> str:
    """The series of a task that the agent has scheduled for much later; its turn is over."""
    call = use("mcp__nanoclaw__schedule_task", prompt=PROMPT, processAfter="2030-01-01T08:00:00Z")
    home.api.script(answer(call), to(CHAT, "Planned."))
    home.ask("Water the plants one day")
    home.wait(lambda: home.central("SELECT 1 FROM task_series"), "the series is known")
    home.wait(lambda: home.acks(AckStatus.COMPLETED) == 1, "the turn is over")
    home.wait(lambda: len(payers(home)) == 2, "both requests are settled")
    ((series,),) = home.central("SELECT series_id FROM task_series")
    return str(series)


def run_now(home: AgentHome, series: str) -> None:
    done = run_ncl("tasks", "run-now", series, home=home.paths.home)
    assert done.returncode == 0, done.stderr


def payers(home: AgentHome) -> list[object]:
    """The series of every settled request, oldest first."""
    rows = home.central(
        "SELECT series_id FROM usage WHERE settled_at IS NOT NULL ORDER BY started_at, request_id"
    )
    return [row[0] for row in rows]


def test_turn_of_a_task_is_paid_by_its_series_and_a_persons_turn_is_not(tmp_path: Path) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "process") as home:
        home.start()
        series = planned(home)

        api.script(to(CHAT, "Watered."))
        run_now(home, series)
        home.wait_for_texts("Watered.")
        home.wait(lambda: home.acks(AckStatus.COMPLETED) == 2, "the task's turn is over")
        api.script(to(CHAT, "Good morning."))
        home.ask("Hello")
        home.wait(lambda: len(payers(home)) == 4, "four requests are settled")

        assert PROMPT in api.requests[2].last_text
        assert payers(home) == [None, None, series, None]
        assert not [name for seen in api.requests for name in seen.headers if "nanoclaw" in name]


def test_used_up_budget_of_a_series_stops_the_task_and_not_the_conversation(
    tmp_path: Path,
) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "process") as home:
        home.start()
        series = planned(home)
        budget = Budget(
            BudgetScope.SERIES, series, BudgetPeriod.DAY, BudgetUnit.TOKENS, 1, utc_now(), "test"
        )
        with closing(open_central(home.paths.central_db)) as conn:
            budgets.put(conn, budget)

        run_now(home, series)
        home.wait(
            lambda: home.central("SELECT 1 FROM task_runs WHERE series_id = ?", series),
            "the run is over",
        )
        assert len(api.requests) == 2
        api.script(to(CHAT, "I am here."))
        assert home.ask("Are you there?").text == "I am here."
        home.wait(lambda: len(payers(home)) == 3, "three requests are settled")

        assert payers(home) == [None, None, None]
        refused = home.central("SELECT subject FROM audit WHERE kind = 'budget.refused'")
        assert refused == [(f"series:{series}:day:tokens",)]
        assert [text for text in home.said if "budget" in text] == [
            text for text in home.said if text not in ("Planned.", "I am here.")
        ]

"""A task through a real host: asked for with a tool, due at its time, answered in its chat."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.central import make_home
from helpers.host import Host
from helpers.terminal import Terminal
from helpers.waiting import wait_until

from contract.clock import parse_text, to_text, utc_now
from contract.jsontext import dump
from nanoclaw.db import agent_groups, container_configs, tasks
from nanoclaw.db.connection import open_read_only
from nanoclaw.db.container_configs import ContainerConfigChange

TOOL = "mcp__nanoclaw__schedule_task"
SOON = timedelta(seconds=3)
WITHIN = 40.0


class Household:
    """One host with a scripted agent and somebody at its terminal."""

    def __init__(self, folder: Path, rules: list[dict[str, object]]) -> None:
        config, conn = make_home(folder)
        with closing(conn):
            (group,) = agent_groups.list_all(conn)
            container_configs.ensure(conn, group.id, utc_now())
            change = ContainerConfigChange(script=dump(rules), provider="scripted")
            container_configs.update(conn, group.id, change, utc_now())
        self.central = config.paths.central_db
        self.host = Host(config.home)
        self.host.start()
        self.terminal = Terminal(self.host.paths.socket("cli"))

    def close(self) -> None:
        self.terminal.close()
        self.host.stop()

    def hears(self, text: str) -> None:
        def heard() -> bool:
            self.terminal.receive(0.01)
            return any(text in reply.text for reply in self.terminal.replies)

        wait_until(heard, within=WITHIN, what=f"somebody says {text!r}")

    def series(self) -> list[tuple[str, str | None, int]]:
        """State, next time and number of runs of every series."""
        with closing(open_read_only(self.central)) as conn:
            rows = conn.execute("SELECT * FROM task_series").fetchall()
            return [
                (row["state"], row["next_run_at"],
                 len(tasks.runs_of(conn, row["session_id"], row["series_id"], 9)))
                for row in rows
            ]  # fmt: skip


def rules(at: str, recurrence: str | None) -> list[dict[str, object]]:
    arguments = {"prompt": "WATER THE PLANTS", "processAfter": at}
    if recurrence is not None:
        arguments["recurrence"] = recurrence
    return [
        {"match": "remind", "steps": [
            {"call": {"tool": TOOL, "arguments": arguments}},
            {"say": "I was told: {result}"}]},
        {"match": "WATER", "steps": [{"say": "The plants have water now."}]},
    ]  # fmt: skip


@pytest.mark.parametrize("recurrence", [None, "@every 1h"])
def test_a_task_runs_at_its_time_and_answers_in_its_chat(
    tmp_path: Path, recurrence: str | None
) -> None:
    at = utc_now() + SOON
    house = Household(tmp_path, rules(to_text(at), recurrence))
    try:
        house.terminal.send("remind me")
        house.hears("scheduled for")
        house.hears("The plants have water now.")

        state = "live" if recurrence else "ended"
        wait_until(
            lambda: [(one[0], one[2]) for one in house.series()] == [(state, 1)],
            within=WITHIN,
            what="the run is in the books",
        )
        ((_, next_run_at, _),) = house.series()
        if recurrence is not None:
            following = parse_text(next_run_at)
            assert following is not None
            assert following - at < timedelta(hours=1, seconds=1)
            assert following > utc_now()
    finally:
        house.close()


def test_a_time_that_passed_while_the_host_was_off_is_made_up_once(tmp_path: Path) -> None:
    at = utc_now() + SOON
    house = Household(tmp_path, rules(to_text(at), "@every 1h"))
    try:
        house.terminal.send("remind me")
        house.hears("scheduled for")
        wait_until(lambda: [one[0] for one in house.series()] == ["live"], what="the task is known")
        house.host.kill()
        wait_until(lambda: not house.host.living(), within=WITHIN, what="the old tree is gone")
        wait_until(lambda: utc_now() > at, within=WITHIN, what="the time has passed")

        house.host.start()
        house.hears("The plants have water now.")

        wait_until(
            lambda: [one[2] for one in house.series()] == [1],
            within=WITHIN,
            what="the run is in the books",
        )
        told = [reply for reply in house.terminal.replies if "water now" in reply.text]
        assert len(told) == 1
    finally:
        house.close()

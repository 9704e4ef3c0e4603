"""What an agent with a model is equipped with, from its real configuration."""

import asyncio
from pathlib import Path

import pytest
from helpers.runner_process import RunnerSession

from contract.clock import utc_now
from contract.outbound.writer import open_outbound
from runner.desk.questions import QUESTIONS_KEY, OpenQuestion, with_question
from runner.equipment import Equipment, equip
from runner.lease import Lease
from runner.providers.base import OpenEnds
from runner.settings import read_settings
from runner.store import Store
from runner.toolbox.base import ToolUse
from runner.turn.current import CurrentTurn


def equipment(session: RunnerSession, current: CurrentTurn) -> Equipment:
    settings = read_settings(session.paths)
    store = Store(session.paths, Lease(session.paths.session_json, session.lease))
    home = {"HOME": str(session.root), "PATH": "/usr/bin:/bin"}
    return equip(settings, store, current, home, ())


@pytest.mark.parametrize(
    ("setting", "offered"), [("auto", True), ("client", True), ("server", False), ("off", False)]
)
def test_own_web_fetch_is_there_where_the_setting_wants_it(
    session: RunnerSession, setting: str, offered: bool
) -> None:
    session.configure(keys={"webTools": setting})

    async def names() -> set[str]:
        made = equipment(session, CurrentTurn())
        return {spec.name for spec in await made.toolbox.specs()}

    assert ("web_fetch" in asyncio.run(names())) is offered


def test_open_ends_are_questions_without_an_answer_and_commands_that_run(
    session: RunnerSession, tmp_path: Path
) -> None:
    asked = OpenQuestion("q-1", "t-1", "Deploy", "Go live?", utc_now())
    with open_outbound(session.paths.outbound_db) as out:
        out.set_state(QUESTIONS_KEY, with_question(None, asked, utc_now()), utc_now())

    async def run() -> tuple[OpenEnds, OpenEnds]:
        made = equipment(session, CurrentTurn())
        before = await made.open_ends()
        use = ToolUse("t-2", "bash", {"command": "sleep 60", "run_in_background": True})
        await made.toolbox.run([use], lambda: None)
        during = await made.open_ends()
        await made.toolbox.close()
        return before, during

    before, during = asyncio.run(run())

    assert before == OpenEnds(("Deploy: Go live?",), ())
    assert [line.partition(": ")[2] for line in during.commands] == ["sleep 60"]


def test_foreign_tools_mark_the_turn_that_is_being_answered(session: RunnerSession) -> None:
    current = CurrentTurn()

    async def run() -> None:
        made = equipment(session, current)
        for name, arguments in (("bash", {"command": "true"}), ("WebFetch", {"url": "x"})):
            assert current.words == frozenset()
            await made.toolbox.run([ToolUse("t", name, arguments)], lambda: None)
        await made.toolbox.close()

    asyncio.run(run())

    assert current.words == {"web"}

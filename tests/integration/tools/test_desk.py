import asyncio

import pytest
from helpers.desk_session import FAMILY, DeskSession

from contract.address import Address
from contract.clock import utc_now
from contract.inbound.row import AckStatus
from contract.outbound.row import ContainerState, UsageEntry
from contract.outbound.writer import open_outbound
from runner.desk.batch import TurnBatch
from runner.desk.desk import Desk
from runner.errors import FencedOffError
from runner.lease import Lease
from runner.store import Store
from runner.toolbox.base import ToolCall
from runner.tools.nanoclaw.toolset import model_tools
from runner.turn.current import CurrentTurn


def container_state(session: DeskSession) -> ContainerState | None:
    with session.session._snapshot() as snapshot:
        return None if snapshot is None else snapshot.container_state()


@pytest.mark.parametrize(
    ("name", "stored"), [("bash", "Bash"), ("Bash", "Bash"), ("web_fetch", "web_fetch")]
)
def test_running_tool_is_shown_to_the_host(session: DeskSession, name: str, stored: str) -> None:
    asyncio.run(session.desk.started(name, 120_000))

    state = container_state(session)
    assert state is not None
    assert (state.current_tool, state.tool_declared_timeout_ms) == (stored, 120_000)
    assert state.tool_started_at is not None

    asyncio.run(session.desk.ended())

    state = container_state(session)
    assert state is not None
    assert (state.current_tool, state.tool_declared_timeout_ms) == (None, None)


def test_marks_and_usage_never_fail(session: DeskSession) -> None:
    session.session.renew_lease()

    asyncio.run(session.desk.started("bash", None))
    asyncio.run(session.desk.ended())
    asyncio.run(session.desk.log_usage(usage()))

    assert container_state(session) is None


def usage() -> UsageEntry:
    return UsageEntry(at=utc_now(), conversation="nc1-1", turn="t", kind="turn", model="m")


def test_usage_is_kept(session: DeskSession) -> None:
    asyncio.run(session.desk.log_usage(usage()))

    with open_outbound(session.paths.outbound_db) as out:
        found = out._conn.execute("SELECT model, kind FROM usage_log").fetchall()
    assert [tuple(row) for row in found] == [("m", "turn")]


def test_tool_of_a_replaced_container_writes_nothing(session: DeskSession) -> None:
    session.session.renew_lease()

    with pytest.raises(FencedOffError):
        session.call("send_message", text="hi")

    assert not session.rows


def test_cancelled_call_is_either_written_whole_or_not_at_all(session: DeskSession) -> None:
    (session.paths.workspace / "a.txt").write_text("x" * 1_000_000)

    async def run(turns: int) -> None:
        task = asyncio.create_task(session.run("send_file", path="a.txt"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    for turns in range(1, 40):
        asyncio.run(run(turns))

    for row in session.rows:
        assert (session.paths.out_files / row.id / "a.txt").stat().st_size == 1_000_000


def test_tools_in_the_runner_use_its_store_and_the_turn_in_memory(session: DeskSession) -> None:
    row = session.receive("hello", Address("telegram", "77", "t-1"))

    async def run() -> int:
        store = Store(session.paths, Lease(session.paths.session_json, 1))
        current = CurrentTurn()
        desk = Desk(session.paths, store, TurnBatch(current))
        await desk.start()
        tools = {tool.spec.name: tool for tool in model_tools(desk, "UTC")}
        send = tools["mcp__nanoclaw__send_message"]
        await send.run({"text": "between turns", "to": "family"}, ToolCall("a"))
        current.set((row,), row)
        await send.run({"text": "in a turn"}, ToolCall("b"))
        store.close()
        return desk.deliveries

    deliveries = asyncio.run(run())

    assert deliveries == 2
    assert [found.in_reply_to for found in session.rows] == [row.id, row.id]
    assert [found.address.thread_id for found in session.rows] == ["t-1", "t-1"]


def test_answer_that_somebody_took_already_is_no_answer(session: DeskSession) -> None:
    session.answer_question("msg-1-a", "Yes")
    assert asyncio.run(session.desk.find_answer("msg-1-a")) is not None

    with open_outbound(session.paths.outbound_db) as out:
        out.complete(["qr-msg-1-a"], utc_now())

    assert asyncio.run(session.desk.find_answer("msg-1-a")) is None
    assert session.session.status_of("qr-msg-1-a") is AckStatus.COMPLETED


def test_batch_in_another_process_is_empty_when_there_is_none(session: DeskSession) -> None:
    assert asyncio.run(session.desk.batch()).rows == ()

    session.begin(session.receive("hello", FAMILY.address))

    batch = asyncio.run(session.desk.batch())
    assert batch.address == FAMILY.address
    assert [row.id for row in batch.rows] == [batch.in_reply_to]


def test_number_names_a_message_in_either_file(session: DeskSession) -> None:
    row = session.receive("hello", FAMILY.address)
    session.call("send_message", text="hi")

    theirs = asyncio.run(session.desk.find_message(row.seq))
    ours = asyncio.run(session.desk.find_message(session.last.seq))

    assert theirs is not None
    assert ours is not None
    assert (theirs.row_id, theirs.own, theirs.address) == (row.id, False, FAMILY.address)
    assert (ours.row_id, ours.own) == (session.last.id, True)
    assert asyncio.run(session.desk.find_message(99)) is None

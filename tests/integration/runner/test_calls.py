"""Scripts that use tools: the real toolbox in the real process."""

import sys

from helpers.runner_process import RunnerSession
from helpers.waiting import wait_until

from contract.address import Address, Destination, DestinationType
from contract.clock import utc_now
from contract.inbound.row import AckStatus, NewInbound
from contract.inbound.writer import open_inbound
from contract.outbound.row import OutboundRow

PEER = Destination("peer", "Peer", DestinationType.AGENT, agent_group_id="ag-2")
TERMINAL = Destination("terminal", "Terminal", DestinationType.CHANNEL, "cli", "local")


def call(tool: str, **arguments: object) -> dict[str, object]:
    return {"call": {"tool": tool, "arguments": arguments}}


def beat_of(session: RunnerSession) -> int:
    return session.paths.heartbeat.stat().st_mtime_ns


def receive(session: RunnerSession, message: NewInbound) -> None:
    with open_inbound(session.paths.inbound_db, busy_ms=2000) as inbound:
        inbound.insert_message(message)


def wait_for_rows(session: RunnerSession, number: int) -> list[OutboundRow]:
    wait_until(lambda: len(session.messages()) >= number, within=15, what=f"{number} messages")
    return session.messages()


def test_result_of_a_tool_can_be_said(session: RunnerSession) -> None:
    session.configure(
        [{"steps": [call("bash", command="echo two {text}"), {"say": "it says: {result}"}]}]
    )
    session.send("words")
    session.start()

    assert session.wait_for_texts(1, within=15) == ["it says: two words"]


def test_unknown_tool_is_an_error_that_the_script_reads(session: RunnerSession) -> None:
    session.configure([{"steps": [call("no_such_tool"), {"say": "{result}"}]}])
    session.send("go")
    session.start()

    assert session.wait_for_texts(1, within=15) == ["Error: there is no tool 'no_such_tool'"]


def test_call_is_broken_off_by_stop(session: RunnerSession) -> None:
    session.configure([{"match": "go", "steps": [call("bash", command="sleep 60")]}])
    asked = session.send("go")
    process = session.start()
    process.wait_for_log("runner up", within=15)
    session.wait_for_status(asked, AckStatus.PROCESSING)

    session.send("/stop")

    session.wait_for_status(asked, AckStatus.COMPLETED)
    assert session.texts() == ["Stopped."]


def test_heartbeat_goes_on_while_a_tool_runs(session: RunnerSession) -> None:
    session.configure([{"steps": [call("bash", command="sleep 60")]}])
    asked = session.send("go")
    session.start()
    wait_until(lambda: session.current_tool() == "Bash", within=15, what="the tool to run")

    first = beat_of(session)
    wait_until(lambda: beat_of(session) > first, what="a beat")
    second = beat_of(session)
    wait_until(lambda: beat_of(session) > second, what="another beat")

    assert session.status_of(asked) is AckStatus.PROCESSING


def test_messages_of_a_turn_carry_its_taint_and_its_chain_to_agents(
    session: RunnerSession,
) -> None:
    session.permit(PEER, TERMINAL)
    send = "mcp__nanoclaw__send_message"
    session.configure(
        [
            {
                "match": "ask",
                "steps": [
                    call(send, text="before", to="terminal"),
                    call("web_fetch", url="http://127.0.0.1:9/"),
                    call(send, text="to the peer", to="peer"),
                    call("mcp__nanoclaw__schedule_task", prompt="x", processAfter="2030-01-01"),
                    {"say": "done"},
                ],
            }
        ]
    )
    receive(
        session,
        NewInbound(
            id="m-1",
            kind="chat",
            timestamp=utc_now(),
            content='{"text":"ask","attachments":[{"name":"a.txt","localPath":"inbox/a.txt"}]}',
            address=Address("agent", "ag-2"),
            taint="agent",
            chain_id="c-1",
            hop=3,
        ),
    )
    session.start()

    before, to_peer, task, answer = wait_for_rows(session, 4)

    assert (before.taint, before.chain_id, before.hop) == ("agent,file", None, 0)
    assert (to_peer.taint, to_peer.chain_id, to_peer.hop) == ("agent,file,web", "c-1", 3)
    assert (task.kind, task.taint) == ("system", "agent,file,web")
    assert (answer.taint, answer.chain_id, answer.hop) == ("agent,file,web", "c-1", 3)


def test_command_of_the_shell_carries_what_the_turn_has_seen(session: RunnerSession) -> None:
    ask = call("bash", command=f"timeout 5 {sys.executable} -P -m runner.ncl groups list")
    fetch = call("web_fetch", url="http://127.0.0.1:9/")
    session.configure([{"match": "read", "steps": [fetch, ask]}, {"match": "ask", "steps": [ask]}])
    read = session.send("read")
    session.start()
    session.wait_for_status(read, AckStatus.PROCESSING)
    wait_for_rows(session, 1)

    session.send("ask")

    assert [row.taint for row in wait_for_rows(session, 2)] == ["web", None]


def test_next_turn_is_clean_again(session: RunnerSession) -> None:
    session.configure(
        [
            {
                "match": "read",
                "steps": [call("web_fetch", url="http://127.0.0.1:9/"), {"say": "a"}],
            },
            {"match": "thanks", "steps": [{"say": "b"}]},
        ]
    )
    session.send("read")
    session.start()
    session.wait_for_texts(1, within=15)

    session.send("thanks")

    assert [row.taint for row in wait_for_rows(session, 2)] == ["web", None]


def test_call_that_was_carried_out_before_a_kill_is_not_carried_out_again(
    session: RunnerSession,
) -> None:
    session.permit(TERMINAL)
    said = call("mcp__nanoclaw__send_message", text="once", to="terminal")
    session.configure([{"times": 1, "steps": [said, {"exit": 1}]}, {"steps": [said]}])
    asked = session.send("go")
    assert session.start().code(15) == 1

    session.renew_lease()
    session.start()

    session.wait_for_status(asked, AckStatus.COMPLETED)
    assert session.texts() == ["once"]

from pathlib import Path

from contract.address import NOWHERE, Address, Destination, DestinationType
from contract.exits import RunnerExit
from contract.layout import RunnerPaths


def test_without_environment_the_mount_points_are_used() -> None:
    paths = RunnerPaths.from_environment({"NANOCLAW_SESSION_IN": ""})

    assert paths.inbound_db == Path("/session/in/inbound.db")
    assert paths.session_json == Path("/session/in/session.json")
    assert paths.container_json == Path("/session/in/container.json")
    assert paths.in_files == Path("/session/in/files")
    assert paths.outbound_db == Path("/session/out/outbound.db")
    assert paths.out_files == Path("/session/out/files")
    assert paths.heartbeat == Path("/session/out/heartbeat")
    assert paths.conversation == Path("/session/out/conversation")
    assert paths.runner_log == Path("/session/out/runner/runner.log")
    assert paths.workspace == Path("/workspace/agent")
    assert paths.global_dir == Path("/workspace/global")
    assert paths.app == Path("/app")


def test_paths_survive_the_environment() -> None:
    paths = RunnerPaths(Path("/a/in"), Path("/a/out"), Path("/w"), Path("/code"), Path("/g"))

    assert RunnerPaths.from_environment(paths.to_environment()) == paths


def test_a_destination_knows_the_columns_of_a_row_that_goes_there() -> None:
    chat = Destination("family", "Family", DestinationType.CHANNEL, "telegram", "telegram:1")
    agent = Destination("scribe", "Scribe", DestinationType.AGENT, agent_group_id="ag-1")

    assert chat.address == Address("telegram", "telegram:1", None)
    assert agent.address == Address("agent", "ag-1", None)


def test_an_address_is_empty_only_without_any_part() -> None:
    assert NOWHERE.is_empty
    assert not Address(thread_id="t").is_empty


def test_exit_codes_are_those_of_sysexits() -> None:
    assert [code.value for code in RunnerExit] == [0, 1, 75, 78]

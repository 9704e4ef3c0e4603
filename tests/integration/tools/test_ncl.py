import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.desk_session import DeskSession
from helpers.kill_points import KillFolder
from helpers.runner_process import PROJECT
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.inbound import lookup
from contract.inbound.row import AckStatus, NewInbound
from contract.jsontext import dump
from contract.layout import RunnerPaths
from runner.ncl_client.grammar import parse_words
from runner.ncl_client.transport import TimedOutError, ask_host

ROWS = {"ok": True, "data": [{"id": "ag-1", "name": None}, {"id": "ag-20", "name": "Bo"}]}
REFUSED = {"ok": False, "error": {"code": "forbidden", "message": "scoped to your own group"}}


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(
    paths: RunnerPaths, running: list[subprocess.Popen[bytes]], *words: str, **environment: str
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "runner.ncl", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "LC_ALL": "C",
            **paths.to_environment(),
            **environment,
        },
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running.append(process)
    return process


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("watch", ["inotify", "polling"])
def test_answer_is_printed_as_a_table(
    session: DeskSession, running: list[subprocess.Popen[bytes]], watch: str
) -> None:
    process = start(session.paths, running, "groups", "list", "--limit", "5", NANOCLAW_WATCH=watch)
    wait_until(lambda: session.rows, what="the request")
    request = session.last
    session.answer_request(request.id, {"id": request.id, **ROWS})

    status, out, err = finish(process)

    assert (status, err) == (0, "")
    assert out == "id     name\n─────  ────\nag-1\nag-20  Bo\n"
    assert session.content(request) == {
        "action": "cli_request",
        "requestId": request.id,
        "command": "groups-list",
        "args": {"limit": "5"},
        "positionals": ["groups", "list"],
    }
    assert request.id.startswith("cli-")
    assert request.address.is_empty
    assert session.session.status_of(f"cli-resp-{request.id}") is AckStatus.COMPLETED


def test_scenario_64_refusal_goes_to_standard_error_with_status_1(
    session: DeskSession, running: list[subprocess.Popen[bytes]]
) -> None:
    process = start(session.paths, running, "users", "list")
    wait_until(lambda: session.rows, what="the request")
    session.answer_request(session.last.id, {"id": session.last.id, **REFUSED})

    assert finish(process) == (1, "", "error (forbidden): scoped to your own group\n")


def test_json_shows_the_frame_and_keeps_the_status(
    session: DeskSession, running: list[subprocess.Popen[bytes]]
) -> None:
    process = start(session.paths, running, "--json", "users", "list")
    wait_until(lambda: session.rows, what="the request")
    session.answer_request(session.last.id, {"id": session.last.id, **REFUSED})

    status, out, _ = finish(process)

    assert status == 1
    assert json.loads(out) == {"id": session.last.id, **REFUSED}
    assert session.content()["args"] == {}


@pytest.mark.parametrize(
    ("option", "text"), [("--ids", "ag-1\nag-20\n"), ("--csv", "id,name\nag-1,\nag-20,Bo\n")]
)
def test_rows_are_also_printed_for_programs(
    session: DeskSession, running: list[subprocess.Popen[bytes]], option: str, text: str
) -> None:
    process = start(session.paths, running, "groups", "list", option)
    wait_until(lambda: session.rows, what="the request")
    session.answer_request(session.last.id, {"id": session.last.id, **ROWS})

    assert finish(process) == (0, text, "")
    assert session.content()["args"] == {}


def test_scenario_64_late_answer_ends_with_status_2(
    session: DeskSession, running: list[subprocess.Popen[bytes]]
) -> None:
    status, out, err = finish(start(session.paths, running, "groups", "list", "--timeout", "0.1"))

    assert (status, out) == (2, "")
    assert "timed out" in err


def test_wrong_line_is_told_in_the_form_that_was_asked_for(
    session: DeskSession, running: list[subprocess.Popen[bytes]]
) -> None:
    said = finish(start(session.paths, running, "groups", "list", "--timeout", "soon"))
    framed = finish(start(session.paths, running, "groups", "list", "--json", "--offline"))

    assert said[:2] == (2, "")
    assert said[2].startswith("ncl: --timeout must be a number of seconds")
    assert framed[0] == 2
    assert json.loads(framed[1])["error"]["code"] == "invalid-args"
    assert not session.rows


def test_reader_that_goes_away_is_no_trouble(
    session: DeskSession, running: list[subprocess.Popen[bytes]]
) -> None:
    process = start(session.paths, running, "groups", "list")
    wait_until(lambda: session.rows, what="the request")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    session.answer_request(session.last.id, {"id": session.last.id, **ROWS})

    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, b"")


def test_help_and_missing_commands_ask_nobody(
    session: DeskSession, running: list[subprocess.Popen[bytes]]
) -> None:
    help_shown = finish(start(session.paths, running, "--help"))
    nothing = finish(start(session.paths, running))
    only_flags = finish(start(session.paths, running, "--limit", "5"))

    assert help_shown == nothing
    assert help_shown[0] == 0
    assert "usage" in help_shown[1]
    assert only_flags[0] == 2
    assert only_flags[2].startswith("ncl: missing command")
    assert not session.rows


def test_session_that_is_not_there_is_said_in_words(
    tmp_path: Path, running: list[subprocess.Popen[bytes]]
) -> None:
    paths = RunnerPaths(tmp_path / "in", tmp_path / "out", tmp_path, PROJECT)

    status, out, err = finish(start(paths, running, "groups", "list"))

    assert (status, out) == (2, "")
    assert err.startswith("ncl: cannot ask the host: ")


def test_scenario_67_time_out_leaves_an_acknowledgement_for_the_late_answer(
    session: DeskSession,
) -> None:
    with pytest.raises(TimedOutError, match="timed out"):
        ask_host(session.paths, parse_words(["groups", "list"]), seconds=0.0)

    assert session.session.status_of(f"cli-resp-{session.last.id}") is AckStatus.COMPLETED


@pytest.mark.parametrize(
    ("point", "status"), [("ncl.requested", None), ("ncl.acknowledged", AckStatus.COMPLETED)]
)
def test_command_that_is_killed_leaves_a_whole_request(
    session: DeskSession, running: list[subprocess.Popen[bytes]], point: str, status: object
) -> None:
    kill = KillFolder(session.root / "kill")
    kill.path.mkdir()
    kill.arm(point, "self")
    process = start(session.paths, running, "groups", "list", NANOCLAW_KILL_DIR=str(kill.path))
    wait_until(lambda: session.rows, what="the request")
    request = session.last
    session.answer_request(request.id, {"id": request.id, **ROWS})

    code, out, _ = finish(process)

    assert (code, out) == (-signal.SIGKILL, "")
    assert session.session.status_of(f"cli-resp-{request.id}") is status
    assert session.content(request)["command"] == "groups-list"


def test_answer_under_another_row_id_is_found_as_well(session: DeskSession) -> None:
    content = {"type": "cli_response", "requestId": "cli-1-a", "frame": ROWS}
    session.insert(
        NewInbound(id="other", kind="system", timestamp=utc_now(), content=dump(content))
    )

    found = lookup.find_response(session.paths.inbound_db, "cli-1-a")

    assert found is not None
    assert found.id == "other"


def test_start_loads_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys, runner.ncl; "
        "print([m for m in ('asyncio', 'anthropic', 'mcp', 'logging', 'typing', 'zoneinfo', "
        "'contract.content') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", program],
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.strip() == "[]"

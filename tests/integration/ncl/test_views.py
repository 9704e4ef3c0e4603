"""``ncl search``, ``why``, ``status``, ``top`` and ``logs -f`` as real processes."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_pty import PtyProgram
from helpers.host import Host
from helpers.ncl_program import COMMAND, environment, run_ncl
from helpers.ncl_server import NclServer, data, error
from helpers.town import Town, TownChannel
from helpers.waiting import wait_until

from nanoclaw.paths import HostPaths
from nanoclaw.supervise.status import ChildStatus, HostStatus, write_status

FOUND = {
    "results": [
        {"at": "2026-11-21T10:00:00.000Z", "kind": "in", "agent_group_id": "ag", "channel": "cli",
         "session_id": "sess-1", "sender": "Ann", "message_id": "m-1", "text": "the \x1b[2Jdentist"}
    ],
    "complete": False,
    "sessions_to_read": 2,
}  # fmt: skip
EXPLAINED = {
    "message": "4711", "text": "Hello?", "answered": False, "cause": "no agent listens",
    "todo": "ncl wirings create", "timeline": [
        {"at": "2026-11-21T10:00:00.000Z", "what": "received from cli", "detail": "event 4711"}
    ],
}  # fmt: skip


def server(tmp_path: Path, value: object) -> NclServer:
    return NclServer(tmp_path, data(value))


def test_all_words_behind_search_are_searched_for(tmp_path: Path) -> None:
    with server(tmp_path, FOUND) as host:
        result = run_ncl("search", "dentist", "on tuesday", "--limit", "5", home=tmp_path)

    assert host.frames[0]["positionals"] == ["search", "dentist", "on tuesday"]
    assert host.frames[0]["args"] == {"limit": "5"}
    head, _, row = result.stdout.splitlines()
    assert head.split() == ["at", "kind", "session_id", "sender", "text"]
    assert "sess-1" in row
    assert "\x1b" not in result.stdout
    assert "2 conversations are still being read" in result.stderr
    assert result.returncode == 0


def test_search_for_programs_gives_rows_or_the_whole_answer(tmp_path: Path) -> None:
    with server(tmp_path, FOUND):
        rows = run_ncl("search", "x", "--csv", home=tmp_path).stdout
        whole = run_ncl("search", "x", "--json", home=tmp_path).stdout

    assert rows.splitlines()[0].startswith("at,kind,agent_group_id")
    assert json.loads(whole)["data"]["complete"] is False


def test_nothing_found_is_said(tmp_path: Path) -> None:
    with server(tmp_path, {"results": [], "complete": True, "sessions_to_read": 0}):
        result = run_ncl("search", "x", home=tmp_path)

    assert (result.stdout, result.stderr, result.returncode) == ("nothing found\n", "", 0)


def test_why_tells_the_cause_before_the_timeline(tmp_path: Path) -> None:
    with server(tmp_path, EXPLAINED):
        result = run_ncl("why", "4711", home=tmp_path)

    assert result.stdout.splitlines()[:5] == [
        "Hello?", "answered: no", "cause:    no agent listens", "next:     ncl wirings create", ""
    ]  # fmt: skip
    assert "received from cli" in result.stdout


@pytest.mark.parametrize("words", [("why", "x"), ("search", "x"), ("top",), ("logs", "-f")])
def test_a_refusal_is_an_error_and_ends_it(tmp_path: Path, words: tuple[str, ...]) -> None:
    with NclServer(tmp_path, error("forbidden", "not for you")):
        result = run_ncl(*words, home=tmp_path)

    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr == "error (forbidden): not for you\n"


@pytest.mark.parametrize("words", [("why", "x"), ("search", "x"), ("top",), ("logs", "-f")])
def test_without_a_host_they_say_how_to_start_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = run_ncl(*words, home=tmp_path)

    assert result.returncode == 2
    assert "nanoclaw run" in result.stderr


def test_status_without_a_host_shows_what_the_status_file_says(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path)
    paths.run.mkdir()
    since = "2026-11-21T10:00:00.000Z"
    router = ChildStatus("router", wanted=True, state="fatal", since=since, reason="no database")
    write_status(paths.status_file, HostStatus("2.0", 77, "stopped", since, since, (router,)))

    text = run_ncl("status", home=tmp_path)
    whole = run_ncl("status", "--json", home=tmp_path)

    assert text.returncode == whole.returncode == 2
    assert f"no host is running on {tmp_path}" in text.stdout
    assert "no database" in text.stdout
    assert json.loads(whole.stdout)["data"]["running"] is False


def test_following_goes_on_from_the_cursor_until_interrupted(tmp_path: Path) -> None:
    pieces = iter(range(1, 1000))

    def answer(frame: dict[str, object]) -> bytes:
        number = next(pieces)
        value = {"lines": [f"line {number}\x07"] if number < 4 else [], "cursor": f"c-{number}"}
        return data(value)(frame)

    with NclServer(tmp_path, answer) as host:
        words = [*COMMAND, "containers", "logs", "-f", "sess-1", "--home", str(tmp_path)]
        program = PtyProgram(words, environment(), tmp_path)
        program.wait_for("line 3")
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0
        program.close()

    args = [frame["args"] for frame in host.frames]
    assert host.frames[0]["positionals"] == ["containers", "logs", "sess-1"]
    assert args[0] == {"follow": True}
    assert args[1] == {"follow": True, "cursor": "c-1"}
    assert "\x07" not in program.raw


# --- with a whole host ----------------------------------------------------------------------------


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Town(tmp_path / "home") as town:
        town.open_channel("telegram")
        yield town


@pytest.fixture
def talk(town: Town) -> TownChannel:
    """An agent has answered somebody."""
    channel = town.channels["telegram"]
    script = {"rules": [{"match": "dentist", "steps": [{"say": "The dentist is at 会议 street"}]}]}
    pip = town.add_agent("Pip", script=script)
    town.wire(town.add_chat("telegram", "family"), pip)
    channel.say("family", "where is the dentist?", "1")
    channel.wait_for("family", "street")
    return channel


def test_a_conversation_is_explained_and_found(town: Town, talk: TownChannel) -> None:
    home = town.home
    (event,) = json.loads(run_ncl("messages", "list", "--incoming", "--json", home=home).stdout)[
        "data"
    ]
    why = wait_until(lambda: _answered(home, event["id"]), within=10, what="an answered message")
    assert why is not None
    steps = why["timeline"]
    order = [step["what"] for step in steps if "agent" not in str(step["what"])]
    assert order.index("received from telegram") < order.index("delivery sent")
    assert any("agent started" in str(step["detail"]) for step in steps)

    found = wait_until(lambda: _found(home, "会议"), within=10, what="the index")
    assert [row["text"] for row in found] == ["The dentist is at 会议 street"]
    assert [row["kind"] for row in _found(home, "dentist")] == ["out", "in"]


def _answered(home: Path, event_id: str) -> dict[str, list[dict[str, object]]] | None:
    told = json.loads(run_ncl("why", event_id, "--json", home=home).stdout)["data"]
    return told if told["answered"] else None


def _found(home: Path, words: str) -> list[dict[str, object]]:
    answer = json.loads(run_ncl("search", words, "--json", home=home).stdout)
    found: list[dict[str, object]] = answer["data"]["results"] if answer["ok"] else []
    return found


def test_top_is_one_look_for_a_pipe_and_goes_on_on_a_terminal(
    town: Town, talk: TownChannel
) -> None:
    home = town.home
    once = run_ncl("top", home=home)
    assert once.returncode == 0
    assert "delivery" in once.stdout
    assert "sessions 1 running" in once.stdout

    words = [*COMMAND, "top", "--every", "0.2", "--home", str(home)]
    program = PtyProgram(words, environment(TERM="xterm"), home)
    wait_until(lambda: program.raw.count("\x1b[H") >= 3, within=15, what="three looks")
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0
    program.close()
    assert program.raw.endswith("\x1b[?25h\x1b[?1049l")


def test_a_container_is_stopped_and_the_log_tells_of_it(town: Town, talk: TownChannel) -> None:
    home = town.home
    (row,) = json.loads(run_ncl("containers", "list", "--json", home=home).stdout)["data"]

    stopped = run_ncl("containers", "stop", row["session_id"], "--yes", "--json", home=home)

    assert json.loads(stopped.stdout)["data"]["state"] == "stopped"
    log = run_ncl("logs", "--session", row["session_id"], home=home).stdout
    assert "agent is stopped" in log


def test_status_of_a_running_host_is_that_of_the_other_command(tmp_path: Path) -> None:
    with Host(tmp_path / "home") as host:
        result = run_ncl("status", home=host.paths.home)

    assert result.returncode == 0
    assert "is running on" in result.stdout
    assert "sessions_running: 0" in result.stdout

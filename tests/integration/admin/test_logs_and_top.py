"""``ncl logs`` and ``ncl top``."""

from pathlib import Path

import pytest
from helpers.admin_desk import NOW, AdminDesk
from helpers.reading_rows import add_series

from contract.clock import to_text
from nanoclaw.admin.log_reading import MAX_PIECE_BYTES, harmless, path_opener, read_on, read_tail
from nanoclaw.db import sessions
from nanoclaw.model import CliScope
from nanoclaw.supervise.status import ChildStatus, HostStatus, write_status

LINES = (
    "2026-11-21T10:00:00.000Z INFO router message routed session=sess-1 group=ag",
    "2026-11-21T10:00:01.000Z WARNING sweep agent ended session=sess-10 reason=crash",
    "2026-11-21T10:00:02.000Z ERROR delivery message given up session=sess-1",
)


@pytest.fixture
def log(desk: AdminDesk) -> Path:
    path = desk.config.paths.logs / "nanoclaw.log"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


def test_the_end_of_the_log_is_shown(desk: AdminDesk, log: Path) -> None:
    assert desk.get("logs")["lines"] == list(LINES)
    assert desk.get("logs", lines="1")["lines"] == [LINES[2]]
    assert desk.get("logs", lines="0")["lines"] == []


def test_the_log_is_shown_by_session_process_and_level(desk: AdminDesk, log: Path) -> None:
    assert desk.get("logs", session="sess-1")["lines"] == [LINES[0], LINES[2]]
    assert desk.get("logs", process="sweep")["lines"] == [LINES[1]]
    assert desk.get("logs", level="warning")["lines"] == [LINES[1], LINES[2]]
    assert desk.get("logs", level="error", session="sess-10")["lines"] == []
    assert desk.fail("logs", level="loud")[0] == "invalid-args"


def test_the_log_is_followed_across_a_rotation(desk: AdminDesk, log: Path) -> None:
    cursor = desk.get("logs", lines="0")["cursor"]
    with log.open("a") as file:
        file.write("last of the old\n")
    log.replace(log.with_name("nanoclaw.log.1"))
    log.write_text("first of the new\n")

    lines = []
    for _ in range(3):
        piece = desk.get("logs", cursor=cursor)
        cursor = piece["cursor"]
        lines += piece["lines"]

    assert lines == ["last of the old", "first of the new"]


def test_a_cursor_that_makes_no_sense_begins_anew(log: Path) -> None:
    assert read_on(path_opener(log), "nonsense").lines == LINES
    assert read_on(path_opener(log), f"{log.stat().st_ino}:99999999").lines == LINES


def test_a_long_log_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "log"
    wanted = [f"line {number} " + "x" * 100 for number in range(10_000)]
    path.write_text("".join(f"{line}\n" for line in wanted))
    assert path.stat().st_size > 2 * MAX_PIECE_BYTES

    assert read_tail(path_opener(path), 3).lines == tuple(wanted[-3:])
    found: list[str] = []
    cursor = f"{path.stat().st_ino}:0"
    while (piece := read_on(path_opener(path), cursor)).lines:
        found += piece.lines
        cursor = piece.cursor
    assert found == wanted


def test_a_line_without_end_is_passed_at_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (MAX_PIECE_BYTES + 10) + b"\nnext\n")
    cursor = f"{path.stat().st_ino}:0"

    first = read_on(path_opener(path), cursor)
    rest = read_on(path_opener(path), first.cursor)

    assert len(first.lines) == 1
    assert rest.lines[-1] == "next"


def test_what_a_terminal_would_obey_is_made_visible() -> None:
    assert harmless("\x1b[2Jgone\x07\t\u202eabc") == "\\x1b[2Jgone\\x07\t\\u202eabc"


def test_no_log_yet_is_an_empty_one(desk: AdminDesk) -> None:
    assert desk.get("logs") == {"lines": [], "cursor": ""}


def test_top_shows_processes_sessions_money_and_tasks(desk: AdminDesk) -> None:
    now = to_text(NOW)
    child = ChildStatus("router", wanted=True, state="running", pid=1, since=now)
    host = HostStatus("2.0", 1, "running", now, now, (child,))
    write_status(desk.config.paths.status_file, host)
    session = desk.add_session(running=True)
    desk.add_session("sess-2")
    sessions.mark_due(desk.conn, "sess-2", NOW)
    add_series(desk.conn, desk.config.paths, session, "plants", "Water", NOW)

    top = desk.get("top")

    assert top["host"]["state"] == "running"
    assert top["children"][0]["memory_mib"] > 0
    assert [row["state"] for row in top["sessions"]] == ["running", "waiting"]
    assert top["work"]["sessions_running"] == 1
    assert top["today"] == {"requests": 0, "under_way": 0, "tokens": 0, "usd": 0}
    assert [task["id"] for task in top["tasks"]] == ["plants"]


def test_top_without_a_status_file_shows_the_rest(desk: AdminDesk) -> None:
    top = desk.get("top")

    assert (top["host"], top["children"]) == (None, [])


@pytest.mark.parametrize("command", ["top", "logs", "status"])
def test_the_whole_house_is_no_affair_of_an_agent_bound_to_its_group(
    desk: AdminDesk, command: str
) -> None:
    assert desk.fail(command, desk.agent())[0] == "forbidden"
    assert desk.get(command, desk.agent(CliScope.GLOBAL)) is not None

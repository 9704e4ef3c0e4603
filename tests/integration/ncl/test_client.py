"""``ncl`` as a real process against a socket that answers what each test wants."""

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_pty import PtyProgram
from helpers.ncl_program import COMMAND, environment, run_ncl
from helpers.ncl_server import Answer, NclServer, data, error
from helpers.waiting import wait_until

from nanoclaw.paths import HostPaths

ROWS = [{"id": "ag-1", "name": "Büro 世界"}, {"id": "ag-20", "name": None}]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[NclServer]:
    with NclServer(tmp_path, data(ROWS)) as server:
        yield server


def test_request_carries_the_words_as_they_were_typed(rows: NclServer) -> None:
    run_ncl(
        "groups", "config", "update", "ag-1", "--model=x", "--cli-scope", "group", "--json",
        home=rows.home,
    )  # fmt: skip

    (frame,) = rows.frames
    assert uuid.UUID(str(frame.pop("id"))).version == 4
    assert frame == {
        "command": "groups-config-update-ag-1",
        "args": {"model": "x", "cli-scope": "group"},
        "positionals": ["groups", "config", "update", "ag-1"],
    }


def test_rows_are_a_table_as_wide_as_they_are(rows: NclServer) -> None:
    result = run_ncl("groups", "list", home=rows.home)

    assert result.stdout == "id     name\n─────  ─────────\nag-1   Büro 世界\nag-20\n"
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("option", "text"),
    [("--ids", "ag-1\nag-20\n"), ("--csv", "id,name\nag-1,Büro 世界\nag-20,\n")],
)
def test_rows_for_programs(rows: NclServer, option: str, text: str) -> None:
    assert run_ncl("groups", "list", option, home=rows.home).stdout == text


def test_home_is_an_option_before_the_environment(rows: NclServer, tmp_path: Path) -> None:
    result = run_ncl("groups", "list", f"--home={rows.home}", home=tmp_path / "other")

    assert result.returncode == 0
    assert rows.frames[0]["args"] == {}


def test_json_is_one_document_on_standard_output(rows: NclServer) -> None:
    result = run_ncl("groups", "list", "--json", home=rows.home)

    frame = json.loads(result.stdout)
    assert frame == {"id": frame["id"], "ok": True, "data": ROWS}
    assert "世界" in result.stdout


@pytest.mark.parametrize("code", ["approval-pending", "forbidden"])
def test_refusal_ends_with_status_1_and_one_line(tmp_path: Path, code: str) -> None:
    with NclServer(tmp_path, error(code, "first\nsecond \x1b[2J")):
        said = run_ncl("groups", "list", home=tmp_path)
        framed = run_ncl("groups", "list", "--json", home=tmp_path)

    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == f"error ({code}): first second \\x1b[2J\n"
    assert (framed.returncode, framed.stderr) == (1, "")
    assert json.loads(framed.stdout)["error"]["code"] == code


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "host closed connection before sending response"),
        (b'{"id": "half', "host closed connection before sending response"),
        (b"no json\n", "malformed response from host"),
        (b'{"id": "1"}\n', "malformed response from host"),
        (b"[]\n", "malformed response from host"),
    ],
)
def test_answer_that_is_none_is_one_line_without_hints(
    tmp_path: Path, answer: bytes, text: str
) -> None:
    with NclServer(tmp_path, lambda _: answer):
        result = run_ncl("groups", "list", home=tmp_path)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("ncl: transport error: ")
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_host_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with NclServer(tmp_path, None):
        result = run_ncl("groups", "list", "--timeout", "0.3", home=tmp_path)

    assert result.returncode == 2
    assert "timed out: no answer within 0.3 seconds" in result.stderr


def test_scenario_1_absent_socket_is_told_with_the_names_of_this_installation(
    tmp_path: Path,
) -> None:
    said = run_ncl("groups", "list", home=tmp_path)
    framed = run_ncl("groups", "list", "--json", home=tmp_path)

    assert (said.returncode, said.stdout) == (2, "")
    assert "No such file or directory" in said.stderr
    assert f"nanoclaw run --home {tmp_path}" in said.stderr
    assert f"nanoclaw-v2-{HostPaths(tmp_path).slug}" in said.stderr
    assert framed.returncode == 2
    assert json.loads(framed.stdout)["error"]["code"] == "transport-error"
    assert list(tmp_path.iterdir()) == []


def test_scenario_2_socket_that_nobody_listens_on_gets_the_same_hints(tmp_path: Path) -> None:
    with NclServer(tmp_path, None):
        pass

    result = run_ncl("groups", "list", home=tmp_path)

    assert result.returncode == 2
    assert "Connection refused" in result.stderr
    assert f"restart nanoclaw-v2-{HostPaths(tmp_path).slug}" in result.stderr


def test_scenario_3_other_trouble_is_one_line_without_hints(tmp_path: Path) -> None:
    (tmp_path / "run").touch()

    result = run_ncl("groups", "list", home=tmp_path)

    assert (result.returncode, result.stdout) == (2, "")
    socket = tmp_path / "run" / "ncl.sock"
    assert result.stderr == f"ncl: transport error: {socket}: Not a directory\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--limit", "5"], "ncl: missing command\nusage: ncl "),
        (["a", "--timeout", "soon"], "ncl: --timeout must be a number of seconds"),
        (["a", "--json", "--csv"], ""),
        (["completion", "tcsh"], "ncl: completion is for one of: bash, zsh, fish"),
    ],
)
def test_wrong_line_ends_with_status_2(tmp_path: Path, words: list[str], text: str) -> None:
    result = run_ncl(*words, home=tmp_path)

    assert result.returncode == 2
    assert result.stderr.startswith(text)


def test_ctrl_c_ends_the_wait_without_a_trace(tmp_path: Path) -> None:
    with NclServer(tmp_path, None) as server:
        process = subprocess.Popen(
            [*COMMAND, "groups", "list"], env=environment(NANOCLAW_HOME=str(tmp_path)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_until(lambda: server.frames, within=20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_usage_asks_nobody(tmp_path: Path, words: list[str]) -> None:
    result = run_ncl(*words, home=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ncl ")


def test_too_long_a_line_is_refused_before_it_is_sent(rows: NclServer) -> None:
    words = [f"--k{number}={'x' * 100_000}" for number in range(11)]

    result = run_ncl("groups", "list", *words, home=rows.home)

    assert result.returncode == 2
    assert "longer than 1048576 bytes" in result.stderr
    assert not rows.frames


def test_argument_that_is_no_text_reaches_the_host_whole(rows: NclServer) -> None:
    subprocess.run(
        [*COMMAND, "groups", "list", b"--name=\xff"],
        env=environment(NANOCLAW_HOME=str(rows.home)), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip

    assert rows.frames[0]["args"] == {"name": "\udcff"}


def test_letters_that_the_output_does_not_have_are_escaped(rows: NclServer) -> None:
    result = run_ncl("groups", "list", home=rows.home, PYTHONIOENCODING="ascii")

    assert result.stdout.splitlines()[1:3] == [
        "-----  ---------",
        r"ag-1   B\xfcro \u4e16\u754c",
    ]


def test_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    many = [{"id": f"i-{number}", "text": "x" * 100} for number in range(5000)]
    with NclServer(tmp_path, data(many)):
        process = subprocess.Popen(
            [*COMMAND, "groups", "list"], env=environment(NANOCLAW_HOME=str(tmp_path)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, b"")


# --- questions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["groups", "delete", "ag-1"], ["groups-delete", "ag-1"]])
def test_without_a_terminal_nothing_is_taken_away_unasked(
    rows: NclServer, words: list[str]
) -> None:
    refused = run_ncl(*words, home=rows.home, stdin="y\n")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert not rows.frames


@pytest.mark.parametrize("option", ["--yes", "--dry-run", "--help"])
def test_yes_and_looks_ask_no_question(rows: NclServer, option: str) -> None:
    result = run_ncl("groups", "delete", "ag-1", option, home=rows.home)

    assert result.returncode == 0
    assert rows.frames[0]["positionals"] == ["groups", "delete", "ag-1"]
    assert "yes" not in json.dumps(rows.frames[0]["args"])


@pytest.mark.parametrize(("answer", "status", "count"), [("y", 0, 1), ("n", 2, 0), ("", 2, 0)])
def test_person_at_a_terminal_is_asked(
    rows: NclServer, answer: str, status: int, count: int
) -> None:
    program = on_terminal(rows.home, "groups", "delete", "ag-1")
    try:
        program.wait_for("groups delete ag-1: go on? [y/N]")
        program.type(answer + "\n")

        assert program.wait() == status
        assert len(rows.frames) == count
    finally:
        program.close()


# --- on a terminal --------------------------------------------------------------------------------


def on_terminal(home: Path, *words: str, **more: str) -> PtyProgram:
    given = {"NANOCLAW_HOME": str(home), "TERM": "xterm", **more}
    return PtyProgram([*COMMAND, *words], environment(**given), home)


def shown(home: Path, answer: Answer, *words: str, **more: str) -> str:
    """What arrives at a terminal of 80 columns."""
    with NclServer(home, answer):
        program = on_terminal(home, *words, **more)
        try:
            program.wait()
        finally:
            program.close()
    return program.raw.replace("\r\n", "\n")


LONG = [{"id": "i" * 40, "text": "wide " * 30}]


def test_table_fits_the_terminal_unless_wide(tmp_path: Path) -> None:
    fitting = shown(tmp_path, data(LONG), "groups", "list", NO_COLOR="1")
    wide = shown(tmp_path / "wide", data(LONG), "groups", "list", "--wide", NO_COLOR="1")

    assert max(map(len, fitting.splitlines())) == 80
    assert fitting.splitlines()[2].startswith("i" * 40)
    assert fitting.endswith("…\n")
    assert max(map(len, wide.splitlines())) > 180


def test_columns_goes_before_the_terminal_itself(tmp_path: Path) -> None:
    text = shown(tmp_path, data(LONG), "groups", "list", NO_COLOR="1", COLUMNS="60")

    assert max(map(len, text.splitlines())) == 60


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_for_terminals_that_want_them(tmp_path: Path, more: dict[str, str]) -> None:
    coloured = shown(tmp_path, data(ROWS), "groups", "list")
    plain = shown(tmp_path / "plain", data(ROWS), "groups", "list", **more)

    assert "\x1b[1mid" in coloured
    assert "\x1b" not in plain


def test_name_of_a_chat_cannot_move_the_cursor(tmp_path: Path) -> None:
    row = [{"id": "\x1b[2J\x1b]0;title\x07", "name": "a\u202eb\r"}]

    text = shown(tmp_path, data(row), "groups", "list", NO_COLOR="1")

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J\\x1b]0;title\\x07" in text


def test_loading_the_client_loads_nothing_heavy() -> None:
    script = (
        "import sys; from nanoclaw.cli import ncl; "
        "print(*sorted({'argparse', 'sqlite3', 'platformdirs', 'asyncio', 'logging', "
        "'multiprocessing', 'subprocess', 'nanoclaw.config', 'nanoclaw.admin.registry'} "
        "& sys.modules.keys()))"
    )
    result = subprocess.run(
        [COMMAND[0], "-c", script], env=environment(), capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == []

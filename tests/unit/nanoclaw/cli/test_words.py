from pathlib import Path

import pytest

from nanoclaw.cli.commands import build_parser
from nanoclaw.cli.render import print_error, render_host_view, render_table, render_value
from nanoclaw.cli.status import HostView
from nanoclaw.config import SETTINGS
from nanoclaw.supervise.status import ChildStatus, HostStatus

HOST = HostStatus(
    version="1.0",
    pid=7,
    state="running",
    started_at="2026-11-21T08:00:00.000Z",
    updated_at="2026-11-21T08:00:00.000Z",
    children=(
        ChildStatus("router", True, "running", 8, "now", notes={"watch": "polling"}),
        ChildStatus("sweep", True, "backoff", reason="exit code 1", next_attempt="later"),
    ),
)


@pytest.mark.parametrize("words", [["--home", "/a", "status"], ["status", "--home", "/a"]])
def test_home_is_accepted_before_and_behind_the_command(words: list[str]) -> None:
    assert build_parser().parse_args(words).home == Path("/a")


@pytest.mark.parametrize("command", ["run", "demo"])
def test_every_setting_is_a_flag_of_the_commands_that_run_a_host(command: str) -> None:
    words = [word for setting in SETTINGS for word in (setting.flag, "value")]

    given = vars(build_parser().parse_args([command, *words]))

    assert all(given[setting.key] == "value" for setting in SETTINGS)


def test_setting_that_was_not_given_is_not_a_flag() -> None:
    given = vars(build_parser().parse_args(["run"]))

    assert all(given[setting.key] is None for setting in SETTINGS)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert render_table([("A", "B"), ("long", "x")]) == "A     B\nlong  x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": {"c": [1, 2], "d": {}}}, "a: 1\nb:\n  c:\n    - 1\n    - 2\n  d: -"),
        (None, "-"),
        ("text", "text"),
    ],
)
def test_any_value_has_a_readable_form(value: object, text: str) -> None:
    assert render_value(value) == text


def test_view_of_a_running_host_names_children_with_their_trouble() -> None:
    view = HostView("/home", running=True, pid=7, host=HOST, facts={"work": {"queued": 0}})

    text = render_host_view(view)

    assert "nanoclaw 1.0 is running on /home" in text
    assert "watch=polling" in text
    assert "exit code 1; next attempt later" in text
    assert "queued: 0" in text


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (HostView("/h", running=False, pid=None, host=None, facts={}), "no host is running on /h"),
        (HostView("/h", running=False, pid=None, host=HOST, facts={}), "the last one was running"),
        (HostView("/h", running=True, pid=7, host=None, facts={}), "is starting on /h"),
    ],
)
def test_view_without_a_running_host_says_so(view: HostView, text: str) -> None:
    assert text in render_host_view(view)


def test_error_is_one_line_whatever_it_contains(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("first\nsecond\r\n third")

    assert capsys.readouterr().err == "nanoclaw: first second third\n"

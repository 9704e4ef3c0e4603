"""How ``ncl top``, ``why`` and ``search`` look."""

from contract.table import Look
from nanoclaw.admin.commands import host_registry
from nanoclaw.cli.ncl import VIEWS
from nanoclaw.cli.ncl_view_text import (
    Row,
    Screen,
    last_states,
    search_note,
    search_text,
    top_text,
    why_text,
)

LOOK = Look()


def look(cpu: float | None, seconds: float, pid: int = 7) -> Row:
    child = {"name": "router", "state": "running", "pid": pid, "cpu_seconds": cpu,
             "memory_mib": 20.5, "restarts": 0, "reason": None}  # fmt: skip
    return {
        "at": "2026-11-21T10:00:00.000Z", "seconds": seconds, "children": [child],
        "host": {"version": "2.0", "state": "running"}, "work": {"sessions_running": 1},
        "containers": {"engine": "ready", "running": "1", "max_running": "8"},
        "sessions": [{"session_id": "sess-1", "state": "running"}],
        "tasks": [{"id": "plants"}], "today": {"requests": 3, "tokens": 10, "usd": 0.5},
    }  # fmt: skip


def test_share_of_the_processor_is_worked_out_from_two_looks() -> None:
    text = top_text(look(10.5, 102), look(10.0, 100), Screen(LOOK))

    assert "25.0" in text
    assert "nanoclaw 2.0 running" in text
    assert "1 of 8 containers" in text
    assert "$0.50" in text
    assert "sess-1" in text
    assert "plants" in text


def test_no_share_without_a_twin_that_is_the_same_process() -> None:
    for before in (None, look(10.0, 100, pid=8), look(None, 100), look(10.0, 102)):
        assert "25.0" not in top_text(look(10.5, 102), before, Screen(LOOK))


def test_a_small_screen_is_not_overfilled() -> None:
    assert len(top_text(look(1, 1), None, Screen(LOOK, rows=5)).split("\n")) == 5


def test_an_empty_house_is_shown_too() -> None:
    assert "no status file" in top_text({}, None, Screen(LOOK))


def test_text_of_chats_does_not_move_the_cursor() -> None:
    evil = "\x1b[2J\x07"
    told = {"text": evil, "answered": None, "cause": evil, "todo": evil,
            "timeline": [{"at": "x", "what": evil, "detail": evil}]}  # fmt: skip

    shown = (
        why_text(told, LOOK)
        + search_text({"results": [{"text": evil, "sender": evil}]}, LOOK)
        + top_text({"host": {"version": evil}, "containers": {"engine": evil}}, None, Screen(LOOK))
        + last_states([{"name": evil}], LOOK)
    )

    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_what_may_be_missing_is_said() -> None:
    assert search_note({"complete": True, "sessions_to_read": 0}) == ""
    assert "older messages" in search_note({"complete": False, "sessions_to_read": 0})
    assert "3 conversations" in search_note({"complete": True, "sessions_to_read": 3})


def test_a_short_answer_of_why_has_no_empty_lines() -> None:
    assert why_text({"answered": True, "cause": "done"}, LOOK) == "answered: yes\ncause:    done"


def test_no_states_are_no_table() -> None:
    assert last_states([], LOOK) == ""


def test_every_view_is_a_command() -> None:
    assert {name.replace(" ", "-") for name in VIEWS} <= set(host_registry().names)

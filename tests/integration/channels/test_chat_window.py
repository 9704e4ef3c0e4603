"""The chat window on a real pseudo-terminal."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_pty import PtyProgram
from helpers.channel_worker import ROOT, Stage, deliver, open_stage
from helpers.waiting import wait_until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "home", process=True) as opened:
        opened.answer_with(lambda event: f"echo: {event.text}")
        yield opened


@pytest.fixture
def window(stage: Stage) -> Iterator[PtyProgram]:
    yield from open_window(stage)


def open_window(stage: Stage, *words: str, **variables: str) -> Iterator[PtyProgram]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
    program = PtyProgram(
        [sys.executable, "-m", "nanoclaw", "chat", "--home", str(stage.paths.home), *words],
        {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables},
        stage.paths.home,
    )
    try:
        program.wait_for("you:")  # from then on the terminal is in raw mode
        yield program
    finally:
        program.close()


def test_a_person_types_and_reads_the_answer(stage: Stage, window: PtyProgram) -> None:
    window.type("hello there\r")

    window.wait_for("Andy: echo: hello there")
    assert stage.router.texts == ["hello there"]


def test_control_d_leaves_with_code_0(window: PtyProgram) -> None:
    window.type("\x04")

    assert window.wait() == 0


def test_control_c_clears_the_line_and_stays(stage: Stage, window: PtyProgram) -> None:
    window.type("never mind\x03")
    window.type("hello\r")

    window.wait_for("echo: hello")
    assert stage.router.texts == ["hello"]


def test_alt_enter_starts_a_new_line(stage: Stage, window: PtyProgram) -> None:
    window.type("one\x1b\rtwo\r")

    window.wait_for("echo: one")
    assert stage.router.texts == ["one\ntwo"]


def test_the_history_is_private_and_comes_back_with_the_next_window(
    stage: Stage, window: PtyProgram
) -> None:
    window.type("remember me\r")
    window.wait_for("echo: remember me")
    window.type("\x04")
    window.wait()

    file = stage.paths.home / "chat_history"
    assert file.stat().st_mode & 0o777 == 0o600
    for second in open_window(stage):
        second.type("\x1b[A\r")  # the up key
        second.wait_for("echo: remember me")
    assert stage.router.texts == ["remember me", "remember me"]


def test_news_appear_above_the_line_being_typed(stage: Stage, window: PtyProgram) -> None:
    window.type("half a sen")
    window.wait_for("half a sen")

    stage.delivery.ask(deliver("breaking news", "d1"))

    window.wait_for("Andy: breaking news")
    window.type("tence\r")
    window.wait_for("echo: half a sentence")


def test_a_restarted_host_is_said_once_and_found_again(stage: Stage, window: PtyProgram) -> None:
    stage.worker.kill()
    window.wait_for("connection to the host was lost")
    window.type("are you there\r")
    stage.worker.start()

    window.wait_for("The host is back.")
    window.wait_for("echo: are you there")
    assert window.screen_text.count("connection to the host was lost") == 1
    assert stage.router.texts == ["are you there"]


def test_an_agents_text_cannot_command_the_terminal(stage: Stage, window: PtyProgram) -> None:
    stage.delivery.ask(deliver("a\x1b]0;owned\x07\x1b[2Jb\u202ec\x9bd", "d1"))

    window.wait_for("Andy: a]0;owned[2Jbcd")
    assert "\x1b]0;owned" not in window.raw


def test_colours_are_used_on_a_terminal(stage: Stage, window: PtyProgram) -> None:
    window.type("hello\r")

    window.wait_for("echo: hello")
    assert "\x1b[1;36mAndy" in window.raw


def test_no_color_means_none(stage: Stage) -> None:
    for window in open_window(stage, NO_COLOR="1"):
        window.type("hello\r")
        window.wait_for("echo: hello")

        assert "\x1b[1;36m" not in window.raw
        assert "\x1b[1;32m" not in window.raw
        assert "\x1b[2m" not in window.raw


def test_leaving_hands_over_what_is_still_to_come(stage: Stage) -> None:
    stage.router.agent = None
    for window in open_window(stage):
        window.type("slow question\r")
        wait_until(lambda: stage.router.events)
        window.type("\x04")
        window.wait()
    event = stage.router.events[0]
    stage.delivery.ask(
        deliver("late answer", "d1", reply_to=event.message_id, hint=event.reply_hint)
    )

    for next_window in open_window(stage):
        next_window.wait_for("Andy: late answer")

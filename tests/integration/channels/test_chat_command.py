"""``nanoclaw chat`` as a real program, in its modes for scripts."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.channel_worker import ROOT, Stage, answer_to, deliver, open_stage
from helpers.kill_points import KillFolder

from nanoclaw.events import InboundEvent, Outcome, SpoolFile


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with open_stage(tmp_path / "home") as opened:
        yield opened


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "nanoclaw", "chat", "--home", str(home), *words]


def environment() -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT)}


def chat(home: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, *words), input=typed, capture_output=True, text=True, timeout=60,
        cwd=home.parent, env=environment(), check=False,
    )  # fmt: skip


def echo(event: InboundEvent) -> str:
    return f"echo: {event.text}"


def test_one_message_is_answered_and_the_program_ends(stage: Stage) -> None:
    stage.answer_with(echo)

    result = chat(stage.paths.home, "-m", "hello")

    assert (result.returncode, result.stdout, result.stderr) == (0, "echo: hello\n", "")


def test_all_replies_up_to_the_last_are_printed(stage: Stage) -> None:
    stage.answer_with(lambda _: "looking", lambda _: "found\nit")

    result = chat(stage.paths.home, "-m", "hello")

    assert (result.returncode, result.stdout) == (0, "looking\nfound\nit\n")


def test_what_others_asked_for_or_nobody_is_not_printed(stage: Stage) -> None:
    stage.delivery.ask(deliver("kept from before", "d1"))
    stage.answer_with(echo)

    result = chat(stage.paths.home, "-m", "hello")

    assert result.stdout == "echo: hello\n"
    window = stage.connect("window")
    window.wait_for_text("kept from before")


def test_json_output_is_one_object_per_reply(stage: Stage) -> None:
    stage.answer_with(lambda _: "one", lambda _: "Grüße\u0007")

    result = chat(stage.paths.home, "--json", "-m", "hello")

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["text"], line["done"]) for line in lines] == [
        ("one", False),
        ("Grüße\u0007", True),
    ]
    assert all(line["reply_to"] == lines[0]["reply_to"] for line in lines)


def test_without_a_reply_in_time_the_code_is_3(stage: Stage) -> None:
    result = chat(stage.paths.home, "--timeout", "0.2", "-m", "hello")

    assert result.returncode == 3
    assert "no reply within 0.2 seconds" in result.stderr
    assert stage.router.texts == ["hello"]


def test_a_message_that_nobody_takes_ends_at_once_with_the_reason(stage: Stage) -> None:
    stage.router.outcome, stage.router.reason = Outcome.IGNORED, "no agent is wired to this chat"

    result = chat(stage.paths.home, "-m", "hello")

    assert result.returncode == 3
    assert "not passed on: no agent is wired to this chat" in result.stderr


def test_without_a_host_the_code_is_2_and_the_next_command_is_named(tmp_path: Path) -> None:
    result = chat(tmp_path / "home", "-m", "hello")

    assert result.returncode == 2
    assert "nanoclaw run --home" in result.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["-m", "  "], id="empty message"),
        pytest.param(["-m", "x", "--to", "telegram"], id="no platform id"),
        pytest.param(["-m", "x", "--to", ":1"], id="no channel"),
        pytest.param(["-m", "x", "--timeout", "soon"], id="no number"),
        pytest.param(["-m", "x", "--timeout", "0"], id="no time"),
    ],
)
def test_wrong_use_is_one_line_and_code_1(tmp_path: Path, words: list[str]) -> None:
    result = chat(tmp_path / "home", *words)

    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_chat_of_the_terminal_can_be_named_and_answers_here(stage: Stage) -> None:
    stage.answer_with(echo)

    result = chat(stage.paths.home, "--to", "cli:second", "-m", "hello")

    assert result.stdout == "echo: hello\n"
    event = stage.router.events[0]
    assert (event.channel_type, event.platform_id) == ("cli", "second")


def test_a_message_into_another_channel_ends_when_the_host_has_it(stage: Stage) -> None:
    result = chat(stage.paths.home, "--to", "telegram:telegram:12:7", "-m", "hello")

    assert (result.returncode, result.stdout) == (0, "")
    event = stage.router.events[0]
    assert (event.channel_type, event.platform_id, event.thread_id) == (
        "telegram",
        "telegram:12",
        "7",
    )


def test_lines_of_standard_input_are_answered_one_after_the_other(stage: Stage) -> None:
    stage.answer_with(echo)

    result = chat(stage.paths.home, typed="one\n\ntwo\r\nthree")

    assert (result.returncode, result.stdout) == (0, "echo: one\necho: two\necho: three\n")


def test_input_that_is_no_text_does_not_stop_the_lines_behind_it(stage: Stage) -> None:
    stage.answer_with(lambda event: event.text.upper())

    result = subprocess.run(
        command(stage.paths.home), input=b"a\xff\xfeb\ntwo\n", capture_output=True, timeout=60,
        cwd=stage.paths.home, env=environment(), check=False,
    )  # fmt: skip

    assert result.returncode == 0
    assert result.stdout.decode().splitlines() == ["A\ufffd\ufffdB", "TWO"]


def test_a_program_without_standard_input_ends_at_once(stage: Stage) -> None:
    shell = " ".join(command(stage.paths.home)) + " <&-"

    result = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, cwd=stage.paths.home,
        env=environment(), check=False,
    )  # fmt: skip

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_line_without_an_answer_shows_in_the_code_and_the_next_is_sent(stage: Stage) -> None:
    result = chat(stage.paths.home, "--timeout", "0.2", typed="one\ntwo\n")

    assert result.returncode == 3
    assert stage.router.texts == ["one", "two"]


def test_the_line_mode_shows_what_was_kept_and_puts_notices_aside(stage: Stage) -> None:
    stage.delivery.ask(deliver("news", "d1"))
    stage.answer_with(echo)

    result = chat(stage.paths.home, typed="one\n")

    assert result.stdout.splitlines() == ["news", "echo: one"]
    assert "One message came while no client was here" in result.stderr


def test_files_are_saved_without_replacing_others(stage: Stage, tmp_path: Path) -> None:
    target = tmp_path / "here"
    target.mkdir()
    (target / "report.txt").write_text("mine")
    (stage.paths.channel("cli") / "spool/out/f1").write_bytes(b"theirs")
    spooled = SpoolFile("../report.txt", "f1", 6, hashlib.sha256(b"theirs").hexdigest())

    def agent(event: InboundEvent) -> None:
        frame = replace(answer_to(event, "see file", "d1"), files=(spooled,))
        stage.delivery.client.request(frame, 30, lambda _: None)

    stage.router.agent = agent

    result = chat(stage.paths.home, "--save-files", str(target), "-m", "hello")

    assert (target / "report.txt").read_text() == "mine"
    assert (target / "report-1.txt").read_text() == "theirs"
    assert result.stdout == f"see file\n[file] report.txt (6 bytes): {target}/report-1.txt\n"


def test_a_message_longer_than_a_line_is_refused(stage: Stage) -> None:
    stage.answer_with(echo)

    result = chat(stage.paths.home, typed="x" * (1024 * 1024 + 1) + "\nshort\n")

    assert "longer than 1 MiB" in result.stderr
    assert stage.router.texts == ["short"]


@pytest.mark.parametrize(
    "point",
    [
        "worker.inbound_received",
        "worker.inbound_committed",
        "worker.send_planned",
        "worker.send_tried",
        "worker.send_called",
        "worker.send_done",
        "worker.send_answered",
    ],
)
def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path, point: str) -> None:
    kills = KillFolder(tmp_path / "kill")
    kills.path.mkdir()
    with open_stage(tmp_path / "home", kill_folder=kills.path) as stage:
        stage.answer_with(echo)
        kills.arm(point, "self")
        client = subprocess.Popen(
            command(stage.paths.home, "-m", "hello"), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path,
        )  # fmt: skip
        stage.worker.wait_for_death()
        stage.worker.start()
        output, errors = client.communicate(timeout=60)

        assert (client.returncode, output) == (0, "echo: hello\n")
        assert errors in (
            "",
            "nanoclaw: the connection to the host was lost; trying to reach it again\n",
        )
        assert stage.router.texts == ["hello"]
        stage.delivery.ask(deliver("the end", "last"))
        window = stage.connect("window")
        window.wait_for_text("the end")
        assert window.texts == ["the end"]


def test_a_program_that_speaks_through_pipes_gets_each_reply_at_once(stage: Stage) -> None:
    stage.answer_with(echo)
    with subprocess.Popen(
        command(stage.paths.home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(), cwd=stage.paths.home,
    ) as client:  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        for number in range(3):
            client.stdin.write(f"{number}\n")
            client.stdin.flush()
            assert client.stdout.readline() == f"echo: {number}\n"
        client.stdin.close()
        assert client.wait(30) == 0


def test_an_old_host_without_marks_is_left_after_two_seconds_of_silence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with OldHost(home) as host:
        result = chat(home, "-m", "hello")

    assert (result.returncode, result.stdout) == (0, "first\nsecond\n")
    assert host.texts == ["hello"]


class OldHost:
    """Speaks only what the earlier program spoke: text in, two texts out."""

    def __init__(self, home: Path) -> None:
        (home / "run").mkdir(parents=True)
        self.texts: list[str] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(home / "run/cli.sock"))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "OldHost":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection, connection.makefile("rwb") as lines:
            for raw in lines:
                text = json.loads(raw).get("text")
                if text:
                    self.texts.append(text)
                    lines.write(b'{"text":"first"}\n{"text":"second"}\n')
                    lines.flush()

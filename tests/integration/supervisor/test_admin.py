"""The administration socket and the commands that look at a running host, as real processes."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.host import ROOT, Host, small_host

from nanoclaw.admin.client import HostUnreachableError, TransportError, ask
from nanoclaw.admin.frames import MAX_LINE_BYTES, Failure, Success


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with small_host(tmp_path_factory.mktemp("home"), "admin") as host:
        yield host


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nanoclaw", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def exchange(host: Host, payload: bytes) -> bytes:
    """What the host answers to ``payload``, up to its closing the connection."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(host.paths.socket("ncl")))
        client.sendall(payload)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


def test_ping_is_answered_with_version_and_pid(host: Host) -> None:
    answer = ask(host.paths.socket("ncl"), "ping", {}, 5)

    assert isinstance(answer, Success)
    assert isinstance(answer.data, dict)
    assert answer.data["pid"] == host.pids()["admin"]


def test_status_counts_the_work_of_a_fresh_host(host: Host) -> None:
    answer = ask(host.paths.socket("ncl"), "status", {}, 5)

    assert isinstance(answer, Success)
    assert isinstance(answer.data, dict)
    assert answer.data["work"] == {
        "sessions_running": 0,
        "sessions_waiting": 0,
        "sessions_quarantined": 0,
        "events_unrouted": 0,
        "deliveries_queued": 0,
        "oldest_delivery_seconds": None,
    }
    assert answer.data["host"]["state"] == "running"


def test_unknown_command_is_refused_with_its_name(host: Host) -> None:
    answer = ask(host.paths.socket("ncl"), "dance", {"id": "1"}, 5)

    assert isinstance(answer, Failure)
    assert answer.code == "unknown-command"
    assert "dance" in answer.message


@pytest.mark.parametrize(
    "line",
    [b"hello", b"[]", b"{}", b'{"id":1,"command":"ping","args":{}}', b'{"id":"a","command":"ping"}',
     b"\xff\xfe", b"[" * 10_000, b"x" * (MAX_LINE_BYTES + 1)],
    ids=["text", "list", "empty", "number", "no args", "bytes", "deep", "long"],
)  # fmt: skip
def test_bad_frame_is_answered_and_the_connection_closed(host: Host, line: bytes) -> None:
    answer = json.loads(exchange(host, line + b"\n"))

    assert answer["id"] == "unknown"
    assert answer["error"]["code"] == "transport-error"
    assert "bad frame" in answer["error"]["message"]


def test_only_the_first_line_is_answered_and_blank_ones_are_skipped(host: Host) -> None:
    line = b'{"id":"\xc3\xa4","command":"ping","args":{}}\n'

    answers = exchange(host, b"\n\n" + line + line).splitlines()

    assert [json.loads(answer)["id"] for answer in answers] == ["ä"]


def test_frame_in_pieces_is_put_together(host: Host) -> None:
    line = '{"id":"ä","command":"ping","args":{}}\n'.encode()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(host.paths.socket("ncl")))
        for position in range(len(line)):
            client.sendall(line[position : position + 1])
        assert json.loads(client.recv(65536))["id"] == "ä"


def test_silent_clients_hold_nobody_up(host: Host) -> None:
    path = str(host.paths.socket("ncl"))
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for client in silent:
            client.connect(path)
            client.sendall(b"{")

        assert isinstance(ask(host.paths.socket("ncl"), "ping", {}, 5), Success)
    finally:
        for client in silent:
            client.close()


def test_socket_is_for_its_owner_only(host: Host) -> None:
    assert stat.S_IMODE(host.paths.socket("ncl").stat().st_mode) == 0o600
    assert stat.S_IMODE(host.paths.run.stat().st_mode) == 0o700


def test_missing_socket_and_silent_server_are_different_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with pytest.raises(HostUnreachableError):
        ask(path, "ping", {}, 1)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with pytest.raises(TransportError):
            ask(path, "ping", {}, 0.1)


def test_status_command_shows_every_child(host: Host) -> None:
    result = run("status", "--home", str(host.paths.home))

    assert result.returncode == 0, result.stderr
    assert "is running on" in result.stdout
    for name, pid in host.pids().items():
        assert name in result.stdout
        assert str(pid) in result.stdout
    assert "deliveries_queued: 0" in result.stdout


def test_status_command_prints_json_for_programs(host: Host) -> None:
    result = run("--home", str(host.paths.home), "status", "--json")

    view = json.loads(result.stdout)
    assert view["running"] is True
    assert host.process is not None
    assert view["pid"] == host.process.pid
    assert [child["name"] for child in view["host"]["children"]] == ["admin", "good"]
    assert view["facts"]["work"]["sessions_running"] == 0


def test_ncl_asks_the_host(host: Host) -> None:
    pong = run("ncl", "ping", "--home", str(host.paths.home))
    status = run("ncl", "status", "--json", "--home", str(host.paths.home))
    refused = run("ncl", "dance", "--home", str(host.paths.home))

    assert (pong.returncode, status.returncode, refused.returncode) == (0, 0, 1)
    assert json.loads(pong.stdout)["pid"] == host.pids()["admin"]
    assert json.loads(status.stdout)["data"]["facts"]["work"]["deliveries_queued"] == 0
    assert refused.stderr.startswith("error (unknown-command): unknown command 'dance'")


def test_program_called_ncl_is_the_administration_command(host: Host, tmp_path: Path) -> None:
    link = tmp_path / "ncl"
    link.write_text(
        f"#!{sys.executable}\nimport sys\nfrom nanoclaw.cli.main import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    link.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NANOCLAW_HOME": str(host.paths.home)}

    result = subprocess.run(
        [link, "ping"], env=environment, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["pid"] == host.pids()["admin"]


def test_commands_say_how_to_start_a_host_that_is_not_there(tmp_path: Path) -> None:
    status = run("status", "--home", str(tmp_path))
    ncl = run("ncl", "ping", "--home", str(tmp_path))

    assert status.returncode == 3
    assert "nanoclaw run" in status.stdout
    assert ncl.returncode == 2
    assert f"nanoclaw run --home {tmp_path}" in ncl.stderr
    assert list(tmp_path.iterdir()) == [], "looking must not create anything"


def test_ended_host_is_shown_as_ended(tmp_path: Path) -> None:
    with small_host(tmp_path, "good") as host:
        host.kill()

    result = run("status", "--home", str(tmp_path))

    assert result.returncode == 3
    assert "no host is running" in result.stdout


def test_version_is_printed_without_a_home() -> None:
    result = run("--version")

    assert result.returncode == 0
    assert result.stdout.startswith("nanoclaw ")


def test_unknown_command_line_is_refused_with_usage() -> None:
    result = run("dance")

    assert result.returncode == 2
    assert "usage: nanoclaw" in result.stderr

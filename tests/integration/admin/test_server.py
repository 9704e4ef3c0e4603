"""The socket itself: N-18 to N-26, scenarios 65 and 66, with its reactor in this process."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nanoclaw.admin.frames import MAX_LINE_BYTES, Request, Response, Success
from nanoclaw.admin.server import MAX_CLIENTS, AdminServer
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor

PING = b'{"id":"1","command":"ping","args":{}}\n'
ROUNDS = 2000


class Office:
    """A server whose every command but ``wait`` is answered at once."""

    def __init__(self, folder: Path) -> None:
        self.reactor = Reactor()
        self.path = folder / "ncl.sock"
        self.asked: list[str] = []
        self.waiting: list[Callable[[Response], None]] = []
        self.server = AdminServer(self.reactor, self.path, self._handle)

    def _handle(self, request: Request, answer: Callable[[Response], None]) -> None:
        self.asked.append(request.command)
        if request.command == "wait":
            self.waiting.append(answer)
        else:
            answer(Success(request.id, dict(request.args)))

    def close(self) -> None:
        self.server.close()
        self.reactor.close()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(self.path))
        client.setblocking(False)
        return client

    def pump(self, rounds: int = 5) -> None:
        for _ in range(rounds):
            self.reactor.run_once(0)

    def read(self, client: socket.socket) -> bytes:
        """All that comes until the server closes."""
        received = b""
        for _ in range(ROUNDS):
            self.reactor.run_once(0)
            try:
                data = client.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionError:
                return received
            if not data:
                return received
            received += data
        raise AssertionError(f"no end after {received!r}")

    def ask(self, payload: bytes) -> dict[str, object]:
        with self.connect() as client:
            self.send(client, payload)
            answer: dict[str, object] = json.loads(self.read(client))
            return answer

    def send(self, client: socket.socket, payload: bytes) -> None:
        """The server may have answered and closed before it has read all."""
        view = memoryview(payload)
        while view:
            try:
                view = view[client.send(view) :]
            except BlockingIOError:
                self.pump(1)
            except ConnectionError:
                return


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


NOBODY = 65534
FOREIGNER = """
import contextlib, os, socket, sys
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
with contextlib.suppress(BrokenPipeError):
    client.sendall(sys.argv[2].encode())
with contextlib.suppress(ConnectionResetError):  # what it has sent was not read
    while data := client.recv(65536):
        sys.stdout.buffer.write(data)
"""


def error_of(answer: dict[str, object]) -> tuple[object, str]:
    error = answer["error"]
    assert isinstance(error, dict)
    return error["code"], str(error["message"])


def test_scenario_65_socket_is_for_its_owner_from_its_first_moment(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        office = Office(tmp_path)
    finally:
        os.umask(old)

    assert stat.S_IMODE(office.path.stat().st_mode) == 0o600
    office.close()
    assert not office.path.exists()


def test_n19_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "ncl.sock"))
    office = Office(tmp_path)

    assert office.ask(PING)["ok"] is True
    office.close()


def test_path_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ncl.sock").write_text("precious")

    with pytest.raises(ConfigError):
        Office(tmp_path)

    assert (tmp_path / "ncl.sock").read_text() == "precious"


def test_scenario_66_multi_byte_character_may_be_split_anywhere(office: Office) -> None:
    line = '{"id":"ä漢","command":"x","args":{"t":"😀"}}\n'.encode()
    for cut in range(1, len(line)):
        with office.connect() as client:
            client.send(line[:cut])
            office.pump()
            client.send(line[cut:])
            answer = json.loads(office.read(client))
        assert (answer["id"], answer["data"]) == ("ä漢", {"t": "😀"})


def test_n24_only_the_first_line_counts(office: Office) -> None:
    with office.connect() as client:
        client.send(b"\n\r\n" + PING + PING)
        lines = office.read(client).splitlines()

    assert len(lines) == 1


@pytest.mark.parametrize("size", [MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_n24_line_over_the_limit_is_refused(office: Office, size: int, end: bytes) -> None:
    code, message = error_of(office.ask(b"x" * size + end))

    assert (code, "bad frame" in message) == ("transport-error", True)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=4), st.booleans())
def test_fuzzed_bytes_never_stop_the_server(
    office: Office, pieces: list[bytes], ends: bool
) -> None:
    with office.connect() as client:
        for piece in pieces:
            office.send(client, piece)
            office.pump(1)
        if ends:
            office.send(client, b"\n")
            office.pump()

    office.pump()
    assert office.ask(PING) == {"id": "1", "ok": True, "data": {}}


def test_answer_that_comes_later_holds_up_nobody(office: Office) -> None:
    with office.connect() as slow:
        slow.send(b'{"id":"s","command":"wait","args":{}}\n')
        office.pump()
        assert office.ask(PING)["ok"] is True

        office.waiting[0](Success("s", "done"))

        assert json.loads(office.read(slow))["data"] == "done"


def test_answer_to_one_who_has_gone_does_no_harm(office: Office) -> None:
    with office.connect() as slow:
        slow.send(b'{"id":"s","command":"wait","args":{}}\nmore and more')
        office.pump()
    office.pump()

    office.waiting[0](Success("s", "done"))

    assert office.ask(PING)["ok"] is True


def test_connections_are_bounded_and_freed(office: Office) -> None:
    crowd = [office.connect() for _ in range(MAX_CLIENTS)]
    office.pump(MAX_CLIENTS + 5)
    with office.connect() as one_too_many:
        assert office.read(one_too_many) == b""

    for client in crowd:
        client.close()
    office.pump(MAX_CLIENTS + 5)

    assert office.ask(PING)["ok"] is True


def test_large_answer_arrives_whole(office: Office) -> None:
    text = "x" * (MAX_LINE_BYTES - 100)

    answer = office.ask(
        json.dumps({"id": "1", "command": "x", "args": {"t": text}}).encode() + b"\n"
    )

    assert answer["data"] == {"t": text}


# --- who may speak --------------------------------------------------------------------------------


@pytest.fixture
def open_office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """As on a file system that keeps no modes: others reach the socket."""
    folder = Path(tempfile.mkdtemp(prefix="nc-open-", dir="/tmp"))
    made = Office(folder)
    folder.chmod(0o755)
    made.path.chmod(0o666)
    if os.getuid() != 0:  # who cannot become somebody else lets the server be that
        monkeypatch.setattr("nanoclaw.admin.server.os.getuid", lambda: NOBODY)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def heard_by_another_user(office: Office, line: str) -> bytes:
    command = [sys.executable, "-I", "-S", "-c", FOREIGNER, str(office.path), line]
    with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE) as foreigner:
        while foreigner.poll() is None:
            office.reactor.run_once(0.01)
        assert foreigner.stdout is not None
        assert foreigner.returncode == 0
        return foreigner.stdout.read()


def test_n21_another_user_is_refused_before_saying_anything(open_office: Office) -> None:
    answer = json.loads(heard_by_another_user(open_office, ""))

    assert answer["error"]["code"] == "permission-denied"
    assert answer["id"] == "unknown"


@pytest.mark.parametrize("line", [PING.decode(), "x" * 3000])
def test_n21_nothing_that_another_user_says_is_read(open_office: Office, line: str) -> None:
    heard = heard_by_another_user(open_office, line)

    assert not heard or b"permission-denied" in heard
    assert b"bad frame" not in heard
    assert open_office.asked == []


def test_folder_of_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path / "home")
    old = os.umask(0)
    try:
        paths.ensure()
    finally:
        os.umask(old)

    assert stat.S_IMODE(paths.socket("ncl").parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(paths.home.stat().st_mode) & 0o022 == 0


def test_socket_of_a_home_with_a_long_name_is_in_a_private_folder_too(tmp_path: Path) -> None:
    paths = HostPaths(tmp_path / ("long" * 30))
    old = os.umask(0)
    try:
        paths.ensure()
    finally:
        os.umask(old)

    socket_path = paths.socket("ncl")
    assert len(str(socket_path)) < 104
    assert not socket_path.is_relative_to(paths.home)
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700

"""What a service manager is told, on a real datagram socket."""

import socket
from pathlib import Path

import pytest
from helpers.host import small_host
from helpers.waiting import wait_until


@pytest.fixture
def manager_socket(tmp_path: Path) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(10)
    return receiver


def receive_until(receiver: socket.socket, wanted: str) -> list[str]:
    """All lines up to and including ``wanted``."""
    lines: list[str] = []
    while wanted not in lines:
        lines += receiver.recv(4096).decode().splitlines()
    return lines


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_service_manager_hears_ready_watchdog_and_stopping(
    tmp_path: Path, manager_socket: socket.socket, kind: str
) -> None:
    with manager_socket as receiver:
        if kind == "file":
            address = str(tmp_path / "notify")
            receiver.bind(address)
        else:
            address = f"@nanoclaw-test-{tmp_path.name}"
            receiver.bind("\0" + address[1:])
        host = small_host(tmp_path / "home", "good", NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
        try:
            host.start()
            ready = receive_until(receiver, "READY=1")
            alive = receive_until(receiver, "WATCHDOG=1")
            assert host.stop() == 0
            stopping = receive_until(receiver, "STOPPING=1")
        finally:
            host.stop()

    assert host.process is not None
    assert "STOPPING=1" not in ready + alive
    assert stopping.count("READY=1") == 0


def test_ready_is_not_sent_while_a_needed_child_is_not_up(
    tmp_path: Path, manager_socket: socket.socket
) -> None:
    address = str(tmp_path / "notify")
    with manager_socket as receiver:
        receiver.bind(address)
        host = small_host(tmp_path / "home", "slow_needed", NOTIFY_SOCKET=address)
        try:
            host.spawn()
            wait_until(lambda: "child=router" in host.log(), within=10)
            receiver.setblocking(False)
            with pytest.raises(BlockingIOError):
                receiver.recv(4096)
        finally:
            host.stop()


def test_silent_service_manager_does_not_stop_the_host(tmp_path: Path) -> None:
    with small_host(tmp_path, "good", NOTIFY_SOCKET=str(tmp_path / "nobody")) as host:
        assert host.stop() == 0
        assert "service manager not told" in host.log()

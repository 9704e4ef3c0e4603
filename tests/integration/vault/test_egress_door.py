"""The proxy behind the doors of a real vault, and behind the container's relay."""

import asyncio
import base64
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from helpers.egress_relay import RelayThread
from helpers.egress_server import RawServer, echo, http_answer, raw_server
from helpers.vault_client import DoorClient, raw
from helpers.vault_process import KEY, VaultProcess
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import EgressMode


@pytest.fixture
def running(vault: VaultProcess) -> Iterator[VaultProcess]:
    vault.start()
    yield vault


def allow(vault: VaultProcess, *rules: str, mode: EgressMode = EgressMode.ALLOWLIST) -> None:
    with vault.database() as conn:
        (group, *_) = agent_groups.list_all(conn)
        change = ContainerConfigChange(egress_allow=rules, egress_mode=mode)
        container_configs.update(conn, group.id, change, utc_now())


def proof(token: str) -> str:
    return "Proxy-Authorization: Basic " + base64.b64encode(f"agent:{token}".encode()).decode()


def connect(path: DoorClient, target: str, token: str | None = None) -> tuple[socket.socket, int]:
    connection = raw(path.socket)
    line = proof(path.token if token is None else token)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{line}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n") and (piece := connection.recv(1)):
        head += piece
    return connection, int(head.split()[1])


def is_cut(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_tunnel_is_cut_with_its_door(running: VaultProcess) -> None:
    with raw_server(echo) as server:
        allow(running, f"127.0.0.1:{server.port} local")
        door = running.new_door()
        connection, status = connect(door, f"127.0.0.1:{server.port}")
        with closing(connection):
            connection.sendall(b"still there")
            assert (status, connection.recv(100)) == (200, b"still there")

            running.close_door(running.session_of(1))

            assert is_cut(connection)
    wait_until(lambda: "the door was closed" in running.log(), what="the tunnel's end is logged")


def test_token_of_another_session_opens_nothing(running: VaultProcess) -> None:
    with raw_server(echo) as server:
        allow(running, f"127.0.0.1:{server.port} local")
        mine, other = running.new_door(), running.new_door()
        connection, status = connect(mine, f"127.0.0.1:{server.port}", other.token)
        with closing(connection):
            assert status == 403

        assert server.connections == 0
    assert "egress refused" in running.log()
    assert other.token not in running.log()


def test_token_of_an_earlier_lease_opens_nothing(running: VaultProcess) -> None:
    allow(running, "127.0.0.1:1 local")
    earlier = running.new_door()
    running.close_door(running.session_of(1))
    with running.database() as conn:
        conn.execute("UPDATE sessions SET lease_owner = NULL, lease_expires_at = NULL")
    later = running.open_door(running.session_of(1))

    connection, status = connect(later, "127.0.0.1:1", earlier.token)

    with closing(connection):
        assert status == 403


@pytest.mark.parametrize("mode", list(EgressMode))
def test_host_itself_is_refused_in_every_mode_without_a_local_rule(
    running: VaultProcess, mode: EgressMode
) -> None:
    with raw_server(echo) as server:
        allow(running, f"127.0.0.1:{server.port}", f"localhost:{server.port}", mode=mode)
        door = running.new_door()
        found = []
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            connection, status = connect(door, f"{host}:{server.port}")
            connection.close()
            found.append(status)

        assert found == [403, 403, 403]
        assert server.connections == 0


def test_tunnel_through_the_relay_ends_one_side_at_a_time(running: VaultProcess) -> None:
    def speak_first(server: RawServer, connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(100):
            server.received.append(data)

    with raw_server(speak_first) as server, RelayThread(running.new_door()) as relay:
        allow(running, f"127.0.0.1:{server.port} local")
        reader_port = int(relay.environment["ANTHROPIC_BASE_URL"].rpartition(":")[2])
        token = relay.environment["ANTHROPIC_AUTH_TOKEN"]
        with socket.create_connection(("127.0.0.1", reader_port), timeout=20) as connection:
            target = f"127.0.0.1:{server.port}"
            connection.sendall(
                f"CONNECT {target} HTTP/1.1\r\n{proof(token)}\r\nHost: x\r\n\r\n".encode()
            )
            received = b""
            while data := connection.recv(100):
                received += data
            connection.sendall(b"late")
            connection.shutdown(socket.SHUT_WR)

            assert received.endswith(b"\r\n\r\nbye")
            wait_until(lambda: server.received == [b"late"], what="the late bytes arrive")


def test_environment_of_the_relay_is_what_programs_look_for(running: VaultProcess) -> None:
    door = running.new_door()
    with RelayThread(door) as relay:
        environment = relay.environment

    port = environment["ANTHROPIC_BASE_URL"].rpartition(":")[2]
    proxy = f"http://agent:{door.token}@127.0.0.1:{port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        assert environment[name] == proxy
    assert environment["NO_PROXY"] == environment["no_proxy"] == "127.0.0.1,localhost,::1"


def test_silent_connections_make_room_for_new_ones(running: VaultProcess) -> None:
    """An agent cannot shut itself out of the model's route by leaving connections open."""
    door = running.new_door()
    silent = [raw(door.socket) for _ in range(56)]
    wait_until(lambda: door.ask().status == 200 and any(map(_has_ended, silent)), within=20)

    for connection in silent:
        connection.close()


def _has_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_request_with_a_secret_of_the_install_is_stopped(running: VaultProcess) -> None:
    with raw_server(http_answer()) as server:
        allow(running, f"127.0.0.1:{server.port} local")
        door = running.new_door()
        target = f"http://127.0.0.1:{server.port}/"
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\n{proof(door.token)}\r\nConnection: close\r\n"
        body = KEY.encode()
        answers = [
            door.say(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body),
            door.say(f"{head}X-Stolen: {KEY}\r\nContent-Length: 0\r\n\r\n".encode()),
            door.say(
                head.replace(target, f"{target}?k={KEY}").encode() + b"Content-Length: 0\r\n\r\n"
            ),
        ]

    assert [int(answer.split()[1]) for answer in answers] == [403, 403, 403]
    assert not any(KEY.encode() in received for received in server.received)


def test_vault_that_stops_ends_its_tunnels(running: VaultProcess) -> None:
    with raw_server(echo) as server:
        allow(running, f"127.0.0.1:{server.port} local")
        connection, status = connect(running.new_door(), f"127.0.0.1:{server.port}")
        with closing(connection):
            assert status == 200

            assert running.stop() == 0

            assert is_cut(connection)


def test_relay_goes_on_without_a_proxy_user(running: VaultProcess) -> None:
    """Whatever name stands before the token, the token decides."""
    with raw_server(http_answer()) as server, RelayThread(running.new_door()) as relay:
        allow(running, f"127.0.0.1:{server.port} local")
        port = int(relay.environment["ANTHROPIC_BASE_URL"].rpartition(":")[2])
        token = relay.environment["ANTHROPIC_AUTH_TOKEN"]
        basic = base64.b64encode(f":{token}".encode()).decode()

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Proxy-Authorization: Basic {basic}\r\n\r\n".encode()
            )
            answer = await reader.read()
            writer.close()
            return answer

        assert asyncio.run(ask()).endswith(b"hello")

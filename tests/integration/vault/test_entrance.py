"""The vault's TCP entrance, with a real relay in front of it and with strangers."""

import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder
from helpers.vault_client import DoorClient
from helpers.vault_process import ROOT, VaultProcess
from helpers.vault_upstream import FakeUpstream
from helpers.waiting import wait_until

from nanoclaw.containers.network import NetworkFacts, network_file, write_network

FACTS = NetworkFacts("relay", "set by network", "relay", "E1", "sha256:1", "127.0.0.1")


def offer_of(door: DoorClient) -> dict[str, object]:
    """What the door's relay is told."""
    found: dict[str, object] = json.loads((door.socket.parent / "door.json").read_text())
    return found


@contextmanager
def relayed(door: DoorClient, folder: Path) -> Iterator[DoorClient]:
    """The door as the agent sees it, behind a relay in a process of its own."""
    folder.mkdir()
    words = ("serve", str(folder), str(door.socket.parent), "127.0.0.1")
    command = (sys.executable, "-m", "runner.relay", *words)
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as relay:
        try:
            inside = replace(door, socket=folder / "vault.sock")
            wait_until(inside.socket.is_socket, what="the relay listens")
            yield inside
        finally:
            relay.kill()


def answer_to(port: object, line: bytes) -> bytes:
    """All that the vault says to somebody who begins so."""
    with closing(socket.create_connection(("127.0.0.1", int(str(port))), 20)) as connection:
        connection.settimeout(20)
        try:
            connection.sendall(line + b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
            return connection.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def test_request_goes_through_the_relay(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    with relayed(vault.new_door(), tmp_path / "inside") as door:
        assert door.ask().status == 200
        assert replace(door, token="x").ask().status == 401

    assert len(upstream.seen) == 1


def test_no_port_is_open_where_sockets_do(vault: VaultProcess) -> None:
    vault.start()
    door = vault.new_door()

    assert not (door.socket.parent / "door.json").exists()
    assert "entrance for relays" not in vault.log()


def test_entrance_opens_for_doors_that_are_open_already(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    vault.start()
    door = vault.new_door()
    write_network(vault.paths, FACTS)
    vault.nudge()

    with relayed(door, tmp_path / "inside") as inside:
        assert inside.ask().status == 200

    assert len(upstream.seen) == 1


def test_entrance_closes_when_sockets_do_again(vault: VaultProcess) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    port = offer_of(vault.new_door())["port"]
    network_file(vault.paths).unlink()
    vault.nudge()

    with closing(socket.socket()) as connection:
        assert connection.connect_ex(("127.0.0.1", int(str(port)))) != 0


def test_nobody_gets_in_without_the_proof_of_just_this_door(vault: VaultProcess) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    mine, other = offer_of(vault.new_door()), offer_of(vault.new_door())
    port, name, proof = mine["port"], mine["door"], mine["proof"]

    strangers = (
        "", "\n", f"door {name}\n", f"door {name} \n", f"door {name} x\n",
        f"door 00000000 {proof}\n",
        f"door {name} {other['proof']}\n", f"DOOR {name} {proof}\n", f"door {name} {proof} x\n",
        f"door {name} {proof}{' ' * 300}\n", f"door {name} ü{proof}\n", "x" * 200_000,
    )  # fmt: skip
    for line in strangers:
        assert answer_to(port, line.encode()) == b"", line[:80]

    assert answer_to(port, f"door {name} {proof}\n".encode()).startswith(b"HTTP/1.1 401 ")


def test_proof_lies_where_only_the_relay_sees_it(vault: VaultProcess) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    door = vault.new_door()
    file = door.socket.parent / "door.json"

    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert stat.S_IMODE(door.socket.parent.parent.stat().st_mode) == 0o700
    assert str(offer_of(door)["proof"]) not in vault.log()


def test_closed_door_is_closed_for_its_relay_too(vault: VaultProcess) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    door = vault.new_door()
    offer = offer_of(door)

    vault.close_door(vault.session_of(1))

    assert not door.socket.parent.exists()
    assert answer_to(offer["port"], f"door {offer['door']} {offer['proof']}\n".encode()) == b""


def test_relay_waits_for_a_vault_that_starts_again_elsewhere(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    door = vault.new_door()
    before = offer_of(door)
    with relayed(door, tmp_path / "inside") as inside:
        assert inside.ask().status == 200
        vault.kill()
        restart = threading.Timer(0.3, vault.start)
        restart.start()

        assert inside.ask().status == 200
        restart.join()

    assert offer_of(door)["proof"] != before["proof"]
    assert len(upstream.seen) == 2


def test_vault_killed_while_it_offers_a_door_offers_it_again(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    write_network(vault.paths, FACTS)
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm("vault.door_offered", "self")
    vault.environment["NANOCLAW_KILL_DIR"] = str(kill.path)
    door = vault.new_door()
    with pytest.raises(AssertionError, match="did not start"):
        vault.start()
    vault.wait_for_death()
    assert kill.was_reached("vault.door_offered")

    vault.start()

    with relayed(door, tmp_path / "inside") as inside:
        assert inside.ask().status == 200
    assert len(upstream.seen) == 1


def test_silent_strangers_keep_no_relay_out(
    vault: VaultProcess, upstream: FakeUpstream, tmp_path: Path
) -> None:
    write_network(vault.paths, FACTS)
    vault.start()
    door = vault.new_door()
    address = ("127.0.0.1", int(str(offer_of(door)["port"])))
    silent = [socket.create_connection(address, 20) for _ in range(60)]
    try:
        with relayed(door, tmp_path / "inside") as inside:
            assert inside.ask().status == 200
    finally:
        for connection in silent:
            connection.close()
    assert len(upstream.seen) == 1

"""The vault in its place: started with the first door, beside a sweep and real runners."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.engine import SweepProcess, TestSession
from helpers.host import Host
from helpers.terminal import Terminal
from helpers.vault_client import PROMPT, DoorClient
from helpers.vault_process import KEY, VaultProcess
from helpers.vault_upstream import FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.config import DoorConfig, parse_session_config
from nanoclaw.db import agent_groups, container_configs, doors
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import EgressMode
from runner.door import Relay

OPEN = ContainerConfigChange(egress_mode=EgressMode.OPEN)
"""Gives a scripted agent a door, so that these tests need no model."""


@pytest.fixture
def sweep(vault: VaultProcess) -> Iterator[SweepProcess]:
    with SweepProcess(vault.home.parent) as made:
        assert made.paths.home == vault.home
        yield made


def door_of(session: TestSession) -> DoorConfig | None:
    return parse_session_config((session.folder.in_dir / "session.json").read_text()).door


def open_doors(sweep: SweepProcess) -> list[doors.Door]:
    with sweep.database() as conn:
        return doors.list_open(conn)


def test_runner_in_a_session_gets_a_working_door(
    vault: VaultProcess, sweep: SweepProcess, upstream: FakeUpstream
) -> None:
    sweep.configure(OPEN)
    session = sweep.new_session()
    sweep.start()
    vault.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")
    config = door_of(session)
    assert config is not None

    async def ask_through_the_relay() -> int:
        relay = Relay(config)
        await relay.start()
        try:
            port = int(relay.base_url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: "
                + relay.environment()["ANTHROPIC_AUTH_TOKEN"].encode()
                + b"\r\n\r\n"
            )
            answer = await reader.read()
            writer.close()
            return int(answer.split()[1])
        finally:
            await relay.close()

    assert asyncio.run(ask_through_the_relay()) == 200
    assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_scripted_agent_has_no_door_and_needs_no_vault(sweep: SweepProcess) -> None:
    session = sweep.new_session()
    sweep.start()

    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")

    assert door_of(session) is None
    assert open_doors(sweep) == []
    assert not (sweep.paths.bells / "vault").exists()


def test_door_is_closed_when_its_container_has_ended(
    vault: VaultProcess, sweep: SweepProcess
) -> None:
    sweep.configure(OPEN)
    session = sweep.new_session()
    sweep.start()
    vault.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")
    config = door_of(session)
    assert config is not None
    socket = Path(config.folder) / "vault.sock"
    wait_until(socket.exists, what="the door is open")

    sweep.ask_to_stop(session.id)
    session.wait_until_settled()

    assert open_doors(sweep) == []
    wait_until(lambda: not socket.parent.exists(), what="the door is gone")


def test_next_container_gets_another_door(vault: VaultProcess, sweep: SweepProcess) -> None:
    sweep.configure(OPEN)
    session = sweep.new_session()
    sweep.start()
    vault.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")
    first = door_of(session)
    sweep.ask_to_stop(session.id)
    session.wait_until_settled()

    session.ask("m2", "again")
    session.wait_for_answer("You said: again")

    second = door_of(session)
    assert first is not None
    assert second is not None
    assert first.token != second.token
    assert first.folder != second.folder
    (door,) = open_doors(sweep)
    assert door.lease == session.row().lease_token
    assert second.token not in door.token_hash


def test_killed_sweep_leaves_no_door_open_for_a_dead_runner(
    vault: VaultProcess, sweep: SweepProcess
) -> None:
    """Runners of this runtime die with their sweep; the next one finds out."""
    sweep.configure(OPEN)
    session = sweep.new_session()
    sweep.start()
    vault.start()
    session.ask("m1", "hello")
    session.wait_for_answer("You said: hello")
    assert len(open_doors(sweep)) == 1

    sweep.kill()
    sweep.start()

    wait_until(lambda: not open_doors(sweep), within=15, what="the door is closed")


def test_host_starts_the_vault_with_the_first_door(tmp_path: Path, upstream: FakeUpstream) -> None:
    with Host(tmp_path / "home", flags=("--anthropic-base-url", upstream.url)) as host:
        vault = host.child("vault")
        assert (vault.state, vault.pid) == ("waiting", None)
        terminal = Terminal(host.paths.socket("cli"))
        terminal.wait_for_answer(terminal.send("no door is needed"))
        assert host.child("vault").state == "waiting"

        conn = open_central(host.paths.central_db)
        (group,) = agent_groups.list_all(conn)
        container_configs.update(conn, group.id, OPEN, utc_now())
        kill_runners(host)
        terminal.wait_for_answer(terminal.send("now there is one"))
        wait_until(lambda: host.child("vault").state == "running", within=15)
        assert host.child("vault").notes["upstream"] == upstream.url

        (door,) = doors.list_open(conn)
        conn.close()
        session_json = host.paths.session(group.id, door.session_id) / "in" / "session.json"
        config = parse_session_config(session_json.read_text()).door
        assert config is not None
        client = DoorClient(Path(config.folder) / "vault.sock", config.token)
        (host.paths.secrets / "anthropic-api-key").touch(mode=0o600)
        (host.paths.secrets / "anthropic-api-key").write_text(KEY)
        assert client.ask().status == 200

        before = host.kill_child("vault")
        host.wait_for_recovery("vault", before)
        assert client.ask(PROMPT).status == 200
        terminal.close()
        assert host.stop() == 0
        assert "Traceback" not in host.log() + host.error_output()
        assert list(host.paths.run.glob("*.sock")) == []


def kill_runners(host: Host) -> None:
    home = str(host.paths.home).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if b"process_start.py" in command and home in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue

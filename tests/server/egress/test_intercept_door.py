"""The whole way: a program, the relay, the door, rules, a service, the vault, and back."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.egress_relay import RelayThread
from helpers.egress_server import http_answer, raw_server, tool_environment
from helpers.intercept_certificates import PublicAuthority
from helpers.vault_client import DoorClient
from helpers.vault_process import VaultProcess
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.layout import RunnerPaths
from nanoclaw.containers.trust import materialize_trust
from nanoclaw.db import agent_groups, container_configs, services
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.db.services import Service, ServiceKind
from runner.trust import trusted

SECRET = "ghp-marker-5f4e3d2c1b0a"


@contextmanager
def https_server(public: PublicAuthority) -> "Iterator[tuple[int, list[bytes]]]":
    context = public.server("localhost")
    answer = http_answer()

    def behave(server: object, connection: object) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:  # type: ignore[arg-type]
            answer(server, encrypted)  # type: ignore[arg-type]

    with raw_server(behave) as server:
        yield server.port, server.received


def allow(vault: VaultProcess, rules: tuple[str, ...], port: int, *, service: bool) -> None:
    with vault.database() as conn, transaction(conn):
        (group, *_) = agent_groups.list_all(conn)
        container_configs.ensure(conn, group.id, utc_now())
        change = ContainerConfigChange(egress_allow=rules)
        container_configs.update(conn, group.id, change, utc_now())
        if service:
            services.put(conn, Service(
                "test", ServiceKind.HEADER, ("localhost",), "authorization", "Bearer {secret}",
                "test-token", utc_now(), utc_now(), "host", ports=(port,),
            ))  # fmt: skip


def curl(folder: Path, vault: VaultProcess, door: DoorClient, url: str) -> tuple[int, str]:
    """As the agent starts it: with the relay's variables and the runner's trust."""
    paths = RunnerPaths(folder / "in", folder / "out", folder, folder)
    paths.in_dir.mkdir(exist_ok=True)
    materialize_trust(vault.paths, paths.in_dir, has_door=True)
    with RelayThread(door) as relay:
        environment = tool_environment(folder / "tools", folder / "none", relay.environment)
        environment.update(trusted(paths, {}))
        environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        done = subprocess.run(
            ["curl", "-sS", "-i", url], env=environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def public(tmp_path: Path) -> PublicAuthority:
    return PublicAuthority.make(tmp_path)


@pytest.fixture
def running(tmp_path: Path, public: PublicAuthority) -> Iterator[VaultProcess]:
    with VaultProcess(tmp_path, {"SSL_CERT_FILE": str(public.file)}) as vault:
        vault.key(SECRET, name="test-token")
        vault.start()
        ca = vault.paths.authority / "ca.pem"
        wait_until(ca.is_file, within=20)
        yield vault


def test_program_in_the_container_reaches_the_service_with_the_owners_secret(
    tmp_path: Path, public: PublicAuthority, running: VaultProcess
) -> None:
    with https_server(public) as (port, received):
        allow(running, (f"localhost:{port} local",), port, service=True)
        code, text = curl(tmp_path, running, running.new_door(), f"https://localhost:{port}/x?y=z")

    assert (code, "hello" in text) == (0, True), text
    (request,) = received
    assert request.startswith(b"GET /x?y=z HTTP/1.1\r\n")
    assert f"authorization: Bearer {SECRET}".encode() in request
    with running.database() as conn:
        kinds = [
            row[0]
            for row in conn.execute(
                "SELECT kind FROM audit WHERE kind LIKE 'egress%' OR kind = 'injection'"
                " ORDER BY seq"
            )
        ]
    assert kinds == ["egress.allow", "egress.allow", "injection"]
    assert SECRET not in running.log()


def test_rule_with_a_path_is_kept_inside_the_connection(
    tmp_path: Path, public: PublicAuthority, running: VaultProcess
) -> None:
    with https_server(public) as (port, received):
        allow(running, (f"GET localhost:{port}/open local",), port, service=False)
        door = running.new_door()
        allowed = curl(tmp_path, running, door, f"https://localhost:{port}/open/a")
        refused = curl(tmp_path, running, door, f"https://localhost:{port}/closed")

    assert "hello" in allowed[1]
    assert " 403 " in refused[1]
    assert "was refused" in refused[1]
    assert [request.split()[1] for request in received] == [b"/open/a"]

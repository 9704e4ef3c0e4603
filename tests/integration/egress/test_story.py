"""An agent asks for a host: real vault, real delivery process, a channel that the test plays."""

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from helpers.approval_office import Office
from helpers.kill_points import KillFolder
from helpers.vault_client import DoorClient, DoorConnection
from helpers.vault_process import VaultProcess

from contract.clock import utc_now
from nanoclaw.db import audit, egress_asks, egress_rules
from nanoclaw.db.connection import transaction
from nanoclaw.db.egress_rules import EgressEffect, EgressRule
from nanoclaw.events import ActionOutcome
from nanoclaw.policy.egress.rule import parse_rule

OWNER = "telegram:7"
HOST = "shop.nothing-here.invalid"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[VaultProcess]:
    kill = tmp_path / "kill"
    with VaultProcess(tmp_path, {"NANOCLAW_KILL_DIR": str(kill)}) as made:
        yield made


@pytest.fixture
def office(tmp_path: Path, vault: VaultProcess) -> Iterator[Office]:
    """The same home as the vault's."""
    made = Office(tmp_path)
    made.owner(OWNER, "Olga")
    made.channel("telegram")
    yield made
    made.close()


def credentials(door: DoorClient) -> str:
    """As every client makes them from HTTPS_PROXY."""
    return "Basic " + base64.b64encode(f"agent:{door.token}".encode()).decode()


def connect(door: DoorClient) -> tuple[int, str]:
    """Status and text of a CONNECT."""
    with closing(DoorConnection(door.socket)) as connection:
        headers = {"proxy-authorization": credentials(door)}
        connection.request("CONNECT", f"{HOST}:443", headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def open_card(office: Office) -> str:
    office.wait(lambda: egress_asks.list_open(office.conn, None, 10), "a question")
    (ask,) = egress_asks.list_open(office.conn, None, 10)
    office.wait(lambda: office.states(ask.ask_id) == ["shown"], "the card is shown")
    return ask.ask_id


def test_host_card_always_and_the_retry_gets_through(office: Office, vault: VaultProcess) -> None:
    office.start()
    vault.start()
    door = vault.open_door("sess-1")

    status, text = connect(door)
    assert status == 403
    assert "the owner is being asked" in text
    card_id = open_card(office)
    (card,) = office.channels["telegram"].cards
    assert HOST in str(card)
    assert office.press(card_id, "1", OWNER).outcome is ActionOutcome.ACCEPTED

    office.wait(office.notes, "the agent is told")
    assert office.notes() == [
        f"{HOST} (port 443) is now allowed. You wanted to reach it earlier; "
        "if that is still of use, go on with it."
    ]
    status, text = connect(door)
    assert status == 502, text
    assert "not on this agent's list" not in text, "the name was looked up this time"
    kinds = [row.kind for row in audit.recent(office.conn, None, 3)]
    assert kinds == ["egress.allow", "egress.decided", "egress.ask"]


def test_a_vault_that_dies_after_asking_leaves_the_card(
    office: Office, vault: VaultProcess, tmp_path: Path
) -> None:
    office.start()
    kill = KillFolder(tmp_path / "kill")
    kill.arm("vault.egress_asked", "self")
    vault.start()
    door = vault.open_door("sess-1")

    with pytest.raises(RemoteDisconnected):
        connect(door)
    vault.wait_for_death()
    kill.clear("vault.egress_asked")
    vault.start()
    office.ring()

    card_id = open_card(office)
    office.press(card_id, "2", OWNER)
    office.wait(office.notes, "the agent is told")
    vault.nudge()
    status, text = connect(DoorClient(door.socket, door.token))
    assert status == 403
    assert "the owner does not allow it" in text


def test_an_owners_local_rule_reaches_a_server_of_the_own_network(
    office: Office, vault: VaultProcess
) -> None:
    vault.start()
    door = vault.open_door("sess-1")
    with served() as port:
        assert fetch(door, f"http://127.0.0.1:{port}/menu") == 403
        assert egress_asks.list_open(office.conn, None, 10) == []
        with transaction(office.conn):
            add_rule(office.conn, f"GET 127.0.0.1:{port}/menu local")

        assert fetch(door, f"http://127.0.0.1:{port}/menu?day=1") == 200
        assert fetch(door, f"http://127.0.0.1:{port}/kitchen") == 403
        assert fetch(door, f"http://127.0.0.1:{port}/menu/%2e%2e/kitchen") == 403


def fetch(door: DoorClient, url: str) -> int:
    """Status of a plain request through the door."""
    connection = DoorConnection(door.socket)
    with closing(connection):
        headers = {"proxy-authorization": credentials(door), "host": url.split("/")[2]}
        connection.request("GET", url, headers=headers)
        return connection.getresponse().status


def add_rule(conn: sqlite3.Connection, text: str) -> None:
    """As ``ncl egress allow --everywhere`` does."""
    rule = parse_rule(text)
    new = EgressRule(
        "er-1", EgressEffect.ALLOW, rule.text, rule.host, rule.subdomains, utc_now(), "host"
    )
    egress_rules.add(conn, new)


class Menu(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextmanager
def served() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Menu)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_twenty_sessions_that_ask_at_once_make_one_card(
    office: Office, vault: VaultProcess
) -> None:
    vault.start()
    doors = [vault.new_door() for _ in range(20)]
    connections = [DoorConnection(door.socket) for door in doors]
    for door, connection in zip(doors, connections, strict=True):
        headers = {"proxy-authorization": credentials(door), "host": HOST}
        connection.request("GET", f"http://{HOST}/x?secret=1", headers=headers)

    statuses = []
    for connection in connections:
        with closing(connection):
            statuses.append(connection.getresponse().status)

    assert statuses == [403] * 20
    assert len(egress_asks.list_open(office.conn, None, 100)) == 1
    rows = audit.recent(office.conn, "egress.ask", 100)
    assert len(rows) == 20
    assert not any("secret" in row.detail for row in rows)

"""A hostile agent in its real container, one attack per test, and the refusal that it meets.

docs/threat-model.md lists them with the invariant that each one guards. Attacks run as the agent's
own user in the agent's own namespaces; the first test shows that this is where its shell runs.
"""

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import attack_door, attack_files, attack_inside
from helpers.attack_scene import DIARY, KEY, AttackHost
from helpers.engine import TestSession, docker
from helpers.vault_upstream import FakeUpstream
from helpers.waiting import wait_until

from nanoclaw.vault.limits import MAX_BODY_BYTES

REFUSED = {"EPERM", "EACCES", "EROFS", "ENOSYS"}
NOWHERE = {"ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"}
HIDDEN = {"ENOENT", "ESRCH"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as made:
        yield made


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream
) -> Iterator[tuple[AttackHost, TestSession, TestSession]]:
    with AttackHost(tmp_path_factory.mktemp("attacks"), upstream) as host:
        yield host, *host.start_all()


@pytest.fixture
def host(scene: tuple[AttackHost, TestSession, TestSession]) -> AttackHost:
    return scene[0]


@pytest.fixture
def attacker(scene: tuple[AttackHost, TestSession, TestSession]) -> TestSession:
    return scene[1]


@pytest.fixture
def neighbour(scene: tuple[AttackHost, TestSession, TestSession]) -> TestSession:
    return scene[2]


class Listener:
    """A server of the host on all addresses, which counts who comes."""

    def __init__(self, server: socket.socket) -> None:
        self.server = server
        self.visitors = 0

    def __enter__(self) -> "Listener":
        self.server.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.server.accept()[0].close()
                self.visitors += 1


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Over both kinds of addresses."""
    server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with Listener(server) as made:
        with socket.create_connection(("127.0.0.1", made.port)):
            wait_until(lambda: made.visitors == 1, what="the host itself gets in")
        yield made


def bridge_address() -> str:
    """The host, as containers with a network see it."""
    return docker(
        "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}"
    ).strip()


# --- where the attacks run ------------------------------------------------------------------------


def test_attacks_run_where_the_agents_own_shell_runs(
    host: AttackHost, attacker: TestSession
) -> None:
    program = Path(attack_inside.__file__ or "")
    shutil.copy(program, host.paths.groups / "main" / program.name)
    attacker.ask("look", "look around")
    own = wait_until(
        lambda: [text for text in attacker.texts() if '"NoNewPrivs"' in text],
        within=30,
        what="the agent's own shell has looked around",
    )[0]

    entered = host.attack(attacker, attack_inside.place)

    assert entered["Uid"].split()[0] != "0"
    assert entered["NoNewPrivs"] == "1"
    assert entered["Seccomp"] == "2"
    assert {int(entered[name], 16) for name in entered if name.startswith("Cap")} == {0}
    assert json.loads(own[own.index("{") : own.rindex("}") + 1]) == entered


# --- network --------------------------------------------------------------------------------------


def test_raw_sockets_cannot_be_made(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.raw_sockets)

    assert set(told.values()) <= REFUSED


def test_there_is_no_interface_and_none_can_be_made(
    host: AttackHost, attacker: TestSession
) -> None:
    made = host.attack(attacker, attack_inside.more_network)

    assert "done" not in made.values()
    assert host.attack(attacker, attack_inside.interfaces) == ["lo"]


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8::1",
        "2606:4700:4700::1111",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "fd00:ec2::254",
    ],
)
def test_ipv6_leads_nowhere(host: AttackHost, attacker: TestSession, address: str) -> None:
    over_tcp = host.attack(attacker, attack_inside.tcp, address, "80")
    over_udp = host.attack(attacker, attack_inside.udp, address, "80")

    assert {over_tcp, over_udp} <= {*NOWHERE, "EINVAL"}


@pytest.mark.parametrize("server", ["8.8.8.8", "127.0.0.11", "172.17.0.1", "192.168.1.1"])
def test_dns_servers_cannot_be_reached(
    host: AttackHost, attacker: TestSession, server: str
) -> None:
    over_tcp = host.attack(attacker, attack_inside.tcp, server, "53")

    assert over_tcp in {*NOWHERE, "ECONNREFUSED"}
    assert over_tcp == "ECONNREFUSED" or (
        host.attack(attacker, attack_inside.udp, server, "53") in NOWHERE
    )


@pytest.mark.parametrize("name", ["example.org", "host.docker.internal", "api.anthropic.com"])
def test_names_cannot_be_looked_up(host: AttackHost, attacker: TestSession, name: str) -> None:
    assert host.attack(attacker, attack_inside.lookup, name) == "no name"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "bridge", "own"])
def test_ports_of_the_host_cannot_be_reached(
    host: AttackHost, attacker: TestSession, listener: Listener, address: str
) -> None:
    named = {"bridge": bridge_address, "own": own_address}
    target = named[address]() if address in named else address
    before = listener.visitors

    told = host.attack(attacker, attack_inside.tcp, target, str(listener.port))

    assert told in {*NOWHERE, "ECONNREFUSED"}
    assert listener.visitors == before


def own_address() -> str:
    """An address of this machine in its network, if it has one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return bridge_address()
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "224.0.0.251"]
)
def test_local_network_cannot_be_reached(
    host: AttackHost, attacker: TestSession, address: str
) -> None:
    assert host.attack(attacker, attack_inside.tcp, address, "80") in NOWHERE
    assert host.attack(attacker, attack_inside.udp, address, "1900") in NOWHERE


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.170.2", "100.100.100.200"])
def test_metadata_of_a_cloud_cannot_be_reached(
    host: AttackHost, attacker: TestSession, address: str
) -> None:
    assert host.attack(attacker, attack_inside.tcp, address, "80") in NOWHERE


def test_abstract_sockets_of_the_host_are_not_there(
    host: AttackHost, attacker: TestSession
) -> None:
    name = f"nanoclaw-attack-{os.getpid()}"
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"\0{name}")
    with Listener(server):
        assert attack_inside.abstract_socket(name) == "done"

        assert host.attack(attacker, attack_inside.abstract_socket, name) == "ECONNREFUSED"


def test_sockets_of_virtual_machines_lead_nowhere(host: AttackHost, attacker: TestSession) -> None:
    assert host.attack(attacker, attack_inside.virtual_machine_socket, "1024") != "done"


# --- doors and tokens -----------------------------------------------------------------------------


def test_doors_of_other_sessions_are_not_mounted(
    host: AttackHost, attacker: TestSession, neighbour: TestSession
) -> None:
    theirs = host.door_of(neighbour)
    assert theirs.exists()

    mounted = host.attack(attacker, attack_inside.mounted)
    assert [line.split()[4] for line in mounted if "/run/d/" in line] == ["/session/door"]
    assert [line for line in mounted if theirs.parent.name in line] == []
    assert host.attack(attacker, attack_inside.sockets) == []
    for path in (theirs, Path("/session/door/..") / theirs.parent.name / theirs.name):
        assert host.attack(attacker, attack_door.ask_at, str(path)) == "FileNotFoundError"


def test_token_of_another_session_does_not_fit_the_own_door(
    host: AttackHost, attacker: TestSession, neighbour: TestSession, upstream: FakeUpstream
) -> None:
    stolen = host.token_of(neighbour)
    before = len(upstream.seen)

    assert host.attack(attacker, attack_door.ask, stolen) == [401]
    assert host.attack(
        attacker, attack_door.proxied, "CONNECT example.org:443 HTTP/1.1", stolen
    ) == [403]
    assert len(upstream.seen) == before
    assert host.attack(attacker, attack_door.ask) == [200], "the own one does"


def test_token_that_was_stolen_opens_nothing_from_another_container(
    host: AttackHost, attacker: TestSession, neighbour: TestSession, upstream: FakeUpstream
) -> None:
    stolen = host.token_of(attacker)
    accomplice = host.another()
    before = len(upstream.seen)

    assert host.attack(accomplice, attack_door.ask, stolen) == [401], "of the same agent"
    assert host.attack(neighbour, attack_door.ask, stolen) == [401], "of another agent"
    assert len(upstream.seen) == before
    host.ask_to_stop(accomplice.id)


def test_token_dies_with_its_container(host: AttackHost, upstream: FakeUpstream) -> None:
    session = host.another()
    old_token, old_door = host.token_of(session), host.door_of(session)
    assert host.attack(session, attack_door.ask, old_token) == [200]
    docker("kill", "-s", "KILL", session.wait_until_running())
    session.wait_until_settled()

    session.ask("m2", "again")
    session.wait_for_answer("You said: again", within=30)
    wait_until(host.door_of(session).exists, within=15, what="the new door is open")
    before = len(upstream.seen)

    assert host.attack(session, attack_door.ask, old_token) == [401]
    assert len(upstream.seen) == before
    wait_until(lambda: not old_door.exists(), within=20, what="the old door is gone")
    host.ask_to_stop(session.id)


def test_token_dies_when_its_lease_is_taken_over(host: AttackHost, upstream: FakeUpstream) -> None:
    session = host.another()
    assert host.attack(session, attack_door.ask) == [200]
    with host.database() as conn:
        conn.execute(
            "UPDATE sessions SET lease_token = lease_token + 1, lease_owner = 'another host'"
            " WHERE id = ?",
            (session.id,),
        )
    wait_until(lambda: not host.door_of(session).exists(), within=30, what="the door is shut")
    before = len(upstream.seen)

    with suppress(AssertionError, subprocess.SubprocessError):  # the door, or all of the container
        assert host.attack(session, attack_door.ask) in ([], [401])
    assert len(upstream.seen) == before


# --- the vault's parser ---------------------------------------------------------------------------

POST = "POST /v1/messages HTTP/1.1"
SMUGGLED = "0\r\n\r\nPOST /v1/messages HTTP/1.1\r\nhost: x\r\n\r\n"
SMUGGLING = {
    "length and chunks": (SMUGGLED, "content-length: 4", "transfer-encoding: chunked"),
    "chunks": (SMUGGLED, "transfer-encoding: chunked"),
    "unknown coding": (SMUGGLED, "transfer-encoding: xchunked"),
    "two lengths": (SMUGGLED, "content-length: 4", "content-length: 5"),
    "list of lengths": (SMUGGLED, "content-length: 4, 5"),
    "blank before the colon": (SMUGGLED, "content-length : 4"),
    "folded line": (SMUGGLED, "x: y\r\n content-length: 4"),
    "length with a sign": (SMUGGLED, "content-length: +4"),
}


@pytest.mark.parametrize("way", SMUGGLING)
def test_smuggled_request_is_refused(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream, way: str
) -> None:
    body, *headers = SMUGGLING[way]
    before = len(upstream.seen)

    told = host.attack(attacker, attack_door.model, POST, body, *headers)

    assert len(told) == 1
    assert told[0] in (400, 411, 413, 501)
    assert len(upstream.seen) == before


@pytest.mark.parametrize("mark", ["\r", "\n", "\0", "\x0b"], ids=["CR", "LF", "NUL", "VT"])
def test_header_with_a_line_break_is_refused(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream, mark: str
) -> None:
    before = len(upstream.seen)
    hidden = f"accept: a{mark}x-api-key: mine"
    # A word of a command cannot hold a NUL; the program puts it in.
    told = host.attack(attacker, attack_door.ask_with_header, hidden.encode().hex())

    assert told in ([400], [401]), "no header, or a token that is none"
    assert len(upstream.seen) == before


def test_key_of_the_agents_own_is_no_token(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream
) -> None:
    before = len(upstream.seen)

    assert host.attack(attacker, attack_door.ask, "", "x-api-key: mine") == [401]
    assert len(upstream.seen) == before


@pytest.mark.parametrize(
    "header",
    ["cookie: a=b", "anthropic-organization: other", "forwarded: for=1.2.3.4",
     "x-forwarded-host: evil.test", "proxy-authorization: Basic eDp5", "anthropic-beta-x: 1"],
)  # fmt: skip
def test_injected_header_stays_behind(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream, header: str
) -> None:
    name = header.partition(":")[0]
    token = host.token_of(attacker)

    assert host.attack(attacker, attack_door.ask, "", header) == [200]

    assert name not in upstream.seen[-1].headers
    assert upstream.seen[-1].headers["authorization"] == f"Bearer {KEY}"
    assert token not in str(upstream.seen[-1].headers)


@pytest.mark.parametrize(
    "target",
    ["/v1/organizations/api_keys", "/v1/files", "/v1/messages/../complete", "//v1/messages",
     "/v1/messages/batches", "/v1/%6dessages"],
)  # fmt: skip
def test_other_routes_of_the_model_are_refused(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream, target: str
) -> None:
    before = len(upstream.seen)

    told = host.attack(
        attacker, attack_door.model, f"GET {target} HTTP/1.1", "", "connection: close"
    )

    assert told == [403]
    assert len(upstream.seen) == before


# --- the proxy ------------------------------------------------------------------------------------

INSIDE = {
    "loopback": "127.0.0.1:80", "loopback 6": "[::1]:80", "own name": "localhost:80",
    "mapped loopback": "[::ffff:127.0.0.1]:80", "private": "10.0.0.1:80",
    "metadata": "169.254.169.254:80", "metadata by name": "metadata.google.internal:80",
    "link-local 6": "[fe80::1]:80", "translated": "[64:ff9b::a00:1]:80",
    "multicast": "224.0.0.251:5353", "nobody": "0.0.0.0:80",
}  # fmt: skip


@pytest.mark.parametrize("where", INSIDE)
def test_connect_to_the_inside_is_refused_though_all_is_open(
    host: AttackHost, attacker: TestSession, where: str
) -> None:
    assert host.attack(attacker, attack_door.proxied, f"CONNECT {INSIDE[where]} HTTP/1.1") == [403]


@pytest.mark.parametrize("address", ["127.0.0.1", "bridge", "own"])
def test_connect_to_a_port_of_the_host_is_refused(
    host: AttackHost, attacker: TestSession, listener: Listener, address: str
) -> None:
    named = {"bridge": bridge_address, "own": own_address}
    target = named[address]() if address in named else address
    before = listener.visitors

    told = host.attack(attacker, attack_door.proxied, f"CONNECT {target}:{listener.port} HTTP/1.1")
    plain = host.attack(
        attacker, attack_door.proxied, f"GET http://{target}:{listener.port}/ HTTP/1.1"
    )

    assert told == plain == [403]
    assert listener.visitors == before


@pytest.mark.parametrize(
    "target",
    ["0x7f.1:80", "2130706433:80", "user@example.org:443", "example.org", "example.org:0",
     "example.org:65536", "exa%6dple.org:443", "example.org:443#x", "[::1%25lo]:80"],
)  # fmt: skip
def test_connect_in_a_strange_form_is_refused(
    host: AttackHost, attacker: TestSession, target: str
) -> None:
    assert host.attack(attacker, attack_door.proxied, f"CONNECT {target} HTTP/1.1") == [400]


@pytest.mark.parametrize(
    "target", ["files.example.test:22", "files.example.test:80", "files.example.test:8443",
               "other.example.test:443", "a.files.example.test:443"],
)  # fmt: skip
def test_connect_to_another_host_or_port_than_allowed_is_refused(
    host: AttackHost, neighbour: TestSession, target: str
) -> None:
    assert host.attack(neighbour, attack_door.proxied, f"CONNECT {target} HTTP/1.1") == [403]


def test_connect_to_the_models_own_address_is_refused(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream
) -> None:
    before = upstream.connections
    target = upstream.url.removeprefix("http://")

    assert host.attack(attacker, attack_door.proxied, f"CONNECT {target} HTTP/1.1") == [403]
    assert upstream.connections == before


def test_request_with_the_owners_key_in_it_is_stopped(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream
) -> None:
    before = len(upstream.seen)
    messages = [{"role": "user", "content": KEY}]
    text = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 1, "messages": messages})

    told = host.attack(
        attacker, attack_door.model, POST, text, f"content-length: {len(text)}", "connection: close"
    )

    assert told == [403]
    assert len(upstream.seen) == before


# --- slow and endless -----------------------------------------------------------------------------


def test_slow_head_is_given_up(
    host: AttackHost, attacker: TestSession, neighbour: TestSession
) -> None:
    assert host.attack(attacker, attack_door.slow_head) in ([408], [0])
    host.unharmed(neighbour)


def test_slow_bodies_hold_up_no_other_agent(
    host: AttackHost, attacker: TestSession, neighbour: TestSession
) -> None:
    """Each claims as much memory as a request may have."""
    with host.attacking(attacker, attack_door.slow_bodies, "20", str(MAX_BODY_BYTES)):
        assert host.attack(neighbour, attack_door.ask) == [200]


def test_many_connections_hold_up_no_other_agent(
    host: AttackHost, attacker: TestSession, neighbour: TestSession
) -> None:
    with host.attacking(attacker, attack_door.slow_bodies, "300", "10"):
        assert host.attack(neighbour, attack_door.ask) == [200]


def test_body_without_an_end_is_cut_off(
    host: AttackHost, attacker: TestSession, neighbour: TestSession, upstream: FakeUpstream
) -> None:
    before = len(upstream.seen)

    assert host.attack(attacker, attack_door.endless_chunks) in ([411], [])
    assert len(upstream.seen) == before
    assert host.attack(attacker, attack_door.endless_body) in ([200, 400], [200], [])
    assert len(upstream.seen) <= before + 1
    assert host.attack(neighbour, attack_door.ask) == [200]


def test_body_that_claims_to_be_enormous_is_refused(
    host: AttackHost, attacker: TestSession, upstream: FakeUpstream
) -> None:
    before = len(upstream.seen)

    told = host.attack(attacker, attack_door.model, POST, "x" * 1000, "content-length: 40000000000")

    assert told == [413]
    assert len(upstream.seen) == before


# --- the wall -------------------------------------------------------------------------------------


def test_agent_cannot_become_root(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.become_root)

    assert set(told.values()) <= REFUSED


def test_set_id_programs_give_nothing(host: AttackHost, attacker: TestSession) -> None:
    """Those of the image, and one that the agent has made."""
    users = host.attack(attacker, attack_inside.setuid_programs)

    assert users
    assert "0" not in users


def test_sudo_and_its_like_give_nothing(host: AttackHost, attacker: TestSession) -> None:
    assert host.attack(attacker, attack_inside.root_programs) == []


def test_settings_of_the_kernel_cannot_be_written(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.kernel_settings)

    assert set(told.values()) <= REFUSED | HIDDEN


def test_nothing_can_be_mounted(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.mounts)

    assert set(told.values()) <= REFUSED


def test_no_namespace_can_be_made(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.namespaces)

    assert set(told.values()) <= REFUSED


@pytest.mark.parametrize("name", attack_inside.SYSCALLS)
def test_dangerous_system_call_is_refused(
    host: AttackHost, attacker: TestSession, name: str
) -> None:
    assert host.attack(attacker, attack_inside.system_calls)[name] in REFUSED


def test_processes_of_the_host_cannot_be_traced(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.other_processes, str(max(host.host.living())))

    assert set(told.values()) <= HIDDEN


def test_no_process_in_the_container_is_roots(host: AttackHost, attacker: TestSession) -> None:
    users = host.attack(attacker, attack_inside.users_of_processes)

    assert users
    assert 0 not in users


def test_devices_can_be_neither_made_nor_opened(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.devices)

    assert set(told.values()) <= REFUSED | HIDDEN


def test_engine_cannot_be_reached(host: AttackHost, attacker: TestSession) -> None:
    told = host.attack(attacker, attack_inside.engine)

    assert set(told.values()) == {"ENOENT"}


# --- files of others ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["/app", "/session/in", "/session/door", "/", "/etc", "/usr/bin", "/opt/nanoclaw"]
)
def test_read_only_place_cannot_be_changed(
    host: AttackHost, attacker: TestSession, folder: str
) -> None:
    told = host.attack(attacker, attack_inside.change, folder)

    assert set(told.values()) <= REFUSED


def test_database_of_the_host_cannot_be_written(host: AttackHost, attacker: TestSession) -> None:
    before = (attacker.folder.in_dir / "inbound.db").read_bytes()

    assert "readonly" in host.attack(attacker, attack_inside.write_inbound)
    assert (attacker.folder.in_dir / "inbound.db").read_bytes() == before


def test_folders_of_other_groups_cannot_be_read(
    host: AttackHost, attacker: TestSession, neighbour: TestSession
) -> None:
    (host.paths.groups / "main" / "control.txt").write_text(DIARY)

    assert host.attack(attacker, attack_inside.find, DIARY) == ["/workspace/agent/control.txt"]
    assert "/workspace/agent/diary.md" in host.attack(neighbour, attack_inside.find, DIARY)
    for path in (host.paths.groups / "neighbour" / "diary.md", neighbour.folder.inbound_db,
                 host.paths.central_db, host.paths.secrets / "anthropic-api-key"):  # fmt: skip
        assert path.exists()
        assert host.attack(attacker, attack_inside.read, str(path)) == "ENOENT"


def test_key_is_nowhere_in_the_container(host: AttackHost, attacker: TestSession) -> None:
    assert host.attack(attacker, attack_inside.find, KEY) == []


# --- what lies in out/ ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["link", "second name", "pipe", "socket", "folder", "giant", "folder is a link"]
)
def test_planted_file_is_not_sent(
    host: AttackHost, attacker: TestSession, neighbour: TestSession, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("PRIVATE KEY")
    message_id = f"gift-{kind.replace(' ', '-')}"

    host.attack(attacker, attack_files.plant_file, message_id, kind, str(secret))

    host.wait_for_log("files not taken", message_id)
    host.delivery(attacker, message_id)
    spool = host.paths.channel("cli") / "spool"
    assert [
        path for path in spool.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()
    ] == []
    assert secret.read_text() == "PRIVATE KEY"
    host.unharmed(neighbour)


REPLACED = {
    "link": "not_regular", "second name": "linked", "pipe": "not_regular", "folder": "not_regular",
    "text": "corrupt", "giant": "too_large", "endless view": "bad_schema",
}  # fmt: skip


@pytest.mark.parametrize("kind", REPLACED)
def test_replaced_database_is_refused(host: AttackHost, neighbour: TestSession, kind: str) -> None:
    session = host.another()
    target = host.paths.central_db
    before = target.stat().st_ino

    host.attack(session, attack_files.replace_database, kind, str(target))

    host.wait_for_log("outbound refused", session.id, REPLACED[kind])
    host.unharmed(neighbour)
    assert target.stat().st_ino == before
    docker("kill", "-s", "KILL", session.wait_until_running())


def test_database_under_ever_new_inodes_repeats_nothing(
    host: AttackHost, neighbour: TestSession
) -> None:
    session = host.another()

    host.attack(session, attack_files.other_inode, "5")

    host.delivery(session, "inode-4")
    with host.database() as conn:
        rows = conn.execute(
            "SELECT message_out_id FROM deliveries WHERE session_id = ?", (session.id,)
        ).fetchall()
    ids = [row[0] for row in rows]
    assert len(ids) == len(set(ids)) == 6
    host.unharmed(neighbour)
    docker("kill", "-s", "KILL", session.wait_until_running())


def test_planted_journal_deletes_no_file_of_the_host(
    host: AttackHost, neighbour: TestSession, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    session = host.another()

    host.attack(session, attack_files.journal, str(victim))

    host.wait_for_log("outbound refused", session.id, "journal")
    host.unharmed(neighbour)
    assert victim.read_text() == "precious"
    docker("kill", "-s", "KILL", session.wait_until_running())


def test_read_lock_on_the_inbox_delays_nobody_and_ends_its_holder(
    host: AttackHost, neighbour: TestSession
) -> None:
    session = host.another()
    container = session.wait_until_running()

    with host.attacking(session, attack_inside.hold_read_lock):
        host.unharmed(neighbour)
        wait_until(
            lambda: session.row().container_id != container or not session.row().is_running,
            within=40,
            what="the holder is stopped",
        )

    host.wait_for_log(session.id, "holds a lock on its files")
    host.unharmed(neighbour)


def test_large_row_is_refused(
    host: AttackHost, attacker: TestSession, neighbour: TestSession
) -> None:
    host.attack(attacker, attack_files.huge_row, "large", "2")

    state, error = host.delivery(attacker, "large")
    assert (state, "more than 1048576 bytes" in error) == ("failed", True)
    host.unharmed(neighbour)


@pytest.mark.parametrize("megabytes", [20, 70])
def test_huge_row_has_its_whole_file_refused(
    host: AttackHost, neighbour: TestSession, megabytes: int
) -> None:
    session = host.another()

    host.attack(session, attack_files.huge_row, "huge", str(megabytes))

    host.wait_for_log("outbound refused", session.id)
    host.unharmed(neighbour)
    with host.database() as conn:
        count = conn.execute(
            "SELECT count(*) FROM deliveries WHERE session_id = ? AND message_out_id = 'huge'",
            (session.id,),
        ).fetchone()[0]
    assert count == 0
    docker("kill", "-s", "KILL", session.wait_until_running())


BOMBS = {
    "deep lists": "failed", "deep objects": "failed", "long number": "failed",
    "many keys": "failed", "infinity": "failed", "not text": "failed", "half a character": "sent",
}  # fmt: skip
"""The last one is mended on the way and reaches the chat as a text."""


@pytest.mark.parametrize("kind", BOMBS)
def test_json_bomb_goes_off_nowhere(
    host: AttackHost, attacker: TestSession, neighbour: TestSession, kind: str
) -> None:
    message_id = f"bomb-{kind.replace(' ', '-')}"

    host.attack(attacker, attack_files.bomb, message_id, kind)

    assert host.delivery(attacker, message_id)[0] == BOMBS[kind]
    host.unharmed(neighbour)


def test_memory_that_is_a_link_brings_no_file_of_the_host(
    host: AttackHost, neighbour: TestSession, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host-secret-marker-9d1b")
    session = host.another()
    host.attack(session, attack_files.change_instructions, str(secret))
    docker("kill", "-s", "KILL", session.wait_until_running())
    session.wait_until_settled()

    session.ask("m2", "again")

    session.wait_for_answer("You said: again", within=30)
    assert host.attack(session, attack_inside.find, "host-secret-marker-9d1b") == []
    assert secret.read_text() == "host-secret-marker-9d1b"
    host.unharmed(neighbour)

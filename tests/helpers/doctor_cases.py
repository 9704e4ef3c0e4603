"""How each check of the doctor is made to find something, and how that is mended.

``mend`` None: the printed fix is run in a shell, with ``stdin``. Other fixes need root, another
machine, or a person; for those the cause is taken away in the same place where it was put.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from helpers.doctor_room import GIB, NOW, DoctorRoom, service_status

from contract.clock import to_text, utc_now
from nanoclaw import audit, audit_head
from nanoclaw.backup import catalog
from nanoclaw.backup.retention import parse_keep
from nanoclaw.channels.state_file import ConnectionState
from nanoclaw.config import load_config
from nanoclaw.containers.network import NetworkFacts, write_network
from nanoclaw.db import migrations
from nanoclaw.db.connection import SCHEMA_NUMBER, open_central
from nanoclaw.doctor.checks import databases, disk, service, sessions
from nanoclaw.doctor.facts import ServiceView
from nanoclaw.secret_store.entries import Kind
from nanoclaw.secret_store.store import open_store
from nanoclaw.service.kinds import Kind as ServiceKind
from nanoclaw.service.kinds import ManagerState
from nanoclaw.service.peers import Peer
from nanoclaw.supervise.status import ChildStatus
from nanoclaw.vault import library

Act = Callable[[DoctorRoom], object]
GOOD = ChildStatus("vault", wanted=True, state="running")
BAD = ChildStatus("vault", wanted=True, state="backoff", reason="no port", restarts=9)
FUTURE = "2999-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Case:
    id: str
    hurt: Act
    mend: Act | None = None
    stdin: str = ""


def machine(**changes: object) -> Act:
    return lambda r: setattr(r, "machine", replace(r.machine, **changes))  # type: ignore[arg-type] # of a test


def info(key: str, value: object) -> Act:
    return lambda r: r.answers["/info"].__setitem__(key, value)


def image(key: str, value: object) -> Act:
    return lambda r: r.answers["/images/json"][0].__setitem__(key, value)


def sql(statement: str, *values: object) -> Act:
    return lambda r: r.sql(statement, *values)


def status(**changes: object) -> Act:
    return lambda r: setattr(r, "service", ServiceView(service_status(**changes)))


def attribute(name: str, value: object) -> Act:
    return lambda r: setattr(r, name, value)


def both(*acts: Act) -> Act:
    return lambda r: [act(r) for act in acts]


def env(text: str) -> Act:
    def write(room: DoctorRoom) -> None:
        room.paths.env_file.write_text(text)
        room.paths.env_file.chmod(0o600)

    return write


def configured(**settings: str) -> Act:
    return lambda r: r.configure(**settings)


def limit(module: object, name: str, value: object) -> Act:
    return lambda r: r.monkeypatch.setattr(module, name, value)


def delivery(state: str) -> Act:
    return sql(
        "INSERT INTO deliveries (delivery_id, message_out_id, seq, source, instance, platform_id,"
        " kind, content, completes, state, next_attempt_at, created_at, updated_at, expires_at)"
        " VALUES ('d', 'd', 1, 'host', 'cli', 'local', 'chat', '{}', 0, ?, ?, ?, ?, ?)",
        state, NOW, NOW, to_text(utc_now()), FUTURE,
    )  # fmt: skip


def group_chat(room: DoctorRoom) -> None:
    room.sql("INSERT INTO messaging_groups (id, channel_type, platform_id, is_group, created_at)"
             " VALUES ('mg-9', 'telegram', '-5', 1, ?)", NOW)  # fmt: skip


def second_agent(room: DoctorRoom) -> None:
    room.sql("INSERT INTO agent_groups (id, name, folder, created_at) VALUES ('ag-2', 'b', 'b', ?)",
             NOW)  # fmt: skip
    room.sql("INSERT INTO messaging_group_agents (id, messaging_group_id, agent_group_id,"
             " created_at) SELECT 'w-2', messaging_group_id, 'ag-2', created_at"
             " FROM messaging_group_agents LIMIT 1")  # fmt: skip


def service_row(secret: str) -> Act:
    return sql("INSERT INTO services (name, kind, header, template, secret, all_groups, created_at,"
               " updated_at, updated_by) VALUES ('git', 'header', 'authorization', 'B {secret}', ?,"
               " 1, ?, ?, 'host')", secret, NOW, NOW)  # fmt: skip


def token(room: DoctorRoom) -> None:
    store = open_store(load_config(home=room.home, environment={}))
    store.put(
        "git-token", json.dumps({"access_token": "a", "expires_at": 5}), Kind.OAUTH, utc_now()
    )


def audit_rows(room: DoctorRoom) -> None:
    """Three, and nothing left that guards them."""
    conn = open_central(room.paths.central_db)
    for number in range(3):
        audit.record(conn, audit.AuditEntry("k", "host", str(number), {}), utc_now())
    audit_head.keep(conn, room.paths.audit, utc_now())
    names = [
        row[0]
        for row in conn.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit'"
        )
    ]
    for name in names:
        conn.execute(f"DROP TRIGGER {name}")
    conn.close()


def older_schema(room: DoctorRoom) -> None:
    room.paths.central_db.unlink()
    with room.monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:-1])
        conn = open_central(room.paths.central_db)
        migrations.migrate(conn)
        conn.close()


def damage(room: DoctorRoom) -> None:
    data = bytearray(room.paths.central_db.read_bytes())
    data[8192:40960] = b"\xff" * (40960 - 8192)
    room.paths.central_db.write_bytes(data)


def restore(room: DoctorRoom) -> None:
    done = room.run(f"nanoclaw backup restore {room.backup.path} --yes --home {room.home}")
    assert done.returncode == 0, done.stderr


def long_log(room: DoctorRoom) -> None:
    room.monkeypatch.setattr(databases, "LARGE_LOG", 0)
    room.kept = open_central(room.paths.central_db)
    room.kept.execute("CREATE TABLE junk (x)")


def empty_pages(room: DoctorRoom) -> None:
    room.monkeypatch.setattr(databases, "MANY_BYTES", 1)
    room.sql("CREATE TABLE junk (x)")
    room.sql("INSERT INTO junk VALUES (zeroblob(5000000))")
    room.sql("DROP TABLE junk")


def large_output(room: DoctorRoom) -> None:
    room.monkeypatch.setattr(sessions, "LARGE_OUTPUT", 10)
    room.session()
    (room.paths.session(room.group_id, "sess-1") / "out" / "outbound.db").write_bytes(b"x" * 20)


def old_log(room: DoctorRoom) -> None:
    room.monkeypatch.setattr(disk, "LARGE_LOGS", 0)
    path = room.paths.session_log("sess-1")
    path.write_text("line\n")
    os.utime(path, (0, 0))


def dead_socket(room: DoctorRoom) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(room.paths.run, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{here}/ncl.sock")
        finally:
            os.close(here)


def old_path(folder: str, name: str, *, is_folder: bool = False) -> Act:
    def make(room: DoctorRoom) -> None:
        path = room.home / folder / name
        if is_folder:
            path.mkdir(parents=True)
        else:
            path.write_text("x" * 5000)
        os.utime(path, (0, 0))

    return make


def closed_port(room: DoctorRoom) -> None:
    room.listener = socket.socket()
    room.listener.bind(("127.0.0.1", 0))
    room.online = True
    room.configure(anthropic_base_url=f"http://127.0.0.1:{room.listener.getsockname()[1]}")


def listen(room: DoctorRoom) -> None:
    assert room.listener is not None
    room.listener.listen()


def wrong_way(room: DoctorRoom) -> None:
    write_network(room.paths, NetworkFacts("socket", "probe", "auto", "unix:///other", "i"))


def lifeless_agent(room: DoctorRoom) -> None:
    room.host_up()
    room.session(container_status="running", lease_owner="x", lease_expires_at=NOW)


def move_home(room: DoctorRoom) -> None:
    room.home.rename(room.home.with_name("elsewhere"))


def not_installed() -> Act:
    return status(manager=ManagerState(installed=False, active=False))


def clock(offset: timedelta) -> Act:
    return both(attribute("online", True),
                limit(service, "_their_time", lambda address: utc_now() + offset))  # fmt: skip


def peers(*found: Peer) -> Act:
    return lambda r: setattr(r, "service", ServiceView(service_status(), found))


HOST = (
    Case("host-python", machine(python=(3, 9)), machine(python=(3, 13))),
    Case("host-sqlite", machine(sqlite=(3, 30, 0)), machine(sqlite=(3, 45, 0))),
    Case("host-search", machine(fts5=False), machine(fts5=True)),
    Case("host-memory", machine(memory_bytes=GIB // 2), machine(memory_bytes=GIB)),
    Case("host-cpus", machine(cpus=1), machine(cpus=2)),
    Case("host-files", machine(open_files=256), machine(open_files=4096)),
    Case("host-watches", machine(watches=100), machine(watches=65536)),
    Case("host-letters", machine(encoding="ISO-8859-1"), machine(encoding="utf8")),
    Case("host-zones", attribute("timezone", "Nowhere/Land"), attribute("timezone", "UTC")),
)
HOME = (
    Case("config-valid", configured(nonsense="1"), configured()),
    Case("config-env-secrets", env("GITHUB_TOKEN=abc\n"), env("")),
    Case("config-env-old", env("IDLE_TIMEOUT=5\nLOG_LEVEL=info\n")),
    Case("config-timezone", configured(timezone="UTC"), configured()),
    Case("home-there", move_home, lambda r: r.home.with_name("elsewhere").rename(r.home)),
    Case("home-owner", machine(uid=12345), machine(uid=os.getuid())),
    Case("home-mode", lambda r: r.home.chmod(0o777)),
    Case("home-folders", lambda r: shutil.rmtree(r.paths.run)),
    Case("home-private", lambda r: r.paths.central_db.chmod(0o644)),
    Case("home-secrets", lambda r: (r.paths.secrets / "anthropic-api-key").chmod(0o644)),
    Case("home-foreign", machine(uid=12345), machine(uid=os.getuid())),
)
ENGINE = (
    Case("engine-answers", lambda r: r.stop_engine(), lambda r: r.start_engine()),
    Case("engine-permission", attribute("usable", False), attribute("usable", True)),
    Case("engine-version", lambda r: r.answers.update({"/version": {"ApiVersion": "1.30"}}),
         lambda r: r.answers.update({"/version": {"ApiVersion": "1.41"}})),
    Case("engine-cgroup", info("CgroupVersion", "1"), info("CgroupVersion", "2")),
    Case("engine-seccomp", info("SecurityOptions", []), info("SecurityOptions", ["name=seccomp"])),
    Case("engine-limits", info("PidsLimit", False), info("PidsLimit", True)),
    Case("engine-storage", info("Driver", "vfs"), info("Driver", "overlay2")),
    Case("engine-disk", attribute("free", GIB), attribute("free", 50 * GIB)),
    Case("engine-rootless", info("SecurityOptions", ["name=seccomp", "name=rootless"]),
         info("SecurityOptions", ["name=seccomp"])),
    Case("engine-sandbox", configured(runtime="process"), configured(runtime="docker")),
    Case("engine-strays",
         lambda r: r.answers["/containers/json"].append(
             {"Id": "abc", "Labels": {"nanoclaw-session": "sess-gone"}}),
         lambda r: r.answers["/containers/json"].clear()),
    Case("image-there", lambda r: r.answers.update({"/images/json": []}),
         lambda r: r.answers.update({"/images/json": [{"Id": "x"}]})),
    Case("image-age", image("Created", 5), image("Created", int(utc_now().timestamp()))),
    Case("image-size", image("Size", 10 * GIB), image("Size", GIB)),
    Case("network-way", wrong_way),
)  # fmt: skip
VAULT = (
    Case("vault-key", lambda r: (r.paths.secrets / "anthropic-api-key").unlink(),
         stdin="sk-ant-another-test-key-0123456789\n"),
    Case("vault-secrets", lambda r: (r.paths.secrets / "anthropic-api-key").chmod(0o644)),
    Case("vault-runs", lambda r: r.host_up(BAD), lambda r: r.host_up(GOOD)),
    Case("vault-endpoint", closed_port, listen),
    Case("vault-certificate", both(old_path("secrets", "ca", is_folder=True),
                                   old_path("secrets/ca", "authority.json"),
                                   lambda r: (r.paths.authority / "authority.json").chmod(0o600))),
    Case("vault-library", both(service_row("x"), limit(library, "MODULE", "not_there_at_all")),
         limit(library, "MODULE", "json")),
    Case("vault-services", service_row("git-key"), stdin="a-value-that-is-long-enough-0123\n"),
    Case("vault-tokens", token,
         stdin=json.dumps({"access_token": "abcdefghijklmnop", "expires_at": 9e9}) + "\n"),
    Case("budget-set", sql("DELETE FROM budgets"), lambda r: r.budget()),
    Case("budget-left",
         lambda r: r.sql("INSERT INTO spending (scope, period_key, tokens)"
                         " VALUES ('install', ?, 2000)", f"{utc_now():%Y-%m}"),
         sql("UPDATE budgets SET amount = 5000")),
)  # fmt: skip
DATABASES = (
    Case("db-integrity", damage, restore),
    Case("db-newer", sql("PRAGMA user_version = 99"),
         sql(f"PRAGMA user_version = {SCHEMA_NUMBER}")),
    Case("db-older", older_schema),
    Case("db-keys", lambda r: r.session(agent_group_id="ag-gone")),
    Case("db-references",
         sql("INSERT INTO budgets (scope, subject, period, unit, amount, updated_at, updated_by)"
             " VALUES ('group', 'ag-gone', 'day', 'tokens', 1, ?, 'host')", NOW)),
    Case("db-log", long_log, lambda r: r.cure("db-log")),
    Case("db-pages", empty_pages, lambda r: r.cure("db-pages")),
    Case("db-audit", both(audit_rows, sql("UPDATE audit SET detail = '[]' WHERE subject = '1'")),
         sql("UPDATE audit SET detail = '{}' WHERE subject = '1'")),
    Case("db-audit-end", both(audit_rows, sql("DELETE FROM audit WHERE subject = '2'"))),
    Case("db-search", old_path("data", "search.db")),
)  # fmt: skip
SESSIONS = (
    Case("session-folders", lambda r: r.session(folder=False)),
    Case("session-strays", old_path("data/v2-sessions/ag-x", "sess-gone", is_folder=True)),
    Case("session-quarantine", lambda r: r.session(quarantined_at=NOW, quarantine_reason="why")),
    Case("session-failing", lambda r: r.session(container_failures=4, container_error="no image")),
    Case("session-leases", lifeless_agent, sql("UPDATE sessions SET lease_owner = NULL")),
    Case("session-output", large_output,
         lambda r: (r.paths.session(r.group_id, "sess-1") / "out" / "outbound.db").unlink()),
    Case("session-space", both(lambda r: r.session(),
                               sql("INSERT INTO disk_excess VALUES ('sess-1', 5, ?)", NOW)),
         sql("DELETE FROM disk_excess")),
    Case("session-earlier", lambda r: r.session(converted=0),
         sql("UPDATE sessions SET converted = 1")),
    Case("message-uncertain", delivery("uncertain"), sql("UPDATE deliveries SET state = 'sent'")),
    Case("message-failed", delivery("failed"), sql("UPDATE deliveries SET state = 'sent'")),
    Case("message-overdue", both(delivery("queued"), lambda r: r.host_up()),
         sql("UPDATE deliveries SET state = 'sent'")),
    Case("message-unrouted",
         both(sql("INSERT INTO inbound_events (instance, event_key, received_at, state, outcome)"
                  " VALUES ('cli', 'k', ?, 'committed', 'routed')", NOW), lambda r: r.host_up()),
         sql("UPDATE inbound_events SET state = 'routed'")),
)  # fmt: skip
CHANNELS = (
    Case("channel-connected",
         both(lambda r: r.host_up(), lambda r: r.channel(ConnectionState.AUTH_FAILED)),
         lambda r: r.channel(ConnectionState.CONNECTED)),
    Case("channel-state", old_path("run", "channel-x.json")),
    Case("chat-agents", second_agent, sql("DELETE FROM messaging_group_agents WHERE id = 'w-2'")),
    Case("chat-unwired", group_chat, sql("DELETE FROM messaging_groups WHERE id = 'mg-9'")),
    Case("owner-there", both(group_chat, sql("DELETE FROM user_roles")),
         sql("INSERT INTO user_roles (user_id, role, granted_at) VALUES ('u', 'owner', ?)", NOW)),
    Case("agent-folders", both(lambda r: r.session(out_seq=1),
                               lambda r: shutil.rmtree(r.paths.groups / r.group_folder))),
)  # fmt: skip
SERVICE = (
    Case("service-installed", not_installed(), status()),
    Case("service-current", status(notes=("x is not what this program would write; y",)), status()),
    Case("service-runs", status(running=False), status()),
    Case("service-linger", status(linger=False), status()),
    Case("service-others", peers(Peer("nanoclaw-2", ServiceKind.SYSTEMD_USER, "failed", True)),
         peers()),
    Case("host-children", lambda r: r.host_up(BAD), lambda r: r.host_up(GOOD)),
    Case("host-restarts", lambda r: r.host_up(BAD), lambda r: r.host_up(GOOD)),
    Case("clock-back", both(audit_rows, sql("UPDATE audit SET at = ?", FUTURE)),
         sql("UPDATE audit SET at = ?", NOW)),
    Case("clock-skew", clock(timedelta(hours=1)), clock(timedelta(0))),
)  # fmt: skip
DISK = (
    Case("disk-free", attribute("free", 5), attribute("free", 5 * GIB)),
    Case("disk-reserve", lambda r: r.paths.reserve_file.unlink(),
         lambda r: r.paths.reserve_file.write_bytes(b"x")),
    Case("disk-logs", old_log),
    Case("backup-age", lambda r: r.backup.path.unlink()),
    Case("backup-broken", old_path("backups", "nanoclaw-2026-01-01-x.tar.gz")),
    Case("backup-proof", lambda r: (r.paths.backups / "proof.json").unlink(), lambda r: r.prove()),
    Case("backup-schedule", configured(backup_every="off"), configured()),
    Case("left-sockets", dead_socket),
    Case("left-files", old_path("data", "reserve.new")),
    Case("left-backups", old_path("backups", ".creating-1", is_folder=True)),
    Case("left-runners", both(old_path("runtime", "a", is_folder=True),
                              lambda r: (r.paths.runtime / "b").mkdir())),
    Case("left-aside", both(old_path("", "before-restore-x", is_folder=True),
                            limit(catalog, "ASIDE_DAYS", -1)),  # nobody can set its ctime
         lambda r: catalog.prune(r.paths, parse_keep("7,4,6"), utc_now())),
)  # fmt: skip
CASES = (*HOST, *HOME, *ENGINE, *VAULT, *DATABASES, *SESSIONS, *CHANNELS, *SERVICE, *DISK)

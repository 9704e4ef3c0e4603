"""A healthy installation with an engine, a machine and a service that answer as a test wants."""

import json
import os
import shlex
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
from helpers.central import make_home

from contract.clock import to_text, utc_now
from nanoclaw.backup.create import Created, create
from nanoclaw.backup.proof import Proof, write_proof
from nanoclaw.backup.sources import Wanted
from nanoclaw.channels.state_file import ChannelState, ConnectionState
from nanoclaw.cli.doctor import fix_of
from nanoclaw.config import load_config
from nanoclaw.containers.recipe import read_recipe
from nanoclaw.doctor.base import Finding
from nanoclaw.doctor.facts import Facts, Machine, ServiceView
from nanoclaw.doctor.run import State, cure, examine
from nanoclaw.doctor.table import BY_ID
from nanoclaw.paths import HostPaths
from nanoclaw.service.kinds import ManagerState, ServiceStatus
from nanoclaw.supervise.instance import InstanceLock, take_instance_lock
from nanoclaw.supervise.status import ChildStatus, HostStatus, write_status

ROOT = Path(__file__).parent.parent.parent
NOW = "2026-01-01T00:00:00.000Z"
GOOD_MACHINE = Machine((3, 11), (3, 45, 0), True, 8 << 30, 4, 4096, 65536, "UTF-8", os.getuid())
GIB = 1 << 30


class _Engine(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answers: dict[str, Any]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode().partition("?")[0]
        while self.rfile.readline().strip():
            pass
        answers = cast("_Engine", self.server).answers
        body = json.dumps(answers.get(path, {})).encode()
        status = b"200 OK" if path in answers else b"404 Not Found"
        self.wfile.write(b"HTTP/1.0 " + status + b"\r\nApi-Version: 1.45\r\n\r\n" + body)


class DoctorRoom:
    """Closed by the fixture."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        config, conn = make_home(folder)
        self.home, self.paths = config.home, HostPaths(config.home)
        self.group_id = str(conn.execute("SELECT id FROM agent_groups").fetchone()[0])
        self.group_folder = str(conn.execute("SELECT folder FROM agent_groups").fetchone()[0])
        conn.close()
        self.machine, self.free, self.online, self.usable = GOOD_MACHINE, 100 * GIB, False, True
        self.timezone = ""
        self.service = ServiceView(service_status())
        self.socket = Path("/tmp") / f"nc-doctor-{os.getpid()}.sock"  # paths of sockets are short
        self.lock: InstanceLock | None = None
        self.listener: socket.socket | None = None
        self.kept: sqlite3.Connection | None = None
        self.configure()
        self.answers: dict[str, Any] = {
            "/_ping": "OK",
            "/version": {"ApiVersion": "1.45"},
            "/info": {"CgroupVersion": "2", "SecurityOptions": ["name=seccomp,profile=builtin"],
                      "MemoryLimit": True, "Driver": "overlay2", "DockerRootDir": str(folder)},
            "/images/json": [{"Id": "sha256:1", "Created": int(utc_now().timestamp()),
                              "Size": GIB, "RepoTags": ["a:b"]}],
            "/containers/json": [],
        }  # fmt: skip
        self.server: _Engine | None = None
        self.start_engine()
        key = self.paths.secrets / "anthropic-api-key"
        key.write_text("sk-test-key-that-is-long-enough")
        key.chmod(0o600)
        (self.paths.groups / self.group_folder).mkdir(exist_ok=True)
        self.budget()
        self.paths.reserve_file.write_bytes(b"x")
        self.backup = self.back_up()
        self.prove()
        read_recipe(load_config(home=self.home, environment={}))

    def close(self) -> None:
        self.host_down()
        self.stop_engine()
        for thing in (self.listener, self.kept):
            if thing is not None:
                thing.close()

    # --- the pieces -------------------------------------------------------------------------------

    def start_engine(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.server = _Engine(str(self.socket), _Handler)
        self.server.answers = self.answers
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop_engine(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        self.socket.unlink(missing_ok=True)

    def configure(self, **settings: str) -> None:
        values = {"docker_host": f"unix://{self.socket}", "timezone": "Europe/Berlin", **settings}
        lines = [f'{key} = "{value}"\n' for key, value in values.items()]
        self.paths.config_file.write_text("".join(lines))
        self.paths.config_file.chmod(0o600)

    def sql(self, statement: str, *values: object) -> None:
        """Without foreign keys, as a damaged or foreign program would."""
        conn = sqlite3.connect(self.paths.central_db)
        with conn:
            conn.execute(statement, values)
        conn.close()

    def budget(self) -> None:
        self.sql(
            "INSERT INTO budgets (scope, subject, period, unit, amount, updated_at, updated_by)"
            " VALUES ('install', '', 'month', 'tokens', 1000, ?, 'host')",
            NOW,
        )

    def back_up(self) -> Created:
        config = load_config(home=self.home, environment={})
        return create(config, Wanted(), utc_now(), lambda name, done: None)

    def prove(self) -> None:
        now = to_text(utc_now())
        write_proof(self.paths.backups, Proof("b", now, now, 1, 1.0))

    def session(self, session_id: str = "sess-1", *, folder: bool = True, **values: object) -> None:
        from nanoclaw.sessions.folder import SessionFolder

        self.sql(
            "INSERT INTO sessions (id, agent_group_id, created_at) VALUES (?, ?, ?)",
            session_id,
            self.group_id,
            NOW,
        )
        for key, value in values.items():
            self.sql(f"UPDATE sessions SET {key} = ? WHERE id = ?", value, session_id)
        if folder:
            SessionFolder.of(self.paths, self.group_id, session_id).create()

    def host_up(self, *children: ChildStatus) -> None:
        if self.lock is None:
            self.lock = take_instance_lock(self.paths)
        now = to_text(utc_now())
        status = HostStatus("1", os.getpid(), "running", now, now, children)
        write_status(self.paths.status_file, status)

    def host_down(self) -> None:
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def channel(self, state: ConnectionState) -> None:
        found = ChannelState(instance="tg", kind="tg", pid=1, state=state)
        self.paths.channel_state_file("tg").write_text(json.dumps(asdict(found)))

    # --- looking and mending ----------------------------------------------------------------------

    def facts(self) -> Facts:
        from nanoclaw.doctor.facts import read_facts

        facts = read_facts(self.home, online=self.online)
        facts.machine = self.machine
        facts.look_at_service = lambda facts: self.service
        facts.may_use = lambda path: self.usable
        facts.free_bytes = lambda path: self.free
        if self.timezone:
            facts.config = replace(facts.config, timezone=self.timezone)
        return facts

    def find(self, check_id: str) -> Finding | None:
        outcome = examine(self.facts(), [BY_ID[check_id]])[0]
        assert outcome.state is not State.FAILED, outcome.reason
        return outcome.finding

    def fix(self, check_id: str) -> str:
        facts = self.facts()
        outcome = examine(facts, [BY_ID[check_id]])[0]
        assert outcome.finding is not None
        assert not outcome.finding.by_hand
        return fix_of(facts, outcome)

    def cure(self, check_id: str) -> None:
        """Where a limit was lowered for the test, which a new process would not know."""
        facts = self.facts()
        cure(facts, examine(facts, [BY_ID[check_id]]))

    def run(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The printed line, as somebody would paste it into a shell."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / "nanoclaw"
        words = f"exec {shlex.quote(sys.executable)} -m nanoclaw"
        program.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))}\n{words} "$@"\n')
        program.chmod(0o755)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-c", command], input=stdin, capture_output=True, text=True,
                              check=False, env=environment, timeout=120)  # fmt: skip


def service_status(**changes: Any) -> ServiceStatus:
    state = ManagerState(installed=True, active=True, text="active")
    status = ServiceStatus("systemd-user", "nanoclaw-1", "/x", "/home", running=True, answers=True,
                           manager=state, linger=True)  # fmt: skip
    return replace(status, **changes)

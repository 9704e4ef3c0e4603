"""A whole host with a hostile agent and a neighbour, each in a real container with a door.

Made once for all tests of ``tests/docker/test_attacks.py``. Attacks are functions of the modules
``attack_inside``, ``attack_door`` and ``attack_files``; they run in the container as the agent's
own user. ``unharmed`` is what must hold after each of them.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers.engine import SweepProcess, TestSession, remove_containers
from helpers.host import Host
from helpers.terminal import Terminal
from helpers.vault_upstream import FakeUpstream
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.config import parse_session_config
from contract.ids import new_id
from contract.jsontext import dump
from nanoclaw.db import container_configs, messaging_groups, sessions, wirings
from nanoclaw.db.connection import transaction
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.model import AgentGroup, EgressMode, EngageMode, NewSession, SessionMode, Wiring
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.sessions.new_group import create_agent_group

IMAGE = "nanoclaw-agent-test"
PYTHON = "/opt/nanoclaw/bin/python"
KEY = "sk-ant-api03-attack-marker-5f4e3d2c"
DIARY = "neighbours-diary-marker-41c7"
ALLOWED = "files.example.test:443"
FIRST_START_SECONDS = 600
"""The first test of a run may build the image."""


class AttackHost(SweepProcess):
    """A context manager; ``start_all`` is separate because it may take long."""

    def __init__(self, folder: Path, upstream: FakeUpstream) -> None:
        super().__init__(folder, runtime="docker", image_base=IMAGE)
        self.paths.secrets.mkdir(mode=0o700, exist_ok=True)
        key = self.paths.secrets / "anthropic-api-key"
        key.write_text(KEY + "\n")
        key.chmod(0o600)
        self.upstream = upstream
        self.host = Host(
            self.config.home,
            command=(sys.executable, "-m", "helpers.crash_host", "--runtime", "docker"),
            environment={"ANTHROPIC_BASE_URL": upstream.url},
        )
        self.terminal = Terminal(self.paths.socket("cli"))
        self._pids: dict[str, int] = {}
        self._numbers = 0

    def __enter__(self) -> "AttackHost":
        return self

    def __exit__(self, *_: object) -> None:
        self.terminal.close()
        self.host.stop()
        remove_containers(self.paths.slug)

    def start_all(self) -> tuple[TestSession, TestSession]:
        """The attacker, whose egress is wide open, and the neighbour, with one allowed host."""
        self.configure(
            ContainerConfigChange(
                provider="scripted", egress_mode=EgressMode.OPEN, script=dump([_looks_around()])
            )
        )
        attacker = self.new_session()
        neighbour = self._session_of(self._new_neighbour())
        self.host.start()
        self.terminal.connect()
        for session in (attacker, neighbour):
            session.ask("first", f"hello {DIARY}" if session is neighbour else "hello")
            session.wait_until_running(within=FIRST_START_SECONDS)
            wait_until(session.texts, within=30, what="it has answered")
            wait_until(self.door_of(session).exists, within=15, what="its door is open")
        self._pids = self.host.pids()
        return attacker, neighbour

    def another(self) -> TestSession:
        """A further session of the attacker's group, running."""
        session = self.new_session()
        session.ask("first", "hello")
        session.wait_for_answer("You said: hello", within=60)
        return session

    def _new_neighbour(self) -> AgentGroup:
        now = utc_now()
        with self.database() as conn, transaction(conn):
            group = create_agent_group(conn, "Neighbour", now)
            change = ContainerConfigChange(
                provider="scripted", egress_mode=EgressMode.ALLOWLIST, egress_allow=(ALLOWED,)
            )
            container_configs.update(conn, group.id, change, now)
            chat = messaging_groups.find_by_address(conn, "cli", "local")
            assert chat is not None
            wiring = Wiring(
                new_id("mga"), chat.id, group.id, now,
                engage_mode=EngageMode.PATTERN, engage_pattern="never said",
            )  # fmt: skip
            wirings.create(conn, wiring)
        folder = self.paths.groups / group.folder
        folder.mkdir(mode=0o755, parents=True)
        (folder / "diary.md").write_text(f"{DIARY}\n")
        return group

    def _session_of(self, group: AgentGroup) -> TestSession:
        with self.database() as conn:
            chat = messaging_groups.find_by_address(conn, "cli", "local")
            assert chat is not None
            name = "sess-1-neighb"
            sessions.create(
                conn,
                NewSession(
                    name, group.id, chat.id, None, SessionMode.SHARED, "neighbour", utc_now()
                ),
            )
        folder = SessionFolder.of(self.paths, group.id, name)
        folder.create()
        return TestSession(self, name, folder)

    # --- attacks ----------------------------------------------------------------------------------

    def attack(self, session: TestSession, act: Callable[..., Any], *words: str) -> Any:
        """Runs one function of an attack module in the session's container; what it returned."""
        done = subprocess.run(
            _command(session, act, words), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{act.__name__}: {done.stderr}"
        return json.loads(done.stdout)

    @contextmanager
    def attacking(
        self, session: TestSession, act: Callable[..., Any], *words: str
    ) -> Iterator[None]:
        """One that goes on meanwhile; begun when it has said so, over when its input is closed."""
        process = subprocess.Popen(
            _command(session, act, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(30)

    # --- what is looked at ------------------------------------------------------------------------

    def token_of(self, session: TestSession) -> str:
        door = parse_session_config((session.folder.in_dir / "session.json").read_text()).door
        assert door is not None
        return door.token

    def door_of(self, session: TestSession) -> Path:
        """The host's side of its socket."""
        door_id = self._value("SELECT folder FROM doors WHERE session_id = ?", session.id)
        return self.paths.doors / str(door_id) / "vault.sock"

    def delivery(self, session: TestSession, message_id: str) -> tuple[str, str]:
        """State and last error of a message, once the host has taken it in."""

        def look() -> list[Any]:
            self.terminal.receive(0.02)
            with self.database() as conn:
                return conn.execute(
                    "SELECT state, coalesce(last_error, '') FROM deliveries"
                    " WHERE session_id = ? AND message_out_id = ? AND state IN ('sent', 'failed')",
                    (session.id, message_id),
                ).fetchall()

        (row,) = wait_until(look, within=30, what=f"{message_id} is settled")
        return str(row[0]), str(row[1])

    def _value(self, question: str, *values: str) -> object:
        with self.database() as conn:
            row = conn.execute(question, values).fetchone()
        return None if row is None else row[0]

    def logged(self, *parts: str) -> list[str]:
        """Lines of the host's log that contain all of these."""
        return [line for line in self.log().splitlines() if all(part in line for part in parts)]

    def wait_for_log(self, *parts: str, within: float = 30) -> str:
        lines = wait_until(lambda: self.logged(*parts), within=within, what=f"logged: {parts}")
        return lines[-1]

    def unharmed(self, neighbour: TestSession) -> None:
        """The neighbour is answered, no process of the host has ended, nothing was unforeseen."""
        self._numbers += 1
        text = f"still there {self._numbers}?"
        neighbour.ask(f"again-{self._numbers}", text)
        neighbour.wait_for_answer(f"You said: {text}", within=30)
        assert {name: self.host.pids().get(name) for name in self._pids} == self._pids
        assert self.logged("Traceback") == []


def _looks_around() -> dict[str, object]:
    command = f"{PYTHON} /workspace/agent/attack_inside.py place"
    call = {"call": {"tool": "bash", "arguments": {"command": command, "timeout_ms": 30_000}}}
    return {"match": "look around", "steps": [call, {"say": "{result}"}]}


def _command(session: TestSession, act: Callable[..., Any], words: tuple[str, ...]) -> list[str]:
    """The module goes along as a word, so that its input stays free."""
    container = session.row().container_id or ""
    file = sys.modules[act.__module__].__file__
    assert file is not None
    source = Path(file).read_text()
    return ["docker", "exec", "-i", container, PYTHON, "-c", source, act.__name__, *words]

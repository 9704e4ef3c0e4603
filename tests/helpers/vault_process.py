"""A real vault process on a throw-away home, with doors, keys and budgets around it."""

import argparse
import hashlib
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from helpers.central import make_home
from helpers.vault_client import DoorClient
from helpers.waiting import wait_until

from contract.clock import utc_now
from nanoclaw.config import load_config
from nanoclaw.db import agent_groups, budgets, doors, messaging_groups, sessions, usage
from nanoclaw.db.budgets import Budget, BudgetPeriod, BudgetScope, BudgetUnit
from nanoclaw.db.connection import open_central
from nanoclaw.db.doors import Door
from nanoclaw.db.usage import UsageRow
from nanoclaw.events import DoorsChanged, Hello, Ok
from nanoclaw.link import Answer, FrameClient, QuietHandler
from nanoclaw.model import NewSession, SessionMode
from nanoclaw.paths import HostPaths
from nanoclaw.reactor import Reactor

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-ant-api03-marker-0a1b2c3d4e5f"


@dataclass(slots=True)
class VaultProcess:
    """A context manager that leaves no process behind."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _numbers: int = 0

    def __enter__(self) -> "VaultProcess":
        config, conn = make_home(self.home)
        conn.close()
        self.home = config.home
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def paths(self) -> HostPaths:
        return HostPaths(self.home)

    def settings(self, **values: str) -> None:
        lines = [f'{key} = "{value}"\n' for key, value in values.items()]
        self.paths.config_file.write_text("".join(lines))

    def key(self, value: str = KEY, *, name: str = "anthropic-api-key", mode: int = 0o600) -> Path:
        path = self.paths.secrets / name
        fresh = path.with_suffix(".new")
        fresh.write_text(value + "\n")
        fresh.chmod(mode)
        fresh.replace(path)
        return path

    # --- the process ------------------------------------------------------------------------------

    def start(self) -> "VaultProcess":
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "helpers.vault_process", "--home", str(self.home)],
            cwd=ROOT, env={**kept, "PYTHONPATH": path, **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == b"ready\n", f"the vault did not start: {self.log()}"
        return self

    def stop(self, within: float = 15) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within)
        self._closed()
        return code

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._closed()

    def wait_for_death(self, within: float = 15) -> None:
        assert self.process is not None
        self.process.wait(within)
        self._closed()

    def _closed(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def log(self) -> str:
        file = self.paths.logs / "nanoclaw.log"
        return file.read_text() if file.exists() else ""

    # --- doors ------------------------------------------------------------------------------------

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        with closing(open_central(self.paths.central_db)) as conn:
            yield conn

    def new_door(self) -> DoorClient:
        """A session whose container would run, and its door; a running vault is told."""
        self._numbers += 1
        session_id = f"sess-1-{self._numbers:06d}"
        with self.database() as conn:
            (group, *_) = agent_groups.list_all(conn)
            chat = messaging_groups.find_by_address(conn, "cli", "local")
            assert chat is not None
            new = NewSession(
                session_id, group.id, chat.id, None, SessionMode.SHARED, session_id, utc_now()
            )
            sessions.create(conn, new)
        return self.open_door(session_id)

    def open_door(self, session_id: str) -> DoorClient:
        """As the sweep does it with every start of the session's container."""
        token, name = secrets.token_urlsafe(32), secrets.token_hex(4)
        with self.database() as conn:
            session = sessions.get(conn, session_id)
            assert session is not None
            lease = sessions.acquire_lease(
                conn, session_id, "test", utc_now(), timedelta(seconds=900)
            )
            assert lease is not None
            digest = hashlib.sha256(token.encode()).hexdigest()
            doors.open_door(
                conn, Door(session_id, session.agent_group_id, name, digest, lease, utc_now())
            )
        path = self.paths.doors / name / "vault.sock"
        if self.process is not None:
            self.nudge()
            wait_until(path.exists, what="the door is open")
        return DoorClient(path, token)

    def close_door(self, session_id: str) -> None:
        with self.database() as conn:
            assert doors.close_door(conn, session_id, utc_now())
        self.nudge()

    def session_of(self, number: int) -> str:
        return f"sess-1-{number:06d}"

    def nudge(self) -> None:
        """Returns when the vault has compared itself with the table."""
        reactor = Reactor()
        answers: list[Answer] = []
        client = FrameClient(
            reactor, self.paths.socket("vault"), Hello("test", "test", 1), QuietHandler()
        )
        client.connect()
        client.request(DoorsChanged(), 10, answers.append)

        def look() -> bool:
            reactor.run_once(0.01)
            return bool(answers)

        wait_until(look, what="the vault answers")
        client.close()
        reactor.close()
        assert answers == [Ok()]

    # --- money ------------------------------------------------------------------------------------

    def budget(
        self,
        amount: int,
        *,
        unit: BudgetUnit = BudgetUnit.TOKENS,
        scope: BudgetScope = BudgetScope.INSTALL,
        subject: str = "",
    ) -> None:
        with self.database() as conn:
            budgets.put(
                conn, Budget(scope, subject, BudgetPeriod.DAY, unit, amount, utc_now(), "test")
            )

    def usage(self) -> list[UsageRow]:
        """Newest first."""
        with self.database() as conn:
            return usage.recent(conn, None, 1000)

    def wait_for_settlement(self, number: int = 1) -> list[UsageRow]:
        wait_until(
            lambda: sum(row.settled_at is not None for row in self.usage()) >= number,
            what=f"{number} settled requests",
        )
        return self.usage()


def main() -> None:
    from nanoclaw.config import HostConfig
    from nanoclaw.log import setup_logging
    from nanoclaw.process import vault
    from nanoclaw.supervise.child import ChildContext

    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    config: HostConfig = load_config(home=parser.parse_args().home, environment={})
    setup_logging(config, "vault")

    def ready() -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    vault.run(ChildContext(config, "vault", ready=ready))


if __name__ == "__main__":
    main()

"""A real sweep process on a throw-away home, and the sessions, messages and engine around it.

``SweepProcess`` runs the composition root itself (``python -m helpers.engine``), with real runners
as child processes or in containers. Everything it starts in an engine carries the label of its own
home; ``remove_containers`` takes away what carries that label and nothing else.
"""

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from helpers.central import make_home
from helpers.waiting import wait_until

from contract.address import Address
from contract.clock import utc_now
from contract.errors import SnapshotError
from contract.inbound.row import InboundRow, NewInbound
from contract.inbound.writer import open_inbound
from contract.jsontext import dump, parse_object
from contract.outbound.row import OutboundRow
from contract.outbound.snapshot import read_snapshot
from nanoclaw.config import HostConfig, load_config
from nanoclaw.containers.spec import COMPILER_LABEL, INSTALL_LABEL
from nanoclaw.db import agent_groups, container_configs, messaging_groups, sessions
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.events import Hello, Ok, StopContainers, Wake
from nanoclaw.link import Answer, FrameClient, QuietHandler
from nanoclaw.model import NewSession, Session, SessionMode
from nanoclaw.reactor import Reactor
from nanoclaw.sessions.folder import SessionFolder

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
CHAT = Address("cli", "local")
HELLO = Hello("test", "test", 1)


class SweepProcess:
    """One home, one sweep. A context manager that leaves no process and no container behind."""

    def __init__(self, home: Path, *, runtime: str = "process", **settings: str) -> None:
        config, conn = make_home(home)
        conn.close()
        self.config: HostConfig = config
        self.paths = config.paths
        self.settings = {"runtime": runtime, **settings}
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    # --- the process ------------------------------------------------------------------------------

    def __enter__(self) -> "SweepProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self.settings["runtime"] == "docker":
            remove_containers(self.paths.slug)

    def start(self, source: Path = ROOT) -> "SweepProcess":
        """``source``: where our packages come from."""
        words = [sys.executable, "-m", "helpers.engine", "--home", str(self.config.home)]
        words += ["--settings", json.dumps(self.settings)]
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        path = os.pathsep.join((str(source), str(ROOT / "tests")))
        self.process = subprocess.Popen(
            words, cwd=source, env={**kept, "PYTHONPATH": path, **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == b"ready\n", f"the sweep did not start: {self.log()}"
        return self

    def copy_of_the_source(self) -> Path:
        """Our packages and the image's recipe in a folder that a test may change."""
        target = self.config.home.parent / "source"
        for name in ("contract", "nanoclaw", "runner", "lock"):
            shutil.copytree(ROOT / name, target / name)
        shutil.copy(ROOT / "Dockerfile", target)
        return target

    def stop(self, within: float = 25) -> int:
        """In order; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within)
        self._closed()
        return code

    def kill(self) -> None:
        """As the kernel would; harmless when it is gone already."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._closed()

    def _closed(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def status(self) -> dict[str, object]:
        """What ``run/sweep.json`` says; empty before it exists."""
        try:
            value = json.loads((self.paths.run / "sweep.json").read_text())
        except (OSError, ValueError):
            return {}
        assert isinstance(value, dict)
        return value

    def log(self) -> str:
        file = self.paths.logs / "nanoclaw.log"
        return file.read_text() if file.exists() else ""

    # --- sessions and messages --------------------------------------------------------------------

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        with closing(open_central(self.paths.central_db)) as conn:
            yield conn

    def new_session(self) -> "TestSession":
        """Another conversation of the first agent, in its terminal chat."""
        with self.database() as conn:
            (group, *_) = agent_groups.list_all(conn)
            chat = messaging_groups.find_by_address(conn, "cli", "local")
            assert chat is not None
            name = uuid.uuid4().hex[:6]
            new = NewSession(
                f"sess-1-{name}", group.id, chat.id, None, SessionMode.SHARED, name, utc_now()
            )
            sessions.create(conn, new)
        folder = SessionFolder.of(self.paths, group.id, new.id)
        folder.create()
        return TestSession(self, new.id, folder)

    def configure(self, change: ContainerConfigChange) -> None:
        """Settings of the first agent's group."""
        with self.database() as conn:
            (group, *_) = agent_groups.list_all(conn)
            container_configs.update(conn, group.id, change, utc_now())

    def script(self, *rules: object) -> None:
        self.configure(ContainerConfigChange(script=dump(list(rules))))

    def wake(self, *session_ids: str, times: int = 1) -> None:
        """Sends the frame as any host process would, and waits until it was taken."""
        self._send([Wake(session_ids)] * times)

    def ask_to_stop(self, *session_ids: str) -> None:
        self._send([StopContainers(session_ids, "a test wants it")])

    def _send(self, frames: list[Wake] | list[StopContainers]) -> None:
        reactor = Reactor()
        client = FrameClient(reactor, self.paths.socket("sweep"), HELLO, QuietHandler())
        client.connect()
        answers: list[Answer] = []
        for frame in frames:
            client.request(frame, 5, answers.append)
        while len(answers) < len(frames):
            reactor.run_once(0.1)
        client.close()
        reactor.close()
        assert all(isinstance(answer, Ok) for answer in answers), answers

    def containers(self) -> list[str]:
        return containers_of(self.paths.slug)

    def deliveries(self) -> list[str]:
        """Texts of everything that the host itself wants to say."""
        with self.database() as conn:
            rows = conn.execute("SELECT content FROM deliveries WHERE source = 'host'").fetchall()
        return [str(parse_object(row[0], max_bytes=100_000)["text"]) for row in rows]


class TestSession:
    """One session as its router, its chat and its operator see it."""

    __test__ = False

    def __init__(self, sweep: SweepProcess, session_id: str, folder: SessionFolder) -> None:
        self.sweep = sweep
        self.id = session_id
        self.folder = folder

    def write(self, message_id: str, text: str) -> None:
        """A message as the router writes it, without telling anybody."""
        new = NewInbound(message_id, "chat", utc_now(), dump({"text": text}), CHAT)
        with open_inbound(self.folder.inbound_db) as writer:
            writer.insert_message(new)
        with self.sweep.database() as conn:
            sessions.mark_due(conn, self.id, utc_now())

    def ask(self, message_id: str, text: str = "hello") -> None:
        self.write(message_id, text)
        self.sweep.wake(self.id)

    def row(self) -> Session:
        with self.sweep.database() as conn:
            session = sessions.get(conn, self.id)
        assert session is not None
        return session

    def message(self, message_id: str) -> InboundRow:
        with open_inbound(self.folder.inbound_db, busy_ms=2000) as writer:
            row = writer.find(message_id)
        assert row is not None
        return row

    def output(self) -> list[OutboundRow]:
        """What the agent has written so far."""
        try:
            out_fd = self.folder.open_out()
        except OSError:
            return []
        try:
            with read_snapshot(out_fd) as snapshot:
                return snapshot.messages(0, 1000)
        except SnapshotError:
            return []
        finally:
            os.close(out_fd)

    def texts(self) -> list[str]:
        return [str(parse_object(row.content, max_bytes=1 << 20)["text"]) for row in self.output()]

    def wait_for_answer(self, text: str, *, within: float = 15) -> None:
        wait_until(lambda: text in self.texts(), within=within, what=f"the agent says {text!r}")

    def wait_until_running(self, *, within: float = 15) -> str:
        """The container's id."""
        wait_until(lambda: self.row().is_running, within=within, what=f"{self.id} runs")
        return self.row().container_id or ""

    def wait_until_stopped(self, *, within: float = 20) -> None:
        wait_until(lambda: not self.row().is_running, within=within, what=f"{self.id} stopped")

    def wait_until_settled(self, *, within: float = 20) -> None:
        wait_until(lambda: self.row().lease_owner is None, within=within, what=f"{self.id} free")


def containers_of(slug: str, label: str = INSTALL_LABEL) -> list[str]:
    """Ids of everything that carries the label of one home, dead or alive."""
    words = ["docker", "ps", "-aq", "--no-trunc", "--filter", f"label={label}={slug}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.split()


def remove_containers(slug: str) -> None:
    """By label only: other tests and other people use the same engine."""
    for container_id in containers_of(slug) + containers_of(slug, COMPILER_LABEL):
        subprocess.run(["docker", "rm", "-f", container_id], capture_output=True, check=False)
    words = ["docker", "volume", "ls", "-q", "--filter", f"label={INSTALL_LABEL}={slug}"]
    for volume in subprocess.run(words, capture_output=True, text=True, check=True).stdout.split():
        subprocess.run(["docker", "volume", "rm", volume], capture_output=True, check=False)


def docker(*words: str) -> str:
    """Output of one docker command."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Runs the sweep on a home until it is told to stop."""
    from nanoclaw.log import setup_logging
    from nanoclaw.process.sweep import run
    from nanoclaw.supervise.child import ChildContext

    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--settings", required=True)
    arguments = parser.parse_args()
    config = load_config(home=arguments.home, flags=json.loads(arguments.settings))
    os.umask(0o077)
    setup_logging(config, "sweep", to_stderr=True)

    def ready() -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    run(ChildContext(config, "sweep", ready=ready))


if __name__ == "__main__":
    main()

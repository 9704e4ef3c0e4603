"""A whole installation whose agent thinks with the test server: host, vault, runner, terminal.

The key lies in the vault's folder and nowhere else; the vault's upstream is the test server. So a
request that arrives there has gone the way that a real one goes.
"""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType

from helpers.central import make_home
from helpers.engine import containers_of, remove_containers
from helpers.host import Host
from helpers.messages_api.server import KEY, MessagesApi, Request
from helpers.terminal import Reply, Terminal
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.inbound.row import AckStatus
from nanoclaw.db import agent_groups, container_configs
from nanoclaw.db.connection import open_central
from nanoclaw.db.container_configs import ContainerConfigChange
from nanoclaw.paths import HostPaths

MODEL = "claude-sonnet-5-5"
CHAT = "terminal"
"""The name of the terminal among the agent's destinations."""
IMAGE = "nanoclaw-agent-test"
ANSWER_SECONDS = {"process": 30.0, "docker": 60.0}


class AgentHome:
    """A context manager; ``start`` is separate so that a test can prepare the home."""

    def __init__(
        self,
        folder: Path,
        api: MessagesApi,
        runtime: str,
        *,
        key: str | None = KEY,
        kill_dir: Path | None = None,
    ) -> None:
        config, conn = make_home(folder)
        conn.close()
        self.paths: HostPaths = config.paths
        self.api = api
        self.runtime = runtime
        if key is not None:
            self.paths.secrets.mkdir(mode=0o700, exist_ok=True)
            file = self.paths.secrets / "anthropic-api-key"
            file.write_text(key + "\n")
            file.chmod(0o600)
        self.configure(ContainerConfigChange(provider="claude", model=MODEL))
        environment = {"ANTHROPIC_BASE_URL": api.url}
        if kill_dir is not None:
            environment["NANOCLAW_KILL_DIR"] = str(kill_dir)
        self.host = Host(
            config.home,
            command=(sys.executable, "-m", "helpers.crash_host", "--runtime", runtime),
            environment=environment,
        )
        self.terminal = Terminal(self.paths.socket("cli"))

    def __enter__(self) -> "AgentHome":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminal.close()
        self.host.stop()
        if self.runtime == "docker":
            remove_containers(self.paths.slug)
        if error is not None:
            error.add_note(self.story())

    def start(self) -> "AgentHome":
        self.host.start()
        return self

    # --- the home ---------------------------------------------------------------------------------

    def configure(self, change: ContainerConfigChange) -> None:
        """Settings of the first agent's group; they count from its next start."""
        with closing(open_central(self.paths.central_db)) as conn:
            (group, *_) = agent_groups.list_all(conn)
            container_configs.update(conn, group.id, change, utc_now())

    @property
    def group_folder(self) -> Path:
        return self.paths.groups / "main"

    @property
    def session(self) -> Path:
        """The only session's folder."""
        (folder,) = self.paths.sessions.glob("*/*/in")
        return folder.parent

    @property
    def conversation(self) -> Path:
        (file,) = (self.session / "out" / "conversation").glob("nc1-*.jsonl")
        return file

    def central(self, question: str, *values: object) -> list[tuple[object, ...]]:
        """A look into the central database."""
        uri = f"file:{self.paths.central_db}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as conn:
            return conn.execute(question, values).fetchall()

    def outbound(self, question: str) -> list[tuple[object, ...]]:
        """A look into the session's queue; a copy, because the file is the agent's."""
        copy = self.paths.home / "outbound-copy.db"
        copy.write_bytes((self.session / "out" / "outbound.db").read_bytes())
        with closing(sqlite3.connect(copy)) as conn:
            return conn.execute(question).fetchall()

    def acks(self, status: AckStatus) -> int:
        rows = self.outbound(f"SELECT count(*) FROM processing_ack WHERE status = '{status}'")
        return int(str(rows[0][0]))

    # --- the conversation -------------------------------------------------------------------------

    def ask(self, text: str) -> Reply:
        """Says something and waits for the turn's last message."""
        return self.wait_for_answer(self.terminal.send(text))

    def wait_for_answer(self, message_id: str) -> Reply:
        return self.terminal.wait_for_answer(message_id, within=ANSWER_SECONDS[self.runtime])

    def wait(self, predicate: Callable[[], object], what: str, *, within: float = 30) -> None:
        """Meanwhile the person at the terminal goes on listening."""

        def look() -> object:
            self.terminal.receive(0.02)
            return predicate()

        wait_until(look, within=within, what=what)

    def wait_for_requests(self, count: int) -> Request:
        """Waits until the model was asked so often; the last of these requests."""
        self.wait(lambda: len(self.api.requests) >= count, f"{count} requests arrived")
        return self.api.requests[count - 1]

    def wait_for_texts(self, *texts: str) -> None:
        """Waits for messages at the terminal, in any order."""
        self.wait(lambda: set(texts) <= set(self.said), f"{texts} are said")

    @property
    def said(self) -> list[str]:
        return [reply.text for reply in self.terminal.replies]

    # --- the agent --------------------------------------------------------------------------------

    def containers(self) -> list[str]:
        return containers_of(self.paths.slug)

    def runner_log(self) -> str:
        return "".join(
            file.read_text() for file in self.paths.sessions.glob("*/*/out/runner/runner.log")
        )

    def story(self) -> str:
        """For a failed test: what host and runner have logged, and what the model was asked."""
        lines = [f"--- host\n{self.host.log()[-6000:]}", f"--- runner\n{self.runner_log()[-6000:]}"]
        lines += [f"--- refused: {text}" for text in self.api.refusals]
        lines += [f"--- unforeseen: {text}" for text in self.api.unexpected]
        lines += [f"--- said: {self.said}"]
        return "\n".join(lines)

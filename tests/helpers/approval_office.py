"""A delivery process of its own, channels that this test plays, and the central database between.

Whatever the test writes to the database is followed by ``ring``, as the other processes do.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from helpers.approval_people import add_person, new_request
from helpers.central import make_home
from helpers.channel_worker import ReactorThread
from helpers.kill_points import KillFolder
from helpers.waiting import wait_until

from contract.clock import utc_now
from contract.jsontext import parse_object
from nanoclaw.approvals import answers, requests
from nanoclaw.approvals.clicks import Click
from nanoclaw.bell import DELIVERY, ring
from nanoclaw.capabilities import Capabilities
from nanoclaw.db import agent_groups, approvals, card_copies, messaging_groups, sessions
from nanoclaw.db.approvals import Approval
from nanoclaw.db.card_copies import CardCopy
from nanoclaw.db.connection import transaction
from nanoclaw.events import (
    ActionResult,
    Deliver,
    Delivered,
    DeliveryKnowledge,
    DeliveryKnown,
    DeliveryStatus,
    Frame,
    Hello,
    Ok,
    OpenDm,
    Refused,
    ResolveCard,
    Resolved,
)
from nanoclaw.link import FrameServer, Peer, QuietHandler
from nanoclaw.model import NewSession, Role, Session, SessionMode
from nanoclaw.paths import HostPaths

ROOT = Path(__file__).parent.parent.parent


@dataclass(eq=False)
class ChannelDouble(QuietHandler):
    """One channel's worker; remembers what it is asked and answers as it is told.

    Like the real one it delivers a repeated delivery id once.
    """

    paths: HostPaths
    thread: ReactorThread
    instance: str
    delivered: dict[str, Deliver] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    resolved: list[ResolveCard] = field(default_factory=list)
    deliver_answer: Callable[[Deliver], Frame] | None = None
    open_answer: Callable[[str], Frame] = Resolved
    resolve_answer: Frame = field(default_factory=Ok)
    silent: bool = False
    _server: FrameServer | None = None

    def open(self) -> None:
        self.paths.channel(self.instance).mkdir(parents=True, exist_ok=True)

        def start() -> None:
            hello = Hello(self.instance, self.instance, os.getpid(), capabilities=Capabilities())
            path = self.paths.socket(f"channel-{self.instance}")
            self._server = FrameServer(self.thread.reactor, path, hello, self)

        self.thread.call(start)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self.thread.call(server.close)

    def on_request(self, peer: Peer, request_id: int, body: Frame) -> None:
        answer = self._answer(body)
        if not self.silent:
            peer.answer(request_id, answer)

    def _answer(self, body: Frame) -> Frame:
        match body:
            case Deliver():
                if self.deliver_answer is not None:
                    return self.deliver_answer(body)
                self.delivered.setdefault(body.delivery_id, body)
                return Delivered((f"{self.instance}-{body.delivery_id}",))
            case OpenDm(handle):
                self.opened.append(handle)
                return self.open_answer(handle)
            case ResolveCard():
                self.resolved.append(body)
                return self.resolve_answer
            case DeliveryStatus():
                return DeliveryKnown(DeliveryKnowledge.UNKNOWN)
        return Refused("this channel cannot do that")

    @property
    def cards(self) -> list[dict[str, object]]:
        return [parse_object(item.content, max_bytes=2**20) for item in self.delivered.values()]

    @property
    def places(self) -> list[str]:
        return [item.platform_id for item in self.delivered.values()]


class Office:
    """Home, database, channels; ``start`` and ``stop`` are the delivery process."""

    def __init__(self, folder: Path) -> None:
        self.config, self.conn = make_home(folder)
        self.paths = self.config.paths
        # The operator at the terminal is an owner of a fresh installation; here people are named.
        with transaction(self.conn):
            self.conn.execute("DELETE FROM user_roles")
        self.kill = KillFolder(folder / "kill")
        self.kill.path.mkdir()
        self.thread = ReactorThread()
        self.channels: dict[str, ChannelDouble] = {}
        self.process: subprocess.Popen[str] | None = None
        self._log = (folder / "delivery.log").open("a")
        self.session = self._session()

    def channel(self, instance: str, *, up: bool = True) -> ChannelDouble:
        channel = ChannelDouble(self.paths, self.thread, instance)
        self.channels[instance] = channel
        if up:
            channel.open()
        else:  # it has run here before
            self.paths.channel(instance).mkdir(parents=True, exist_ok=True)
        return channel

    def owner(self, user_id: str, name: str | None = None) -> None:
        with transaction(self.conn):
            add_person(self.conn, user_id, Role.OWNER, name=name)

    def admin(self, user_id: str, *, here: bool = False) -> None:
        with transaction(self.conn):
            group = self.session.agent_group_id if here else None
            add_person(self.conn, user_id, Role.ADMIN, group)

    def request(self, request_id: str = "r-1") -> str:
        with transaction(self.conn):
            card = requests.request(self.conn, new_request(self.session, request_id), utc_now())
        self.ring()
        return card

    def press(self, card_id: str, value: str, user_id: str, instance: str = "") -> ActionResult:
        """As the router does it."""
        click = Click(card_id, value, user_id, instance, f"dm-of-{user_id}", "m-1")
        with transaction(self.conn):
            result = answers.answer(self.conn, click, utc_now())
        self.ring()
        return result

    def ring(self) -> None:
        ring(self.paths, DELIVERY)

    def approval(self, card_id: str) -> Approval:
        found = approvals.get(self.conn, card_id)
        assert found is not None
        return found

    def copies(self, card_id: str) -> list[CardCopy]:
        return card_copies.of_card(self.conn, card_id)

    def states(self, card_id: str) -> list[str]:
        return [copy.state.value for copy in self.copies(card_id)]

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.conn.execute(sql)]

    def notes(self) -> list[str]:
        """What the agent was told."""
        file = self.paths.session(self.session.agent_group_id, self.session.id) / "in/inbound.db"
        if not file.exists():
            return []
        conn = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            found = conn.execute("SELECT content FROM messages_in ORDER BY seq").fetchall()
        except sqlite3.OperationalError:
            return []  # just being made, or written
        finally:
            conn.close()
        return [str(parse_object(row[0], max_bytes=2**20)["text"]) for row in found]

    # --- the process ------------------------------------------------------------------------------

    def start(self) -> None:
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "helpers.approval_delivery", str(self.paths.home)],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": path, "NANOCLAW_KILL_DIR": str(self.kill.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.log()

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def wait_for_death(self) -> None:
        assert self.process is not None
        self.process.wait(20)
        self._forget()

    def stop(self) -> int:
        """Its exit code; 0 also when it is not running."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._forget()

    def kill_now(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.wait_for_death()

    def close(self) -> None:
        try:
            self.stop()
        finally:
            for channel in self.channels.values():
                channel.close()
            self.thread.close()
            self._log.close()
            self.conn.close()

    def wait(self, predicate: Callable[[], object], what: str) -> None:
        wait_until(predicate, within=15, what=f"{what}\n{self.log()[-4000:]}")

    def _forget(self) -> None:
        assert self.process is not None
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def _session(self) -> Session:
        """A conversation in the terminal's chat."""
        (group,) = agent_groups.list_all(self.conn)
        chat = messaging_groups.find_by_address(self.conn, "cli", "local")
        assert chat is not None
        return sessions.create(
            self.conn,
            NewSession("sess-1", group.id, chat.id, None, SessionMode.SHARED, "key", utc_now()),
        )

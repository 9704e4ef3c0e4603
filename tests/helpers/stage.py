"""A host under attack, a person at its terminal, and the books that must balance afterwards."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.engine import containers_of, remove_containers
from helpers.host import Host
from helpers.kill_points import KillFolder
from helpers.terminal import Terminal
from helpers.waiting import wait_until

from contract.errors import SnapshotError
from contract.inbound.row import AckStatus
from contract.outbound.snapshot import read_snapshot

ANSWER_SECONDS = 60.0


class Stage:
    """One host under attack, a person at its terminal, and the books."""

    def __init__(self, home: Path, kill: KillFolder, runtime: str) -> None:
        self.kill = kill
        self.runtime = runtime
        self.host = Host(
            home,
            command=(sys.executable, "-m", "helpers.crash_host", "--runtime", runtime),
            environment={"NANOCLAW_KILL_DIR": str(kill.path)},
        )
        self.host.start()
        self.terminal = Terminal(self.host.paths.socket("cli"))
        self.sent: dict[str, str] = {}

    def close(self) -> None:
        self.terminal.close()
        self.host.stop()
        if self.runtime == "docker":
            remove_containers(self.host.paths.slug)

    def say(self, text: str) -> str:
        message_id = self.terminal.send(text)
        self.sent[message_id] = text
        return message_id

    def wait_for_answer(self, message_id: str) -> None:
        self.terminal.wait_for_answer(message_id, within=ANSWER_SECONDS)

    def wait_until_reached(self, point: str) -> None:
        self._wait(lambda: self.kill.was_reached(point), f"{point} is reached")

    def wait_until_at_work(self) -> None:
        self._wait(lambda: self.open_claims() == 1, "the agent has begun")

    def _wait(self, predicate: Callable[[], bool], what: str) -> None:
        """The person at the terminal goes on listening, and reconnects where that is needed."""

        def look() -> bool:
            self.terminal.receive(0.01)
            return predicate()

        wait_until(look, within=ANSWER_SECONDS, what=what)

    def runner_pids(self) -> list[int]:
        """The processes that run an agent; each names its home in its environment."""
        home = str(self.host.paths.home).encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"process_start.py" in command and home in environment:
                found.append(int(entry.name))
        return found

    def containers(self) -> list[str]:
        return containers_of(self.host.paths.slug)

    def open_claims(self) -> int:
        """Messages that some agent is working on right now."""
        total = 0
        for folder in self.host.paths.sessions.glob("*/*/out"):
            out_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with read_snapshot(out_fd) as snapshot:
                    total += sum(ack.status is AckStatus.PROCESSING for ack in snapshot.acks())
            except SnapshotError:
                continue  # not there yet, or just being written
            finally:
                os.close(out_fd)
        return total

    def kill_while_paused(self, point: str, victim: str) -> None:
        """One message; the victim dies while somebody is held at the point; the answer comes."""
        self.kill.arm(point, "pause")
        if point.startswith("sweep."):
            self.kill_runners()  # the sweep's steps belong to the start of an agent
        message_id = self.say(f"{victim} dies at {point}")
        self.wait_until_reached(point)
        self.kill_victim(victim)
        self.kill.clear(point)
        self.revive()
        self.wait_for_answer(message_id)

    def kill_victim(self, victim: str) -> None:
        if victim == "supervisor":
            self.host.kill()
        elif victim == "forkserver":
            os.kill(self.host.forkserver_pid(), signal.SIGKILL)
        elif victim == "runner":
            self.kill_runners()
        else:
            self.host.kill_child(victim)

    def kill_runners(self) -> None:
        """Agents die as the kernel would kill them; the host is not asked."""
        if self.runtime == "docker":
            for container_id in containers_of(self.host.paths.slug):
                # One that is dead already, or was never started, needs no killing.
                subprocess.run(["docker", "kill", container_id], capture_output=True, check=False)
        for pid in self.runner_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def revive(self) -> None:
        """Starts the host again where its supervisor was the victim."""
        assert self.host.process is not None
        if self.host.process.poll() is not None:
            wait_until(lambda: not self.host.living(), within=10, what="the old tree is gone")
            self.host.start()

    def assert_balanced(self) -> None:
        """Every message sent has exactly one answer, here and in the books."""
        for message_id, text in self.sent.items():
            answers = [item for item in self.terminal.replies if item.reply_to == message_id]
            assert [text in answer.text for answer in answers] == [True], (text, answers)
        wait_until(lambda: self._books() == (0, 0, 0), within=20, what="the books are closed")

    def _books(self) -> tuple[int, int, int]:
        """Events not routed, messages not sent, inbound rows not completed."""
        conn = sqlite3.connect(f"file:{self.host.paths.central_db}?mode=ro", uri=True)
        try:
            (unrouted,) = conn.execute(
                "SELECT count(*) FROM inbound_events WHERE state != 'routed'"
            ).fetchone()
            (unsent,) = conn.execute(
                "SELECT count(*) FROM deliveries WHERE state != 'sent'"
            ).fetchone()
        finally:
            conn.close()
        return unrouted, unsent, self._open_rows()

    def _open_rows(self) -> int:
        total = 0
        for file in self.host.paths.sessions.glob("*/*/in/inbound.db"):
            conn = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
            try:
                total += conn.execute(
                    "SELECT count(*) FROM messages_in WHERE status != 'completed'"
                ).fetchone()[0]
            except sqlite3.OperationalError:
                total += 1  # locked or rolled back just now: not balanced yet
            finally:
                conn.close()
        return total

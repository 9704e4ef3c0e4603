"""Throughput of the two durable halves of the message path, and the disk under them."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from helpers.central import make_home
from helpers.waiting import wait_until

from contract.address import Address
from contract.clock import utc_now
from contract.outbound.row import NewOutbound
from contract.outbound.writer import open_outbound
from contract.watch import Watch
from nanoclaw.db import agent_groups, messaging_groups, sessions, wirings
from nanoclaw.delivery.links import Links
from nanoclaw.delivery.loop import DeliveryLoop
from nanoclaw.events import InboundEvent
from nanoclaw.model import (
    ContainerStart,
    EngageMode,
    MessagingGroup,
    NewSession,
    SessionMode,
    Wiring,
)
from nanoclaw.reactor import Reactor
from nanoclaw.routing.apply import Committer
from nanoclaw.routing.arrival import Arrival
from nanoclaw.routing.file_stage import FileStage
from nanoclaw.routing.loop import COMMIT_GROUP
from nanoclaw.routing.writing import Task, Writing
from nanoclaw.sessions.folder import SessionFolder

ROOT = Path(__file__).parent.parent.parent


def fsync_milliseconds(folder: Path, count: int) -> list[float]:
    samples = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            started = time.monotonic()
            os.fsync(file.fileno())
            samples.append((time.monotonic() - started) * 1000)
    return samples


def routing_rates(folder: Path, chats: int, count: int) -> float:
    """Messages per second from the worker's hand to the session file, both durable."""
    config, conn = make_home(folder)
    (group,) = agent_groups.list_all(conn)
    now = utc_now()
    for number in range(chats):
        chat = MessagingGroup(f"mg-{number}", "cli", f"chat-{number}", now)
        messaging_groups.create(conn, chat)
        wirings.create(
            conn, Wiring(f"mga-{number}", chat.id, group.id, now, engage_mode=EngageMode.PATTERN)
        )
    arrivals = [
        Arrival(
            "cli",
            False,
            InboundEvent(
                f"k-{number}", f"m-{number}", f"chat-{number % chats}", "x",
                "2026-11-21T10:00:00.000Z", text="hello",
            ),
        )
        for number in range(count)
    ]  # fmt: skip
    committer = Committer(conn, config.paths)
    writing = Writing(conn, config.paths, FileStage(config.paths, lambda _: None), "UTC")
    started = time.monotonic()
    for start in range(0, count, COMMIT_GROUP):
        decided = committer.commit(arrivals[start : start + COMMIT_GROUP], utc_now())
        writing.write([Task(item.event_id or 0, "cli", item.plan) for item in decided])
    elapsed = time.monotonic() - started
    writing.close()
    conn.close()
    return count / elapsed


def drain_rates(folder: Path, count_sessions: int, count: int, *, by_key: bool) -> float:
    """Rows per second from ``outbound.db`` to the worker's answer, receipts durable."""
    config, conn = make_home(folder)
    (group,) = agent_groups.list_all(conn)
    now = utc_now()
    for number in range(count_sessions):
        chat = MessagingGroup(f"mg-{number}", "cli", f"chat-{number}", now)
        messaging_groups.create(conn, chat)
        session_id = f"sess-{number}"
        sessions.create(
            conn,
            NewSession(session_id, group.id, chat.id, None, SessionMode.TASK, None, now),
        )
        session_folder = SessionFolder.of(config.paths, group.id, session_id)
        session_folder.create()
        with open_outbound(session_folder.out_dir / "outbound.db") as out:
            for row in range(count // count_sessions):
                out.write_message(
                    NewOutbound(f"o-{number}-{row}", "chat", now, '{"text":"x"}',
                                Address("cli", f"chat-{number}")), 0)  # fmt: skip
        sessions.set_running(conn, session_id, ContainerStart("c", now, "v"))
    worker = subprocess.Popen(
        [sys.executable, "-m", "bench.worker", str(config.paths.socket("channel-cli")),
         str(int(by_key))], cwd=ROOT, stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_until(config.paths.socket("channel-cli").exists, within=10)
        reactor = Reactor()
        loop = DeliveryLoop(reactor, conn, config, Watch.open(), Links(reactor, config.paths))
        started = time.monotonic()
        loop.start()
        while not _all_sent(conn, count):
            for _ in range(20):
                reactor.run_once(0.005)
        elapsed = time.monotonic() - started
        loop.close()
        reactor.close()
    finally:
        worker.terminate()
        worker.wait(10)
    conn.close()
    return count / elapsed


def _all_sent(conn: sqlite3.Connection, count: int) -> bool:
    row = conn.execute("SELECT count(*) FROM deliveries WHERE state = 'sent'").fetchone()
    return int(row[0]) >= count

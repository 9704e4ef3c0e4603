"""Attacks on the host by what lies in ``out/``, as a program that runs inside the container.

Sent there as it is by ``attack_scene`` and run with the image's Python, so it stands alone. The
host reads ``outbound.db`` and takes the files that its rows name; here is what it may find.
"""

import contextlib
import json
import os
import socket
import sqlite3
import struct
import sys
from pathlib import Path

OUT = Path("/session/out")
DATABASE = OUT / "outbound.db"
NOW = "2026-01-01T00:00:00.000Z"
INSERT = (
    "INSERT INTO messages_out (id, seq, timestamp, kind, platform_id, channel_type, content)"
    " VALUES (?, (SELECT coalesce(max(seq), 0) + 2 FROM messages_out),"
    " ?, 'chat', 'local', 'cli', ?)"
)


def row(message_id: str, content: str) -> None:
    """A message as no runner writes it; an own chat's address, so that only the content is bad."""
    with contextlib.closing(sqlite3.connect(DATABASE, timeout=20)) as conn, conn:
        conn.execute(INSERT, (message_id, NOW, content))


def plant_file(message_id: str, kind: str, target: str) -> None:
    """A message that sends a file which is none."""
    folder = OUT / "files" / message_id
    folder.parent.mkdir(exist_ok=True)
    if kind == "folder is a link":
        folder.symlink_to(Path(target).parent)
    else:
        folder.mkdir()
        _plant(folder / "gift", kind, target)
    name = Path(target).name if kind == "folder is a link" else "gift"
    row(message_id, json.dumps({"text": "take this", "files": [name]}))


def _plant(path: Path, kind: str, target: str) -> None:
    match kind:
        case "link":
            path.symlink_to(target)
        case "second name":
            own = OUT / "own"
            own.write_text("mine")
            os.link(own, path)
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                os.chdir(path.parent)
                listener.bind(path.name)
        case "folder":
            path.mkdir()
        case "giant":
            with path.open("wb") as file:
                file.truncate(900 << 20)


def replace_database(kind: str, target: str) -> None:
    """Something else where the database was; renamed over it, as one step."""
    fresh = OUT / "fresh"
    match kind:
        case "link":
            fresh.symlink_to(target)
        case "second name":
            (OUT / "other").write_bytes(DATABASE.read_bytes())
            os.link(OUT / "other", fresh)
        case "pipe":
            os.mkfifo(fresh)
        case "folder":
            DATABASE.unlink()
            fresh.mkdir()
        case "text":
            fresh.write_text("this is no database\n" * 1000)
        case "giant":
            with fresh.open("wb") as file:
                file.write(DATABASE.read_bytes()[:4096])
                file.truncate(900 << 20)
        case "endless view":
            _endless(fresh)
    fresh.rename(DATABASE)


def _endless(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as conn:
        conn.execute(
            "CREATE VIEW messages_out AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL"
            " SELECT seq + 1 FROM n) SELECT seq, 'm' || seq AS id FROM n"
        )


def other_inode(times: str) -> None:
    """The same rows under other inodes, each with a row more: an honest looking database."""
    for number in range(int(times)):
        fresh = OUT / "fresh"
        fresh.write_bytes(DATABASE.read_bytes())
        with contextlib.closing(sqlite3.connect(fresh)) as conn, conn:
            conn.execute(INSERT, (f"inode-{number}", NOW, '{"text":"again"}'))
        fresh.rename(DATABASE)


def journal(victim: str) -> None:
    """A rollback journal whose end names a file for SQLite to delete."""
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = DATABASE.stat().st_size // 4096
    header = magic + struct.pack(">5I", 0, 1, pages, 512, 4096)
    name = victim.encode()
    tail = struct.pack(">2I", len(name), sum(name)) + magic
    planted = header.ljust(512, b"\0") + struct.pack(">I", 262145) + name + tail
    fresh = OUT / "fresh"  # another inode: the runner's own connection does not touch this pair
    fresh.write_bytes(DATABASE.read_bytes())
    Path(f"{DATABASE}-journal").write_bytes(planted)
    fresh.rename(DATABASE)


def huge_row(message_id: str, megabytes: str) -> None:
    row(message_id, json.dumps({"text": "x" * (int(megabytes) << 20)}))


def bomb(message_id: str, kind: str) -> None:
    """Small text that costs much to whoever parses it."""
    texts = {
        "deep lists": "[" * 200_000,
        "deep objects": '{"text":' * 100_000,
        "long number": '{"text":"x","size":' + "9" * 200_000 + "}",
        "many keys": "{" + ",".join(f'"k{n}":0' for n in range(100_000)) + "}",
        "half a character": '{"text":"\\ud800"}',
        "infinity": '{"text":"x","files":[1e999,NaN]}',
        "not text": "\x00\x01\x02",
    }
    row(message_id, texts[kind])


def change_instructions(target: str) -> None:
    """The group's own memory becomes a link to a file of the host."""
    memory = Path("/workspace/agent/CLAUDE.local.md")
    memory.unlink()
    memory.symlink_to(target)


if __name__ == "__main__":
    attack, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(globals()[attack](*arguments)) + "\n")

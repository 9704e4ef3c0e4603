"""Folders of closed sessions: packed, brought back, never lost on the way."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from helpers.kill_points import KillFolder
from helpers.runner_process import PROJECT

from contract.clock import utc_now
from contract.inbound.reader import read_row
from contract.inbound.row import NewInbound
from contract.inbound.writer import open_inbound
from nanoclaw.sessions.archive import archive_of, pack, remove_folder, restore, sweep_leftovers
from nanoclaw.sessions.folder import SessionFolder

STEPS = ("sweep.session_packed", "sweep.session_folder_removed", "host.session_restored")
CYCLE = """
import sys
from pathlib import Path
from nanoclaw.sessions.archive import pack, remove_folder, restore
root = Path(sys.argv[1])
pack(root)
remove_folder(root)
restore(root)
"""


@pytest.fixture
def folder(tmp_path: Path) -> SessionFolder:
    folder = SessionFolder(tmp_path / "ag-1" / "sess-1")
    folder.create()
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(NewInbound("m-1", "chat", utc_now(), '{"text":"hello"}'))
    conversation = folder.out_dir / "conversation"
    conversation.mkdir()
    (conversation / "main.jsonl").write_text("{}\n" * 1000)
    return folder


def text_of(folder: SessionFolder) -> str:
    row = read_row(folder.inbound_db, "m-1")
    assert row is not None
    return row.content


def test_packed_folder_comes_back_as_it_was(folder: SessionFolder) -> None:
    names = sorted(path.relative_to(folder.root) for path in folder.root.rglob("*"))

    pack(folder.root)
    remove_folder(folder.root)
    assert not folder.root.exists()
    assert restore(folder.root)

    assert sorted(path.relative_to(folder.root) for path in folder.root.rglob("*")) == names
    assert text_of(folder) == '{"text":"hello"}'
    assert not archive_of(folder.root).exists()


def test_creating_the_folder_of_a_closed_session_brings_its_messages_back(
    folder: SessionFolder,
) -> None:
    pack(folder.root)
    remove_folder(folder.root)

    folder.create()

    assert text_of(folder) == '{"text":"hello"}'


def test_folder_that_exists_wins_over_an_archive(folder: SessionFolder) -> None:
    pack(folder.root)
    with open_inbound(folder.inbound_db) as writer:
        writer.insert_message(NewInbound("m-2", "chat", utc_now(), "{}"))

    assert not restore(folder.root)

    assert read_row(folder.inbound_db, "m-2") is not None


def test_links_and_pipes_of_an_agent_do_not_come_along(
    folder: SessionFolder, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    (folder.out_dir / "link").symlink_to(secret)
    (folder.out_dir / "folder").symlink_to(tmp_path)
    os.link(secret, folder.out_dir / "shared")
    os.mkfifo(folder.out_dir / "pipe")

    pack(folder.root)
    remove_folder(folder.root)
    restore(folder.root)

    assert sorted(path.name for path in folder.out_dir.iterdir()) == ["conversation"]


def test_two_processes_that_restore_at_once_get_one_folder(folder: SessionFolder) -> None:
    pack(folder.root)
    remove_folder(folder.root)
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(restore(folder.root))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == [False, False, False, True]
    assert text_of(folder) == '{"text":"hello"}'


@pytest.mark.parametrize("step", STEPS)
def test_kill_at_a_step_leaves_the_conversation_complete(
    folder: SessionFolder, tmp_path: Path, step: str
) -> None:
    kill = KillFolder(tmp_path / "kill")
    kill.path.mkdir()
    kill.arm(step, "self")

    program = subprocess.run(
        [sys.executable, "-c", CYCLE, str(folder.root)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "NANOCLAW_KILL_DIR": str(kill.path),
        },
        check=False,
        timeout=60,
    )

    assert program.returncode == -9
    folder.create()
    assert text_of(folder) == '{"text":"hello"}'
    sweep_leftovers(folder.root.parent)
    names = [path.name for path in folder.root.parent.iterdir()]
    assert not [name for name in names if name.startswith((".removing", ".packing"))]

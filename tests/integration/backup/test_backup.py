"""Backups of a home with hostile contents, and what an archive can do to whoever restores it."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from helpers.backup_room import Room, run_backup, states

from contract.clock import utc_now
from contract.inbound.reader import read_pending_ids
from nanoclaw.backup import catalog
from nanoclaw.backup.manifest import BackupError
from nanoclaw.backup.reading import quick_look, unpack, verify
from nanoclaw.backup.restore import restore
from nanoclaw.backup.retention import Keep
from nanoclaw.backup.sources import MAX_FILE_BYTES, Wanted
from nanoclaw.backup.writing import END_BYTES
from nanoclaw.db.connection import open_central
from nanoclaw.paths import HostPaths
from nanoclaw.supervise.instance import take_instance_lock


def test_what_was_saved_comes_back_in_another_home(room: Room, tmp_path: Path) -> None:
    (room.session.out_dir / "note.txt").write_text("mine")
    room.paths.config_file.write_text('log_level = "debug"\n')
    made = room.back_up()
    other = HostPaths(tmp_path / "other")

    restore(made.path, other, utc_now())

    assert (other.groups / "main" / "memory.md").read_text() == "remember"
    assert other.config_file.read_text() == 'log_level = "debug"\n'
    session = other.session(room.group_id, "sess-1")
    assert (session / "out" / "note.txt").read_text() == "mine"
    assert read_pending_ids(session / "in" / "inbound.db") == frozenset()
    assert other.central_db.stat().st_mode & 0o777 == 0o600
    assert not (other.home / ".restoring").exists()


def test_the_archive_is_private_and_whole(room: Room) -> None:
    made = room.back_up()

    assert made.path.stat().st_mode & 0o077 == 0
    assert quick_look(made.path).counts["sessions"] == 1
    assert verify(made.path) == made.manifest
    assert [path.name for path in room.paths.backups.glob(".creating-*")] == []
    with tarfile.open(made.path) as archive:  # any tar program can read it
        assert archive.getnames()[0] == "manifest.json"


def test_secrets_come_along_only_when_asked(room: Room) -> None:
    (room.paths.secrets / "anthropic-api-key").write_text("sk-very-secret")
    room.paths.env_file.write_text("ANTHROPIC_API_KEY=sk-very-secret\nTZ=UTC\n")

    plain, full = room.back_up(), room.back_up(Wanted(secrets=True))

    assert b"sk-very-secret" not in gzip.decompress(plain.path.read_bytes())
    assert gzip.decompress(full.path.read_bytes()).count(b"sk-very-secret") == 2


def test_nothing_of_a_hostile_folder_is_followed_opened_or_waited_for(room: Room) -> None:
    canary = room.folder / "canary"
    canary.write_text("outside")
    (room.group / "link").symlink_to(canary)
    (room.group / "folder").symlink_to(room.folder)
    os.mkfifo(room.group / "pipe")
    with (room.group / "huge").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (room.session.out_dir / "outbound.db").symlink_to(canary)

    made = room.back_up()

    reasons = {item.name.rpartition("/")[2]: item.reason for item in made.manifest.left_out}
    assert set(reasons) == {"link", "folder", "pipe", "huge", "outbound.db"}
    assert b"outside" not in gzip.decompress(made.path.read_bytes())


def test_an_agents_home_that_looks_like_a_session_is_copied_as_plain_files(room: Room) -> None:
    home = room.paths.sessions / room.group_id / "home" / "in"
    home.mkdir(parents=True)
    (home / "inbound.db").write_text("no database at all")

    made = room.back_up()

    assert made.manifest.left_out == []
    assert any(item.name.endswith("/home/in/inbound.db") for item in made.manifest.members)


def test_what_was_waiting_at_the_backup_is_never_sent_again_by_itself(room: Room) -> None:
    room.say("d-1")
    room.say("d-2")
    room.conn.execute("UPDATE deliveries SET state = 'sending' WHERE delivery_id = 'd-2'")
    made = room.back_up()
    room.conn.execute("UPDATE deliveries SET state = 'sent'")  # the platform has both now
    room.close()

    done = restore(made.path, room.paths, utc_now())

    assert done.held == 2
    with closing(open_central(room.paths.central_db)) as conn:
        assert states(conn) == {"d-1": "uncertain", "d-2": "uncertain"}
        (notice,) = conn.execute("SELECT text FROM owner_notices WHERE state = 'created'")
        assert "2 message(s)" in notice[0]


def test_a_channels_position_is_not_brought_back(room: Room) -> None:
    folder = room.paths.channel("telegram")
    folder.mkdir(parents=True)
    (folder / "cursor.json").write_text("{}")
    (folder / "sends.jsonl").write_text("")
    made = room.back_up()
    room.close()

    restore(made.path, room.paths, utc_now())

    assert sorted(path.name for path in folder.iterdir()) == ["sends.jsonl"]


def test_the_old_data_is_kept_beside(room: Room) -> None:
    made = room.back_up()
    (room.group / "memory.md").write_text("newer")
    room.close()

    done = restore(made.path, room.paths, utc_now())

    assert done.aside is not None
    assert (done.aside / "groups" / "main" / "memory.md").read_text() == "newer"
    assert (room.group / "memory.md").read_text() == "remember"


def test_a_running_host_refuses_a_restore(room: Room) -> None:
    made = room.back_up()
    lock = take_instance_lock(room.paths)
    try:
        with pytest.raises(BackupError, match="stop it first"):
            restore(made.path, room.paths, utc_now())
    finally:
        lock.release()


def test_a_backup_of_a_newer_schema_is_refused(room: Room) -> None:
    made = room.back_up()
    manifest = made.manifest
    manifest.schema = 9999
    forged = forge(room.folder / "newer.tar.gz", manifest.to_json(), [])

    with pytest.raises(BackupError, match=r"newer nanoclaw|missing"):
        restore(forged, room.paths, utc_now())


@pytest.mark.parametrize("where", [10, 200, -10, -END_BYTES - 5])
def test_one_changed_byte_is_noticed(room: Room, where: int) -> None:
    made = room.back_up()
    data = bytearray(made.path.read_bytes())
    data[where] ^= 0xFF
    made.path.write_bytes(data)

    with pytest.raises(BackupError):
        verify(made.path)


@pytest.mark.parametrize("keep", [0, 1, END_BYTES, 5000])
def test_a_cut_archive_is_shown_as_damaged(room: Room, keep: int) -> None:
    made = room.back_up()
    made.path.write_bytes(made.path.read_bytes()[:keep])

    (entry,) = catalog.entries(room.paths.backups)

    assert entry.manifest is None
    assert entry.problem is not None
    assert "damaged" in entry.problem


def forge(path: Path, manifest: bytes, members: list[tarfile.TarInfo]) -> Path:
    """An archive that somebody else made, with a right hash."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        archive.addfile(info, io.BytesIO(manifest))
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
        body = plain.getvalue()[: archive.offset]
    first = gzip.compress(body)
    text = json.dumps({"bytes": len(first), "sha256": hashlib.sha256(first).hexdigest()})
    info = tarfile.TarInfo("end.json")
    info.size = 512
    end = info.tobuf() + text.encode().ljust(512) + b"\0" * 1024
    path.write_bytes(first + gzip.compress(end, 0, mtime=0))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("/etc/evil"),
        member("home/../../evil"),
        member("home/link", tarfile.SYMTYPE),
        member("home/hard", tarfile.LNKTYPE),
        member("home/device", tarfile.CHRTYPE),
        member("home/pipe", tarfile.FIFOTYPE),
        member("home/unlisted", size=10),
        member("home/bomb", size=100_000),
        member("home/../out", tarfile.DIRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_a_forged_archive_writes_nothing_outside(
    room: Room, tmp_path: Path, bad: tarfile.TarInfo
) -> None:
    listed = [{"name": "bomb", "size": 5, "sha256": "0"}, {"name": "link", "size": 0, "sha256": ""}]
    value = json.loads(room.back_up().manifest.to_json()) | {"members": listed}
    forged = forge(tmp_path / "forged.tar.gz", json.dumps(value).encode(), [bad])
    target = tmp_path / "deep" / "target"
    target.parent.mkdir()

    with pytest.raises(BackupError):
        unpack(forged, target)

    assert [path for path in target.rglob("*") if not path.is_dir()] == []
    assert list(target.parent.iterdir()) == [target]


def test_pruning_never_takes_what_it_cannot_read_or_the_newest(room: Room) -> None:
    first, second = room.back_up(), room.back_up()
    broken = room.paths.backups / "nanoclaw-20200101T000000Z-0.1.0.tar.gz"
    broken.write_text("?")

    gone = catalog.prune(room.paths, Keep(1, 0, 0), utc_now())

    assert gone == [first.path]
    assert second.path.exists()
    assert broken.exists()


def test_commands_speak_json_and_ask_nobody_who_is_not_there(room: Room) -> None:
    made = json.loads(run_backup(room.config, "create", "--json").stdout)
    listed = json.loads(run_backup(room.config, "list", "--json").stdout)
    checked = json.loads(run_backup(room.config, "verify", made["path"], "--json").stdout)
    asked = run_backup(room.config, "restore", made["path"])
    dry = run_backup(room.config, "restore", made["path"], "--dry-run")

    assert [entry["path"] for entry in listed] == [made["path"]]
    assert checked["whole"] is True
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    assert (dry.returncode, list(room.paths.home.glob("before-*"))) == (0, [])


def test_a_missing_file_gets_a_next_step(room: Room) -> None:
    done = run_backup(room.config, "verify", "/nowhere.tar.gz")

    assert done.returncode != 0
    assert "nanoclaw backup list" in done.stderr


def test_a_drill_proves_it_and_the_status_says_so(room: Room) -> None:
    made = room.back_up()
    room.close()

    done = run_backup(room.config, "verify", made.path.name, "--drill", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sessions"] == 1
    assert list(room.paths.home.glob(".drill-*")) == []
    assert made.path.name in (room.paths.backups / "proof.json").read_text()

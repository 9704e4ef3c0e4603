"""The archive for a helper holds what helps, and no marker from wherever one can be put."""

import base64
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.doctor_cases import delivery
from helpers.doctor_room import NOW, DoctorRoom

SECRET = "Zq8wX2mN5pLr7TvB9cDf3GhJ6kMs4QyW1eRtUi"
WEAK = "hunter2"
MARKERS = {
    "secret": SECRET,
    "weak secret": WEAK,
    "in .env": "env-value-7Hk2PqR9sT",
    "mail": "erika.mustermann",
    "telephone": "151 2345 6789",
    "platform id": "987654321012",
    "message": "MARKER-MESSAGE",
    "audit": "MARKER-AUDIT",
    "agent": "MARKER-AGENT-FILE",
    "session log": "MARKER-SESSION-LOG",
    "chat": "MARKER-CHAT-NAME",
    "login": "MARKER-LOGIN",
    "bot token": "AAEhBOweik9ai2o01RXZ_MARKER",
    "bearer": "MARKERbearer0123",
    "password": "MARKER-PASS",
    "key line": "MIIEvMARKERLINE",
}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoctorRoom]:
    room = DoctorRoom(tmp_path, monkeypatch)
    plant(room)
    yield room
    room.close()


def plant(room: DoctorRoom) -> None:
    for name, value in (("git-token", SECRET), ("weak-key", WEAK)):
        (room.paths.secrets / name).write_text(value)
        (room.paths.secrets / name).chmod(0o600)
    room.paths.env_file.write_text(f"SOME_SETTING={MARKERS['in .env']}\nGIT_TOKEN={SECRET}\n")
    room.paths.env_file.chmod(0o600)
    room.configure(anthropic_base_url="https://u:MARKER-LOGIN@example.org")
    delivery("failed")(room)
    room.sql("UPDATE deliveries SET content = ?, last_error = ?", MARKERS["message"], SECRET)
    room.sql("INSERT INTO messaging_groups (id, channel_type, platform_id, name, is_group,"
             " created_at) VALUES ('mg-9', 'telegram', ?, ?, 1, ?)",
             "-" + MARKERS["platform id"], MARKERS["chat"], NOW)  # fmt: skip
    room.sql("INSERT INTO audit VALUES (99, ?, 'kind-of-row', ?, ?, NULL, NULL, ?, '', 'h')",
             NOW, MARKERS["audit"], MARKERS["audit"], MARKERS["audit"])  # fmt: skip
    (room.paths.groups / room.group_folder / "memory.md").write_text(MARKERS["agent"])
    room.paths.session_log("sess-1").write_text(MARKERS["session log"])
    coded = base64.b64encode(SECRET.encode()).decode()
    lines = [
        f"plain {SECRET} end", f"coded {coded} end", f"hex {SECRET.encode().hex()}", f"weak {WEAK}",
        f"env {MARKERS['in .env']}", "mail erika.mustermann@example.org", "call +49 151 2345 6789",
        f"chat {MARKERS['platform id']}", f"bot 123456789:{MARKERS['bot token']}",
        "Authorization: Bearer MARKERbearer0123", "password=MARKER-PASS",
        "-----BEGIN PRIVATE KEY-----\nMIIEvMARKERLINE\n-----END PRIVATE KEY-----", "kept line",
    ]  # fmt: skip
    (room.paths.logs / "host.log").write_text("\n".join(lines) + "\n")
    room.paths.status_file.write_text(json.dumps({"reason": f"with {SECRET}", "n": 1234567890}))


def bundle(room: DoctorRoom) -> dict[str, str]:
    target = room.folder / "out.tar.gz"
    done = room.run(f"nanoclaw support --home {room.home} --output {target}")
    assert done.returncode == 0, done.stderr
    assert "logs/host.log" in done.stdout
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as archive:
        return {member.name: read(archive, member)
                for member in archive.getmembers()}  # fmt: skip


def read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()


def test_no_marker_is_inside_and_what_helps_is(room: DoctorRoom) -> None:
    files = bundle(room)

    everything = "".join(files) + "".join(files.values())
    assert [name for name, marker in MARKERS.items() if marker in everything] == []
    assert base64.b64encode(SECRET.encode()).decode() not in everything
    assert SECRET.encode().hex() not in everything
    log = files["nanoclaw-support/logs/host.log"]
    assert "kept line" in log
    assert "session" not in "".join(name for name in files if "logs/" in name)
    database = json.loads(files["nanoclaw-support/database.json"])
    assert database["rows"]["deliveries"] == 1
    assert database["audit"][0] == f"{NOW} kind-of-row"
    assert json.loads(files["nanoclaw-support/status.json"])["status.json"]["n"] == 1234567890
    assert json.loads(files["nanoclaw-support/doctor.json"])["checks"]
    assert "SOME_SETTING" in json.loads(files["nanoclaw-support/settings.json"])["names in .env"]


def test_a_dry_run_shows_and_writes_nothing(room: DoctorRoom) -> None:
    target = room.folder / "out.tar.gz"

    done = room.run(f"nanoclaw support --dry-run --json --home {room.home} --output {target}")

    shown = json.loads(done.stdout)
    assert {"versions.json", "doctor.json"} <= {part["name"] for part in shown["parts"]}
    assert shown["file"] is None
    assert not target.exists()


def test_a_file_that_is_there_is_not_written_over(room: DoctorRoom) -> None:
    target = room.folder / "out.tar.gz"
    target.write_text("mine")

    done = room.run(f"nanoclaw support --home {room.home} --output {target}")

    assert done.returncode == 78
    assert "--output" in done.stderr
    assert target.read_text() == "mine"


def test_it_works_without_a_home(room: DoctorRoom) -> None:
    target = room.folder / "none.tar.gz"

    done = room.run(f"nanoclaw support --home {room.folder / 'none'} --output {target}")

    assert done.returncode == 0, done.stderr
    assert target.exists()
    assert not (room.folder / "none").exists()

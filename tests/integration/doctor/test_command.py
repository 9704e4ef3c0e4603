"""``nanoclaw doctor`` as people and programs meet it, on whole, broken and missing homes."""

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from helpers.doctor_room import DoctorRoom

from nanoclaw.cli.doctor import choose, exit_code, render
from nanoclaw.db import health
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import Facts
from nanoclaw.doctor.run import State, examine
from nanoclaw.supervise.status import ChildStatus


def fingerprint(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        found[str(path)] = (facts.st_mode, facts.st_size, facts.st_mtime_ns)
    return found


def doctor(room: DoctorRoom, words: str = "") -> tuple[int, str, str]:
    done = room.run(f"nanoclaw doctor {words} --home '{room.home}'")
    return done.returncode, done.stdout, done.stderr


def test_looking_changes_nothing(room: DoctorRoom) -> None:
    room.paths.central_db.chmod(0o644)
    for end in ("-wal", "-shm"):  # SQLite's own, empty; it touches them whenever it reads
        (room.paths.data / f"v2.db{end}").unlink(missing_ok=True)
    before = fingerprint(room.home)

    code, out, _ = doctor(room, "--json")

    assert fingerprint(room.home) == before
    assert code == 0
    assert json.loads(out)["counts"]["warnings"] >= 1


def test_a_missing_home_is_a_finding_and_stays_missing(room: DoctorRoom, tmp_path: Path) -> None:
    done = room.run(f"nanoclaw doctor --home {tmp_path / 'none'}")

    assert done.returncode == 1
    assert "ERROR home: home-there" in done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500], ids=["empty", "garbage"])
def test_a_broken_database_gives_findings_and_no_traceback(
    room: DoctorRoom, content: bytes
) -> None:
    room.paths.central_db.write_bytes(content)

    code, out, err = doctor(room)

    assert code in (0, 1)
    assert "Traceback" not in out + err
    assert "not checked" not in out


def test_broken_settings_are_a_finding(room: DoctorRoom) -> None:
    room.paths.config_file.write_text("= nonsense")

    code, out, _ = doctor(room, "--only settings")

    assert code == 1
    assert "config-valid" in out


def test_without_an_engine_everything_else_is_checked(room: DoctorRoom) -> None:
    room.stop_engine()

    code, out, _ = doctor(room, "--json")

    checks = {check["id"]: check for check in json.loads(out)["checks"]}
    assert code == 1
    assert checks["engine-answers"]["state"] == "found"
    assert checks["image-there"]["state"] == "skipped"
    assert checks["db-integrity"]["state"] == "good"


def test_warnings_count_only_with_lint(room: DoctorRoom) -> None:
    room.paths.central_db.chmod(0o644)

    assert doctor(room, "--only home")[0] == 0
    assert doctor(room, "--only home --lint")[0] == 1


def test_an_unknown_check_is_a_usage_error(room: DoctorRoom) -> None:
    code, _, err = doctor(room, "--only nonsense")

    assert code == 2
    assert "--list" in err


def test_nothing_is_fixed_unasked(room: DoctorRoom) -> None:
    room.paths.central_db.chmod(0o644)

    code, _, err = doctor(room, "--fix --only home-private")
    assert code == 2
    assert "--yes" in err
    assert "would mend" in doctor(room, "--fix --dry-run --only home-private")[1]
    assert room.paths.central_db.stat().st_mode & 0o077

    code, out, _ = doctor(room, "--fix --yes --only home-private")
    assert code == 0
    assert "fixed home-private" in out
    assert not room.paths.central_db.stat().st_mode & 0o077


def test_a_repair_keeps_the_earlier_database(room: DoctorRoom) -> None:
    room.session(agent_group_id="ag-gone")

    doctor(room, "--fix --yes --only db-keys")

    kept = next(room.paths.backups.glob("before-doctor-*.db"))
    conn = sqlite3.connect(kept)
    assert conn.execute("SELECT agent_group_id FROM sessions").fetchall() == [("ag-gone",)]
    conn.close()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_repair_waits_for_the_host_to_stop(room: DoctorRoom) -> None:
    room.session(agent_group_id="ag-gone")
    room.host_up()

    code, out, _ = doctor(room, "--fix --yes --only db-keys")

    assert code == 1
    assert "fixed db-keys: not done" in out


def test_rights_in_a_group_that_is_gone_do_not_become_rights_everywhere(room: DoctorRoom) -> None:
    room.sql("INSERT INTO users (id, kind, created_at) VALUES ('u:1', 'u', '2026')")
    room.sql("INSERT INTO user_roles (user_id, role, agent_group_id, granted_at)"
             " VALUES ('u:1', 'admin', 'ag-gone', '2026')")  # fmt: skip

    health.remove_orphans(room.paths.central_db, soft=False)

    with health.looking(room.paths.central_db) as conn:
        rows = conn.execute("SELECT * FROM user_roles WHERE user_id = 'u:1'").fetchall()
    assert rows == []


def test_orphans_of_every_foreign_key_are_found_and_removed(room: DoctorRoom) -> None:
    path = room.paths.central_db
    with health.looking(path) as conn:
        relations = [tuple(row) for row in conn.execute(
            "SELECT m.name, f.\"from\" FROM sqlite_schema m, pragma_foreign_key_list(m.name) f"
            " WHERE m.type = 'table'")]  # fmt: skip
    assert len(relations) > 30
    for table, column in relations:
        insert_orphan(path, table, column)
        assert health.foreign_orphans(path)[f"{table}.{column}"] == 1
        health.remove_orphans(path, soft=False)
        assert health.foreign_orphans(path) == {}


def insert_orphan(path: Path, table: str, orphan: str) -> None:
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA ignore_check_constraints = ON")
    columns = conn.execute(f"PRAGMA table_info({table})").fetchall()
    values = {row[1]: "x" if row[2] == "TEXT" else 1 for row in columns if row[3] or row[5]}
    values[orphan] = "gone"
    names, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
    with conn:
        conn.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(values.values()))
    conn.close()


def test_every_line_fits_the_terminal_and_the_worst_comes_first(room: DoctorRoom) -> None:
    room.stop_engine()
    room.paths.central_db.chmod(0o644)
    facts = room.facts()
    outcomes = examine(facts, choose("") or [])

    text = render(facts, outcomes)

    long_words = [word for word in text.split() if len(word) > 60]
    assert [line for line in text.splitlines()
            if len(line) > 80 and not any(word in line for word in long_words)] == []  # fmt: skip
    words = [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]
    found = [word for word in words if word in ("ERROR", "WARNING", "NOTE")]
    assert found == sorted(found, key=["ERROR", "WARNING", "NOTE"].index)
    assert found[0] == "ERROR"


def test_a_check_that_hangs_or_fails_keeps_no_other_from_being_done(room: DoctorRoom) -> None:
    release = threading.Event()

    def hang(facts: Facts) -> Finding | None:
        release.wait(60)
        return None

    def fail(facts: Facts) -> Finding | None:
        raise ZeroDivisionError("no")

    def closed(facts: Facts) -> Finding | None:
        raise PermissionError(13, "closed")

    def good(facts: Facts) -> Finding | None:
        return None

    checks = [Check(name, "a", Severity.ERROR, "t", act)
              for name, act in (("x", hang), ("y", fail), ("c", closed), ("z", good))]  # fmt: skip
    outcomes = examine(room.facts(), checks, seconds=0.2)
    release.set()

    assert [outcome.state for outcome in outcomes] == [
        State.FAILED,
        State.FAILED,
        State.SKIPPED,
        State.GOOD,
    ]
    assert exit_code(outcomes, lint=False) == 0
    assert exit_code(outcomes, lint=True) == 1
    assert "not checked: ZeroDivisionError: no" in render(room.facts(), outcomes)


def test_a_vault_that_nobody_needs_yet_is_no_finding(room: DoctorRoom) -> None:
    room.host_up(ChildStatus("vault", wanted=False, state="waiting", reason="not needed yet"))

    assert room.find("vault-runs") is None
    assert room.find("host-children") is None


def test_an_agent_that_never_started_needs_no_folder_yet(room: DoctorRoom) -> None:
    (room.paths.groups / room.group_folder).rmdir()

    assert room.find("agent-folders") is None


def test_it_works_beside_a_running_host(room: DoctorRoom) -> None:
    room.host_up()

    code, out, _ = doctor(room, "--json")

    assert code in (0, 1)
    assert json.loads(out)["host_running"] is True
    assert os.getpid() == room.facts().host_pid

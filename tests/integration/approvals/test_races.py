"""Several processes at once: one decision counts, and the audit stays one chain."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from helpers import programs
from helpers.approval_office import Office

from contract.clock import to_text, utc_now
from nanoclaw import audit, audit_archive
from nanoclaw.audit import Verified
from nanoclaw.db.connection import transaction
from nanoclaw.errors import StateError

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60
OWNER = "telegram:7"

PREPARE = """
import sys
from pathlib import Path
from contract.clock import utc_now
from nanoclaw import audit
from nanoclaw.approvals import answers, requests
from nanoclaw.approvals.clicks import Click
from nanoclaw.audit import AuditEntry
from nanoclaw.db.connection import open_central, transaction
conn = open_central(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
"""

PRESS_ALL = """
for card in sys.argv[3].split(","):
    with transaction(conn):
        click = Click(card, sys.argv[2], "telegram:7", "telegram", "7", "m-1")
        print(answers.answer(conn, click, utc_now()).outcome)
"""

EXPIRE_ALL = """
for _ in range(40):
    with transaction(conn):
        requests.expire(conn, utc_now())
"""

APPEND = """
for number in range(100):
    with transaction(conn):
        audit.record(conn, AuditEntry("test", sys.argv[2], str(number), {}), utc_now())
"""


def run_together(office: Office, *codes: tuple[str, ...]) -> list[list[str]]:
    """Starts all, lets them go at the same moment, and returns what each has printed."""
    path = str(office.paths.central_db)
    return programs.run_together([(PREPARE + code, path, *arguments) for code, *arguments in codes])


def make_cards(office: Office, count: int) -> list[str]:
    office.owner(OWNER)
    return [office.request(f"r-{number}") for number in range(count)]


def test_two_clicks_at_once_are_one_decision(office: Office) -> None:
    cards = make_cards(office, 15)

    outputs = run_together(
        office, (PRESS_ALL, "0", ",".join(cards)), (PRESS_ALL, "1", ",".join(reversed(cards)))
    )

    assert Counter(outputs[0] + outputs[1]) == {"accepted": 15, "already_answered": 15}
    assert office.rows("SELECT count(*) FROM effects") == [(15,)]
    assert office.rows("SELECT count(*) FROM audit WHERE kind = 'approval.decided'") == [(15,)]
    assert office.rows(
        "SELECT count(*) FROM pending_approvals p JOIN effects e ON e.approval_id = p.approval_id"
        " WHERE (p.status = 'approved') = (e.kind = 'drink_tea')"
    ) == [(15,)]


def test_click_and_expiry_at_once_are_one_end(office: Office) -> None:
    cards = make_cards(office, 15)
    with transaction(office.conn):
        for number, card in enumerate(cards):
            office.conn.execute(
                "UPDATE pending_approvals SET expires_at = strftime('%Y-%m-%dT%H:%M:%fZ', ?, ?)"
                " WHERE approval_id = ?",
                (to_text(utc_now()), f"+{0.001 * number:.3f} seconds", card),
            )

    outputs = run_together(office, (PRESS_ALL, "0", ",".join(cards)), (EXPIRE_ALL,))

    assert set(outputs[0]) <= {"accepted", "expired"}
    assert len(outputs[0]) == 15
    ended = office.rows("SELECT status, count(*) FROM pending_approvals GROUP BY status")
    assert sum(int(str(count)) for _, count in ended) == 15
    assert {status for status, _ in ended} <= {"approved", "expired"}
    assert office.rows("SELECT count(*) FROM effects") == [(15,)]


def test_two_processes_keep_one_chain(office: Office) -> None:
    before = audit.verify(office.conn).rows

    run_together(office, (APPEND, "a"), (APPEND, "b"), (APPEND, "c"))

    assert audit.verify(office.conn) == Verified(before + 300)


def test_archived_rows_and_new_ones_are_one_chain(office: Office, tmp_path: Path) -> None:
    run_together(office, (APPEND, "a"), (APPEND, "b"))
    folder = tmp_path / "audit"
    total = audit.verify(office.conn).rows

    file = audit_archive.archive(office.conn, folder, utc_now())
    run_together(office, (APPEND, "c"))
    second = audit_archive.archive(office.conn, folder, utc_now())
    run_together(office, (APPEND, "d"))

    assert file is not None
    assert second is not None
    assert file.stat().st_mode & 0o777 == 0o600
    assert audit_archive.verify_archives(office.conn, folder) == Verified(total + 100)
    assert audit.verify(office.conn) == Verified(100)


@pytest.mark.parametrize("damage", ["altered", "removed", "reordered", "no file"])
def test_damaged_archive_is_found(office: Office, tmp_path: Path, damage: str) -> None:
    run_together(office, (APPEND, "a"))
    file = audit_archive.archive(office.conn, tmp_path / "audit", utc_now())
    assert file is not None
    lines = file.read_text().splitlines()
    if damage == "altered":
        lines[4] = lines[4].replace('"actor":"a"', '"actor":"b"')
    elif damage == "removed":
        del lines[4]
    elif damage == "reordered":
        lines[4], lines[5] = lines[5], lines[4]
    else:
        lines = []
    file.write_text("".join(line + "\n" for line in lines))
    if damage == "no file":
        file.unlink()

    found = audit_archive.verify_archives(office.conn, tmp_path / "audit")

    assert found.first_bad == (1 if damage == "no file" else 5)


def test_broken_chain_is_not_archived(office: Office, tmp_path: Path) -> None:
    run_together(office, (APPEND, "a"))
    office.conn.execute("DROP TRIGGER audit_no_change")
    office.conn.execute("UPDATE audit SET actor = 'x' WHERE seq = 3")

    with pytest.raises(StateError, match="row 3"):
        audit_archive.archive(office.conn, tmp_path / "audit", utc_now())

    assert audit.verify(office.conn).first_bad == 3


def test_archive_interrupted_before_its_anchor_is_written_again(
    office: Office, tmp_path: Path
) -> None:
    run_together(office, (APPEND, "a"))
    folder, before = tmp_path / "audit", utc_now()
    program = (
        "import sys\nfrom pathlib import Path\nfrom contract.clock import parse_text\n"
        "from nanoclaw import audit_archive\nfrom nanoclaw.db.connection import open_central\n"
        "audit_archive.archive(open_central(Path(sys.argv[1])), Path(sys.argv[2]),"
        " parse_text(sys.argv[3]))\n"
    )
    office.kill.arm("audit.archive_written", "self")
    arguments = [str(office.paths.central_db), str(folder), to_text(before)]
    died = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={"NANOCLAW_KILL_DIR": str(office.kill.path)},
        check=False,
    )
    rows = audit.verify(office.conn).rows

    file = audit_archive.archive(office.conn, folder, before)

    assert died.returncode == -9
    assert file is not None
    assert [item.name for item in folder.iterdir()] == [file.name]
    assert audit_archive.verify_archives(office.conn, folder) == Verified(rows)
    assert audit_archive.archive(office.conn, folder, before) is None

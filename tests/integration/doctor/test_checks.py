"""Each check finds what it is for in a home that has it, and nothing once that is mended."""

import pytest
from helpers.doctor_cases import CASES, Case
from helpers.doctor_room import DoctorRoom

from nanoclaw.db import health
from nanoclaw.doctor.run import State, examine
from nanoclaw.doctor.table import BY_ID, CHECKS


def test_each_check_has_a_case() -> None:
    assert [case.id for case in CASES] == [check.id for check in CHECKS]
    assert len(BY_ID) == len(CHECKS) >= 40


def test_a_healthy_installation_has_no_finding(room: DoctorRoom) -> None:
    outcomes = examine(room.facts(), CHECKS)

    assert [(o.check.id, o.finding, o.reason) for o in outcomes
            if o.state in (State.FOUND, State.FAILED)] == []  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_is_found_and_gone_after_the_fix(case: Case, room: DoctorRoom) -> None:
    case.hurt(room)
    found = room.find(case.id)
    assert found is not None
    assert found.evidence
    assert found.meaning.endswith(".")

    if case.mend is not None:
        case.mend(room)
    else:
        done = room.run(room.fix(case.id), case.stdin)
        assert done.returncode in (0, 1), done.stderr + done.stdout

    assert room.find(case.id) is None


@pytest.mark.parametrize(
    "relation", health.SOFT, ids=lambda relation: f"{relation[0]}-{relation[2]}"
)
def test_each_unguarded_reference_is_looked_at(relation: health.Relation, room: DoctorRoom) -> None:
    with health.looking(room.paths.central_db) as conn:
        columns = {row[1] for row in conn.execute(f"PRAGMA table_info({relation[0]})")}

    assert relation[1] in columns

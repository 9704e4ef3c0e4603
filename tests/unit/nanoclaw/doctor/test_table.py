"""The table of checks, and the page that shows it."""

from pathlib import Path

from nanoclaw.cli.doctor import choose
from nanoclaw.doctor.table import CHECKS

PAGE = Path(__file__).resolve().parents[4] / "docs" / "doctor.md"


def test_the_page_shows_every_check_as_it_is() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

    assert rows == [
        f"| `{check.id}` | {check.area} | {check.severity} | "
        f"{'yes' if check.cure else '-'} | {check.title} |"
        for check in CHECKS
    ]


def test_ids_are_unique_and_none_is_the_name_of_an_area() -> None:
    ids = [check.id for check in CHECKS]

    assert len(ids) == len(set(ids))
    assert not set(ids) & {check.area for check in CHECKS}


def test_checks_are_chosen_by_id_and_by_area() -> None:
    chosen = choose("db-integrity, messages")

    assert chosen is not None
    assert {check.area for check in chosen} == {"databases", "messages"}
    assert choose("db-integrity,nonsense") is None
    assert choose("") == list(CHECKS)

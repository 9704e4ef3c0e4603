from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[3] / "runner"


@pytest.mark.parametrize("path", sorted(RUNNER.rglob("*.py")), ids=lambda path: path.name)
def test_nobody_asks_for_the_account_that_runs_the_program(path: Path) -> None:
    """The user of a container may have no entry in /etc/passwd."""
    text = path.read_text()

    for word in ("pwd", "getpass", "expanduser", "Path.home", "getlogin"):
        assert word not in text

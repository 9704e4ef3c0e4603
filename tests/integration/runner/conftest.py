"""The session under test; whatever a test starts is ended with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.runner_process import RunnerSession


@pytest.fixture
def session(tmp_path: Path) -> Iterator[RunnerSession]:
    made = RunnerSession(tmp_path / "session")
    yield made
    made.stop_all()

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.egress_room import EgressRoom


@pytest.fixture
def room(tmp_path: Path) -> Iterator[EgressRoom]:
    made = EgressRoom(tmp_path / "home")
    yield made
    made.close()

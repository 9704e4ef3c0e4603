"""A healthy installation to break."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.doctor_room import DoctorRoom


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoctorRoom]:
    room = DoctorRoom(tmp_path, monkeypatch)
    yield room
    room.close()

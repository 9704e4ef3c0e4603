from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.delivery_room import DeliveryRoom, open_room


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[DeliveryRoom]:
    with open_room(tmp_path) as room:
        yield room

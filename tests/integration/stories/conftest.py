"""One town per story: a real host, two chat platforms, an owner on one of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.town import Town, TownChannel

OWNER = "telegram:owner"
OWNER_CHAT = "dm-owner"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Town(tmp_path / "home") as town:
        town.open_channel("telegram")
        town.make_owner(OWNER)
        yield town


@pytest.fixture
def telegram(town: Town) -> TownChannel:
    return town.channels["telegram"]

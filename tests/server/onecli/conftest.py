from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.onecli_stand_in import KEY, OneCli
from helpers.vault_upstream import FakeUpstream


@pytest.fixture
def onecli(tmp_path: Path) -> Iterator[OneCli]:
    with OneCli(tmp_path / "onecli", key=KEY) as made:
        yield made


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as made:
        yield made

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.admin_desk import AdminDesk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[AdminDesk]:
    made = AdminDesk(tmp_path)
    yield made
    made.close()

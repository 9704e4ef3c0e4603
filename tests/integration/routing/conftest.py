from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.routing_stage import RouterStage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[RouterStage]:
    stage = RouterStage(tmp_path)
    yield stage
    stage.close()

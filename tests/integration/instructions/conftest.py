from pathlib import Path

import pytest
from helpers.instruction_files import Files, make_files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path)

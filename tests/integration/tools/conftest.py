from pathlib import Path

import pytest
from helpers.desk_session import FAMILY, OPS, PEER, DeskSession


@pytest.fixture
def session(tmp_path: Path) -> DeskSession:
    """A session with three destinations, whose own chat is the terminal."""
    session = DeskSession(tmp_path)
    session.permit(FAMILY, OPS, PEER)
    return session

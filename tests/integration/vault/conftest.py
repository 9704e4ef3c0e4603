from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import FakeUpstream


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as made:
        yield made


@pytest.fixture
def vault(tmp_path: Path, upstream: FakeUpstream) -> Iterator[VaultProcess]:
    """Not started yet; its key is in place and its upstream is the fake one."""
    with VaultProcess(tmp_path) as made:
        made.settings(anthropic_base_url=upstream.url)
        made.key()
        yield made

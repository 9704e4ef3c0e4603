from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.onecli_scene import Scene
from helpers.onecli_stand_in import KEY, OneCli
from helpers.vault_process import VaultProcess
from helpers.vault_upstream import FakeUpstream


@pytest.fixture
def onecli(tmp_path: Path) -> Iterator[OneCli]:
    with OneCli(tmp_path / "onecli", key=KEY) as made:
        yield made


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as made:
        yield made


@pytest.fixture
def scene(tmp_path: Path, onecli: OneCli, upstream: FakeUpstream) -> Iterator[Scene]:
    """With a key for OneCLI and none for the model."""
    with VaultProcess(tmp_path) as vault:
        made = Scene(tmp_path, onecli, vault)
        made.settings(anthropic_base_url=upstream.url)
        vault.key(KEY, name="onecli-api-key")
        yield made

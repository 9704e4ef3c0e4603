"""Runs every scenario on every channel whose driver has the abilities it needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.channel_conformance import ABILITIES, DRIVERS, Ability, Driver


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*abilities): the platform must have them")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("needs")
    needed: set[Ability] = set(marker.args) if marker else set()
    names = [name for name in DRIVERS if needed <= ABILITIES[name]]
    metafunc.parametrize("driver", names, indirect=True)


@pytest.fixture
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    with DRIVERS[request.param](tmp_path / "home") as opened:
        yield opened

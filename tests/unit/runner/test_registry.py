from pathlib import Path

import pytest

from contract.config import RunnerConfig, SessionConfig
from contract.layout import RunnerPaths
from runner.errors import ConfigError
from runner.providers.base import Provider, ProviderOptions
from runner.providers.registry import ProviderRegistry
from runner.providers.scripted import ScriptedProvider, create
from runner.toolbox.none import NoInstructions, Nothing, NoTools

OPTIONS = ProviderOptions(
    RunnerPaths(Path("in"), Path("out"), Path("agent"), Path("app")),
    SessionConfig(session_id="s", agent_group_id="g", lease=1),
    RunnerConfig(),
    NoTools(),
    NoInstructions(),
    Nothing(),
    Nothing(),
)


def test_built_in_provider_is_found_by_name() -> None:
    assert isinstance(ProviderRegistry().create("scripted", OPTIONS), ScriptedProvider)


def test_another_provider_joins_by_name_alone() -> None:
    registry = ProviderRegistry()
    made: list[ProviderOptions] = []

    def third(options: ProviderOptions) -> Provider:
        made.append(options)
        return create(options)

    registry.register("third", third)

    registry.create("third", OPTIONS)
    assert made == [OPTIONS]


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'oracle'.*scripted") as caught:
        ProviderRegistry().create("oracle", OPTIONS)

    assert "oracle" in caught.value.notice


def test_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="already"):
        ProviderRegistry().register("scripted", "somewhere.else")

"""Whole conversations through host, vault and runner, with the runner as a child process.

tests/docker/test_agent.py plays the same scenarios in containers.
"""

from pathlib import Path

import pytest
from helpers.agent import AgentHome
from helpers.agent_scenarios import SCENARIOS, Scenario
from helpers.messages_api.server import MessagesApi


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    with MessagesApi() as api, AgentHome(tmp_path, api, "process") as home:
        scenario(home)

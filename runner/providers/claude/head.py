"""Builds the head of requests: model, thinking, effort, system blocks and tools (R-248, R-260).

Called by ``mainline`` for the conversation and by ``subagent`` for its own short ones. Whatever is
in a head is stable: schemas have sorted keys, the order of tools is fixed, nothing in it tells the
time (R-268).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from contract.config import RunnerConfig
from runner.instructions.model import InstructionSource
from runner.log import fields
from runner.providers.claude.capabilities import (
    Capabilities,
    choose_effort,
    choose_max_tokens,
    choose_thinking,
)
from runner.providers.claude.epoch import Prefix, system_blocks
from runner.providers.claude.features import Feature, FeatureSet
from runner.providers.claude.message import Block
from runner.providers.claude.webtools import FETCH, server_tools, tool_block, with_search
from runner.toolbox.base import Toolbox, ToolSpec

_log = logging.getLogger(__name__)

_FOREIGN = "mcp__"
"""Names of tools that come after our built-in ones."""


@dataclass(frozen=True, slots=True)
class Head:
    prefix: Prefix
    capabilities: Capabilities
    max_tokens: int


class ModelSource(Protocol):
    async def find(self, wanted: str | None) -> tuple[str, Capabilities]:
        """The model's full name and what it can do; ``wanted`` may be an alias or None."""


@dataclass(frozen=True, slots=True)
class HeadParts:
    config: RunnerConfig
    timezone: str
    toolbox: Toolbox
    instructions: InstructionSource
    features: FeatureSet
    models: ModelSource
    extra_tools: tuple[ToolSpec, ...] = ()
    """Tools that the provider itself carries out, such as ``task``."""


class HeadBuilder:
    """One per process."""

    def __init__(self, parts: HeadParts) -> None:
        self._parts = parts

    async def build(self, model: str | None = None) -> Head:
        """As things are now; ``model`` instead of the configured one."""
        parts = self._parts
        instructions = await parts.instructions.read()
        specs = await parts.toolbox.specs()
        name, capabilities = await parts.models.find(model or parts.config.model)
        effort = choose_effort(parts.config.effort, capabilities)
        if effort.problem:
            _log.warning("configuration", extra=fields(reason=effort.problem))
        system, labels = system_blocks(instructions, instructions.day)
        prefix = Prefix(
            model=name,
            effort=effort.effort,
            thinking=choose_thinking(capabilities),
            system=system,
            labels=labels,
            tools=self.tools((*specs, *parts.extra_tools), capabilities),
        )
        return Head(prefix, capabilities, choose_max_tokens(capabilities, effort.effort))

    def tools(self, specs: Sequence[ToolSpec], capabilities: Capabilities) -> tuple[Block, ...]:
        """Built-in ones by name, then the server's, then ours and those of MCP servers."""
        config = self._parts.config
        disabled = frozenset(config.disabled_tools)
        shown = [spec for spec in specs if spec.name not in disabled]
        of_server: tuple[Block, ...] = ()
        if capabilities.server_tools:
            of_server = server_tools(
                config.web_tools, self._parts.features, self._parts.timezone, disabled
            )
        if any(tool["name"] == FETCH for tool in of_server):
            shown = [spec for spec in shown if spec.name != FETCH]
        own = sorted((s for s in shown if not s.name.startswith(_FOREIGN)), key=lambda s: s.name)
        others = [spec for spec in shown if spec.name.startswith(_FOREIGN)]
        blocks = (*map(tool_block, own), *of_server, *map(tool_block, others))
        if not capabilities.server_tools:
            return blocks
        return with_search(
            blocks, [_enabled(spec, disabled) for spec in shown], self._parts.features
        )


def official_features() -> FeatureSet:
    return FeatureSet()


def compatible_features(compat: Mapping[str, object]) -> FeatureSet:
    """Only the basics, and cache markers if the configuration says so (R-279)."""
    missing = set(Feature) - {Feature.TOOL_CHOICE}
    if compat.get("cache") is True:
        missing.discard(Feature.CACHE)
    return FeatureSet(missing)


def _enabled(spec: ToolSpec, disabled: frozenset[str]) -> ToolSpec:
    return replace(spec, listed=tuple(one for one in spec.listed if one.name not in disabled))

"""The channels that exist: kind, where the adapter's code lies, what it needs (C-4).

Read by the worker's composition root, ``status`` and the wizard. Imports no platform code: an
adapter is named by a ``package:Class`` string and loaded in its own process only.
"""

import importlib
from dataclasses import dataclass
from enum import StrEnum

from nanoclaw.channels.adapter import Channel
from nanoclaw.errors import ConfigError


class Distribution(StrEnum):
    """Whether a channel works from the file alone or needs libraries that are installed later."""

    CORE = "core"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """One row of the registry."""

    name: str
    target: str
    display_name: str
    summary: str
    required_keys: tuple[str, ...] = ()
    distribution: Distribution = Distribution.CORE
    operator: bool = False
    """May name any chat as the source of a message (C-17)."""


KINDS: tuple[ChannelKind, ...] = (
    ChannelKind(
        "cli",
        "nanoclaw.channels.cli.adapter:CliChannel",
        "Terminal",
        "text, questions as numbered lines, files by path; always on",
        operator=True,
    ),
)


def kind_of(instance: str) -> ChannelKind:
    """The kind of an instance such as ``cli`` or ``telegram-work``; raises ConfigError."""
    fitting = [
        kind for kind in KINDS if instance == kind.name or instance.startswith(f"{kind.name}-")
    ]
    if not fitting:
        known = ", ".join(kind.name for kind in KINDS)
        raise ConfigError(f"there is no channel {instance!r}; known channels: {known}")
    return max(fitting, key=lambda kind: len(kind.name))


def load_adapter(kind: ChannelKind) -> Channel:
    """A new adapter object; the only dynamic import of the host. Raises ConfigError."""
    module_name, _, class_name = kind.target.partition(":")
    adapter: object = getattr(importlib.import_module(module_name), class_name)()
    if not isinstance(adapter, Channel):
        raise ConfigError(f"{kind.target} is no channel adapter; see docs/channels.md")
    return adapter

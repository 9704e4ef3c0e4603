"""Names of providers and where their factories are.

Asked once by ``program``. An entry is text, so that a provider's packages are imported
only when it is the chosen one; a new provider is one more line in ``BUILT_IN`` and a module with
``create``. The loop knows none of them.
"""

from collections.abc import Callable
from importlib import import_module

from runner.errors import ConfigError
from runner.providers.base import Provider, ProviderOptions

Factory = Callable[[ProviderOptions], Provider]

BUILT_IN = {
    "claude": "runner.providers.claude.provider",
    "scripted": "runner.providers.scripted",
}
"""Name -> module with ``create(options) -> Provider``."""


class ProviderRegistry:
    """Name -> module or factory."""

    def __init__(self, modules: dict[str, str] | None = None) -> None:
        self._entries: dict[str, str | Factory] = dict(BUILT_IN if modules is None else modules)

    def register(self, name: str, entry: str | Factory) -> None:
        """A name is given once (R-192)."""
        if name in self._entries:
            raise ValueError(f"provider {name} is registered already")
        self._entries[name] = entry

    def create(self, name: str, options: ProviderOptions) -> Provider:
        """Raises ConfigError for a name that is not registered (R-17)."""
        entry = self._entries.get(name)
        if entry is None:
            known = ", ".join(sorted(self._entries))
            raise ConfigError(
                f"unknown provider {name!r}; known are: {known}",
                f"The agent cannot start: the provider {name!r} is not known here "
                f"(known: {known}). Whoever runs this installation has to choose another one.",
            )
        return _factory(entry)(options)


def _factory(entry: str | Factory) -> Factory:
    if not isinstance(entry, str):
        return entry
    create: Factory = import_module(entry).create
    return create

"""The endpoints of this installation, their connections, and which of them is failing just now.

Used by ``planning`` (which may serve this request) and ``exchange`` (asks them in order, and tells
what came of it). Without ``[[endpoints]]`` there is one, from ``anthropic_base_url``.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from nanoclaw.config import HostConfig, KeyHeader
from nanoclaw.model_settings import EndpointSettings, matches
from nanoclaw.vault.endpoints.decide import Rest, order, rest_after, seconds_of_long
from nanoclaw.vault.upstream import Upstream

DEFAULT = "default"


@dataclass(slots=True)
class Endpoint:
    """``key_header`` is how an API key is written there."""

    settings: EndpointSettings
    upstream: Upstream
    key_header: KeyHeader
    rest: Rest = field(default_factory=Rest)

    @property
    def name(self) -> str:
        return self.settings.name

    def serves(self, model: str | None) -> bool:
        patterns = self.settings.models
        return model is None or not patterns or any(matches(item, model) for item in patterns)


@dataclass(frozen=True, slots=True)
class Outage:
    """``others_work``: there is an endpoint that is not failing."""

    seconds: float
    others_work: bool


class Endpoints:
    """On the event loop's thread only. ``clock`` is monotonic."""

    def __init__(self, config: HostConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        settings = config.endpoints or (EndpointSettings(DEFAULT, config.anthropic_base_url),)
        self._all = [
            Endpoint(
                item,
                Upstream(item.base_url, item.ca),
                config.anthropic_key_header
                if item.key_header is None
                else KeyHeader(item.key_header),
            )
            for item in settings
        ]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(endpoint.name for endpoint in self._all)

    def candidates(self, model: str | None, only: str | None) -> Sequence[Endpoint]:
        """In the order in which they should be asked; ``only`` is an agent's own choice."""
        able = [
            endpoint
            for endpoint in self._all
            if endpoint.serves(model) and only in (None, endpoint.name)
        ]
        now = self._clock()
        return [able[number] for number in order([item.rest for item in able], now)]

    def begin(self, endpoint: Endpoint) -> None:
        """While one request tries a failing one, others go elsewhere."""
        if endpoint.rest.failures:
            endpoint.rest = replace(endpoint.rest, probing=True)

    def failed(self, endpoint: Endpoint, wish: float | None = None) -> int:
        """How often in a row."""
        endpoint.rest = rest_after(endpoint.rest, self._clock(), wish)
        return endpoint.rest.failures

    def outage(self, endpoint: Endpoint) -> Outage | None:
        """What an owner should know of one that has been failing for long."""
        seconds = seconds_of_long(endpoint.rest, self._clock())
        if seconds is None:
            return None
        return Outage(seconds, any(not item.rest.failures for item in self._all))

    def worked(self, endpoint: Endpoint) -> None:
        endpoint.rest = Rest()

    def left(self, endpoint: Endpoint) -> None:
        """Nothing was learned: the client went away."""
        endpoint.rest = replace(endpoint.rest, probing=False)

    def close(self) -> None:
        for endpoint in self._all:
            endpoint.upstream.close()

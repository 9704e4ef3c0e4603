"""Whether the far end is Anthropic's own API or only speaks its language (R-279). Pure.

Our base URL is always the local door, so the address says nothing; the host, which knows the
vault's upstream, writes it into ``container.json``: ``"compat": {"endpoint": "compatible"}``.
Absent means Anthropic. ``"cache": true`` allows cache markers on a compatible endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

COMPATIBLE = "compatible"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``cache``: markers for the prompt cache may be sent."""

    compatible: bool = False
    cache: bool = True


def read_endpoint(compat: Mapping[str, object]) -> Endpoint:
    """From ``RunnerConfig.compat``. An unknown value means the careful one."""
    kind = compat.get("endpoint")
    if kind in (None, "", "anthropic"):
        return Endpoint()
    return Endpoint(compatible=True, cache=compat.get("cache") is True)

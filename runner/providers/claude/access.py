"""Where the Messages API is and what opens it, from the environment that ``program`` read.

Called by ``provider`` at start. In a container the address is the local door and the token the
session's own (design: keys never enter); a key may stand there instead for a direct endpoint. A
subscription token is recognised and refused in plain words (R-215).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from runner.errors import ConfigError

DEFAULT_URL = "https://api.anthropic.com"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Access:
    """Exactly one of the two secrets is set. Never logged, hence no ``repr`` of them."""

    base_url: str
    token: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Access({self.base_url!r})"

    @property
    def is_official(self) -> bool:
        """Anthropic's own API, or the door that leads to it; else a compatible one (R-279)."""
        host = urlsplit(self.base_url).hostname or ""
        return host in _LOOPBACK or host == "anthropic.com" or host.endswith(".anthropic.com")


def read_access(environment: Mapping[str, str]) -> Access:
    """Raises ConfigError, with a sentence for the chat."""
    base_url = environment.get("ANTHROPIC_BASE_URL", "").strip() or DEFAULT_URL
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise ConfigError(
            "ANTHROPIC_BASE_URL is not an http address",
            "The agent cannot start: the address of the model is not usable. "
            "Whoever runs this installation has to correct it.",
        )
    token = _secret(environment, "ANTHROPIC_AUTH_TOKEN")
    if token:
        return Access(base_url, token=token)
    key = _secret(environment, "ANTHROPIC_API_KEY")
    if key:
        return Access(base_url, key=key)
    if environment.get("CLAUDE_CODE_OAUTH_TOKEN"):
        raise ConfigError(
            "only CLAUDE_CODE_OAUTH_TOKEN is set, which opens Claude Code and not the Messages API",
            "The agent cannot start: a Claude subscription does not work with the provider "
            "'claude'. Whoever runs this installation has to add an API key, or choose the "
            "provider 'claude-code'.",
        )
    raise ConfigError(
        "neither ANTHROPIC_AUTH_TOKEN nor ANTHROPIC_API_KEY is set",
        "The agent cannot start: it has no access to the model. "
        "Whoever runs this installation has to add an API key.",
    )


def _secret(environment: Mapping[str, str], name: str) -> str:
    secret = environment.get(name, "").strip()
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(
            f"{name} holds characters that no header can carry",
            "The agent cannot start: its access to the model is damaged. "
            "Whoever runs this installation has to set it again.",
        )
    return secret

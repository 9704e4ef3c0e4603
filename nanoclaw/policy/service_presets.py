"""Services that many people use: which hosts, which header. Facts of their own documentation.

Read by ``ncl services add --preset``; what is given beside it wins. A preset never brings a secret
and is nowhere in force by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nanoclaw.policy.services import AUTHORIZATION, PLACE

BEARER = f"Bearer {PLACE}"


@dataclass(frozen=True, slots=True)
class Preset:
    """``user`` set: basic authentication instead of the template."""

    hosts: tuple[str, ...]
    header: str = AUTHORIZATION
    template: str = BEARER
    user: str | None = None


PRESETS: Mapping[str, Preset] = {
    "anthropic": Preset(("api.anthropic.com",), "x-api-key", PLACE),
    "github": Preset(("api.github.com", "uploads.github.com")),
    "github-git": Preset(("github.com",), user="x-access-token"),
    "gitlab": Preset(("gitlab.com",), "private-token", PLACE),
    "gitlab-git": Preset(("gitlab.com",), user="oauth2"),
    "gemini": Preset(("generativelanguage.googleapis.com",), "x-goog-api-key", PLACE),
    "huggingface": Preset(("huggingface.co", "router.huggingface.co")),
    "linear": Preset(("api.linear.app",), template=PLACE),
    "mistral": Preset(("api.mistral.ai",)),
    "notion": Preset(("api.notion.com",)),
    "npm": Preset(("registry.npmjs.org",)),
    "openai": Preset(("api.openai.com",)),
    "openrouter": Preset(("openrouter.ai",)),
    "pypi": Preset(("upload.pypi.org",), user="__token__"),
    "sentry": Preset(("sentry.io",)),
    "slack": Preset(("slack.com",)),
    "stripe": Preset(("api.stripe.com",)),
}

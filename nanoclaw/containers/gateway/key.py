"""OneCLI's own key: where the host keeps it. It is a secret and no setting.

Read by whoever calls OneCLI, each time, so that a changed key counts at once: the environment, then
``.env`` (H-295), then the secret ``onecli-api-key``. None is fine where OneCLI asks for none.
"""

from collections.abc import Mapping

from nanoclaw.config import HostConfig, read_env_file
from nanoclaw.errors import ConfigError
from nanoclaw.secret_store.store import open_store

VARIABLE = "ONECLI_API_KEY"
SECRET = "onecli-api-key"  # noqa: S105  its name


def read_key(config: HostConfig, environment: Mapping[str, str]) -> str | None:
    """Raises ConfigError for one that cannot be read or used."""
    found = environment.get(VARIABLE) or read_env_file(config.paths.env_file).get(VARIABLE)
    where = VARIABLE
    if not found:
        found, where = open_store(config).get(SECRET), f"the secret {SECRET}"
    key = (found or "").strip()
    if not key:
        return None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"{where} is not a key: it holds blanks or other characters; set it anew")
    return key

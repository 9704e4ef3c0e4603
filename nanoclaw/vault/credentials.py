"""The key for the model's address: where it is kept, and how it is written on a request.

Asked for every request, so that a changed key counts at once; the store reads a value again only
when it has changed. Looked for in this order: the secrets ``anthropic-api-key`` and
``anthropic-auth-token``, the host's environment, ``.env``; ``for_name`` is for agents and endpoints
that have a secret of their own. A problem is told in words for the owner; a key itself is never
part of a text, a log line or a ``repr``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nanoclaw.config import KeyHeader, SecretsBackend, read_env_file
from nanoclaw.errors import ConfigError
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.entries import Kind, SecretError, is_name
from nanoclaw.secret_store.private_file import Stamp, stamp_of
from nanoclaw.secret_store.store import SecretStore

API_KEY, AUTH_TOKEN = "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"
SUBSCRIPTION = "CLAUDE_CODE_OAUTH_TOKEN"
SUBSCRIPTION_PREFIX = "sk-ant-oat"
DEFAULTS = ("anthropic-api-key", "anthropic-auth-token")
NEXT_STEP = (
    "run `nanoclaw secrets set anthropic-api-key` (kept in {file}), or put ANTHROPIC_API_KEY=... "
    "into {env}; no restart is needed"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """One header of a request."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """No usable key; ``text`` says why and what to do."""

    text: str


class Credentials:
    """``environment`` is the host's own; it cannot change while the process runs."""

    def __init__(
        self,
        paths: HostPaths,
        environment: Mapping[str, str],
        key_header: KeyHeader,
        store: SecretStore | None = None,
    ) -> None:
        self._paths = paths
        self._key_header = key_header
        self._environment = environment
        self._store = store or SecretStore(paths, SecretsBackend.FILES)
        self._env_stamp: Stamp | None = None
        self._env_values: Mapping[str, str] = {}

    def current(self) -> Credential | Missing:
        """What agents and endpoints use that name no secret of their own."""
        for name in DEFAULTS:
            found = self._from_store(name)
            if found is not None:
                return found
        for source, values in (
            ("the host's environment", self._environment),
            (str(self._paths.env_file), self._env_file()),
        ):
            for variable, kind in ((API_KEY, Kind.API_KEY), (AUTH_TOKEN, Kind.AUTH_TOKEN)):
                if values.get(variable):
                    return self._checked(kind, values[variable].strip(), f"{variable} in {source}")
            if values.get(SUBSCRIPTION):
                return self._subscription(f"{SUBSCRIPTION} in {source}")
        return Missing(f"the host has no key for the model: {self._next_step()}")

    def for_name(self, name: str) -> Credential | Missing:
        """That secret and no other: an agent with a key of its own never spends the common one."""
        if not is_name(name):
            return Missing("the agent's or endpoint's `credential` is not a secret's name; "
                           "`nanoclaw secrets list` shows them")  # fmt: skip
        found = self._from_store(name)
        if found is None:
            return Missing(f"there is no secret {name}; run: nanoclaw secrets set {name}")
        return found

    def _from_store(self, name: str) -> Credential | Missing | None:
        """None: there is no such secret."""
        try:
            value = self._store.get(name)
            kind = self._store.kind_of(name)
        except SecretError as error:
            return Missing(str(error))
        if value is None:
            return None
        return self._checked(kind, value, self._store.where(name))

    def _checked(self, kind: Kind, value: str, where: str) -> Credential | Missing:
        if value.startswith(SUBSCRIPTION_PREFIX):
            return self._subscription(where)
        if not value.isascii() or not value.isprintable() or not value or " " in value:
            return Missing(
                f"{where} is not a key: it is empty or holds blanks; {self._next_step()}"
            )
        if kind in (Kind.API_KEY, Kind.OTHER) and self._key_header is KeyHeader.X_API_KEY:
            return Credential("x-api-key", value)
        return Credential("authorization", f"Bearer {value}")

    def _subscription(self, where: str) -> Missing:
        return Missing(
            f"{where} is the token of a Claude subscription, which this provider cannot use; "
            + self._next_step()
        )

    def _next_step(self) -> str:
        return NEXT_STEP.format(file=self._store.where(DEFAULTS[0]), env=self._paths.env_file)

    def _env_file(self) -> Mapping[str, str]:
        stamp = stamp_of(self._paths.env_file)
        if stamp is None:
            self._env_stamp = None
            return {}
        if stamp != self._env_stamp:
            try:
                self._env_values = read_env_file(self._paths.env_file)
            except ConfigError:
                self._env_values = {}
            self._env_stamp = stamp
        return self._env_values

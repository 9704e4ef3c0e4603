"""The key for the model: found, or asked for, tried once, and kept by the secret store.

A key is tried with ``GET /v1/models`` before it is kept, written on the request as the vault will
write it. The token of a subscription is recognised and explained, because the provider cannot use
it. Without a key agents answer with the scripted provider: everything works but the thinking.
"""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from contract.clock import utc_now
from nanoclaw.config import (
    DEFAULT_BASE_URL,
    CredentialsBackend,
    HostConfig,
    KeyHeader,
    host_environment,
)
from nanoclaw.errors import ConfigError, NanoclawError
from nanoclaw.secret_store.entries import Kind as SecretKind
from nanoclaw.secret_store.entries import checked_value
from nanoclaw.secret_store.store import open_store
from nanoclaw.vault.credentials import SUBSCRIPTION, SUBSCRIPTION_PREFIX, Credential, Credentials
from setup.base import REDO, Choice, Finding, Kind, Question, Status, StepContext, StepResult
from setup.config_file import set_key
from setup.first_agent import leave_scripted

SECRET = "anthropic-api-key"  # noqa: S105  its name
KEY_PREFIX = "sk-ant-api"
SHORTEST_KEY = 20
CHECK_SECONDS = 20.0
REFUSED = (401, 403)
NO_SUCH_PAGE = (404, 405)
KEEP, API_KEY, ENDPOINT, SKIP = "keep", "api-key", "endpoint", "skip"
EXPLAINED = (
    "that is the token of a Claude subscription; it belongs to Anthropic's own programs and this "
    "one cannot use it. Make an API key at https://platform.claude.com/settings/keys"
)


def key_problem(value: str) -> str | None:
    """What is wrong with a pasted key; the text never shows it."""
    value = "".join(value.split())
    if value.startswith(SUBSCRIPTION_PREFIX):
        return EXPLAINED
    if len(value) < SHORTEST_KEY:
        return "that is too short for a key; paste it whole"
    if not value.isascii() or not value.isprintable():
        return "a key has only letters, digits and signs; copy it again"
    return None


def address_problem(text: str) -> str | None:
    try:
        parts = urlsplit(text.strip())
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    return None if good else "give the address of a Messages API, such as https://api.example.com"


METHOD = Question(
    "auth_method", "auth-method", "How do agents reach the model?", Kind.CHOICE,
    choices=(
        Choice(API_KEY, "an API key of Anthropic", "recommended"),
        Choice(ENDPOINT, "another address that speaks the same Messages API"),
        Choice(SKIP, "later; until then agents answer by a script"),
    ),
    help="a Claude subscription cannot be used here, only an API key",
)  # fmt: skip
ADDRESS = Question(
    "auth_base_url", "auth-base-url", "Address of the Messages API", check=address_problem
)
VALUE = Question(
    "auth_secret", "auth-secret", "The key (not shown)", Kind.SECRET, check=key_problem
)


@dataclass(frozen=True, slots=True)
class Found:
    """``where`` in words; ``only_here``: in this program's environment, which a service lacks."""

    where: str
    value: str = ""
    only_here: bool = False
    problem: str = ""


class CredentialsStep:
    name = "credentials"
    title = "Give the agents a model"
    seconds = 60.0
    needs = ("environment",)
    questions = (METHOD, ADDRESS, VALUE)

    def inspect(self, config: HostConfig, answers: Mapping[str, str]) -> Finding:
        if config.credentials_backend is CredentialsBackend.ONECLI:
            return Finding(True, f"OneCLI at {config.onecli_url} keeps the keys")
        found = find(config, host_environment())
        if found is not None and not found.problem and REDO not in answers:
            facts = {"key": found.where}
            if not found.only_here:
                return Finding(True, f"there is a key in {found.where}", facts=facts)
            if METHOD.key not in answers:
                plan = f"try the key of {found.where} and keep it in {config.paths.secrets}"
                return Finding(False, f"there is a key in {found.where}", plan, facts)
        method = answers.get(METHOD.key)
        asked = {API_KEY: (VALUE,), ENDPOINT: (ADDRESS, VALUE), SKIP: ()}
        questions = (METHOD,) if method is None else asked.get(method, (METHOD,))
        summary = found.problem if found is not None and found.problem else "there is no key yet"
        return Finding(False, summary, "try the key and keep it", questions=questions)

    def apply(self, context: StepContext) -> StepResult:
        config, answers = context.config, context.answers
        method = answers.get(METHOD.key, KEEP)
        if method == SKIP:
            return StepResult(
                Status.SKIPPED,
                "no key was given: agents answer by a script and do not think. Give one later "
                f"with: nanoclaw secrets set {SECRET}",
                {"reason": "user-skipped"},
                f"nanoclaw secrets set {SECRET}",
            )
        found = find(config, host_environment())
        value = "".join(answers.get(VALUE.key, "").split())
        if method == KEEP and found is not None and not found.problem:
            value = found.value
        base_url = config.anthropic_base_url
        if method == ENDPOINT:
            base_url = answers.get(ADDRESS.key, "").strip().rstrip("/")
        elif method == API_KEY and REDO in answers:
            base_url = DEFAULT_BASE_URL
        problem = key_problem(value) or address_problem(base_url)
        if problem is None:
            context.say(f"trying the key at {base_url}")
            problem = try_key(base_url, value, config.anthropic_key_header)
        if problem is not None:
            again = "nanoclaw setup --redo credentials"
            return StepResult(Status.FAILED, f"nothing was kept: {problem}", next_step=again)
        return _keep(config, base_url, value)

    def verify(self, context: StepContext) -> StepResult:
        config = context.config
        if config.credentials_backend is CredentialsBackend.ONECLI:
            return StepResult(Status.SUCCESS, "OneCLI keeps the keys")
        current = Credentials(config.paths, {}, config.anthropic_key_header, open_store(config))
        found = current.current()
        if isinstance(found, Credential):
            return StepResult(Status.SUCCESS, "the vault finds the key")
        if context.answers.get(METHOD.key) == SKIP:
            return StepResult(Status.SKIPPED, "there is no key; agents answer by a script")
        return StepResult(Status.FAILED, found.text, next_step=f"nanoclaw secrets set {SECRET}")


def find(config: HostConfig, environment: Mapping[str, str]) -> Found | None:
    """The key that the vault would use, and where it lies; None: there is none at all."""
    store = open_store(config)
    kept = Credentials(config.paths, {}, config.anthropic_key_header, store).current()
    if isinstance(kept, Credential):
        return Found(str(config.paths.home))
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        value = environment.get(variable, "").strip()
        if value:
            problem = key_problem(value) or ""
            return Found(f"{variable} of the environment", value, only_here=True, problem=problem)
    is_subscription = "of a Claude subscription" in kept.text or environment.get(SUBSCRIPTION)
    return Found("a subscription", problem=EXPLAINED) if is_subscription else None


def try_key(base_url: str, value: str, key_header: KeyHeader) -> str | None:
    """Asks for the list of models; what is wrong, in words without the key, or None."""
    address = f"{base_url.rstrip('/')}/v1/models?limit=1"
    headers = {"anthropic-version": "2023-06-01", "user-agent": "nanoclaw-setup"}
    if key_header is KeyHeader.X_API_KEY:
        headers["x-api-key"] = value
    else:
        headers["authorization"] = f"Bearer {value}"
    request = urllib.request.Request(address, headers=headers)  # noqa: S310  checked: http or https
    opener = urllib.request.build_opener(_NoRedirect())
    try:
        with opener.open(request, timeout=CHECK_SECONDS) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        with error:
            return _status_problem(error.code, base_url)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"{base_url} cannot be reached: {reason}; look at the network and the address"
    return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key goes to the address that was given and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _status_problem(status: int, base_url: str) -> str | None:
    """None also where there is no such page: other servers need not have it."""
    if status in REFUSED:
        return f"{base_url} refused the key ({status}); copy it again or make a new one"
    if status in NO_SUCH_PAGE:
        return None
    return f"{base_url} answered {status}; try again in a few minutes"


def _keep(config: HostConfig, base_url: str, value: str) -> StepResult:
    try:
        if base_url != config.anthropic_base_url:
            set_key(config.paths.config_file, "anthropic_base_url", base_url)
        store = open_store(config)
        store.put(SECRET, checked_value(SECRET, value), SecretKind.API_KEY, utc_now())
        leave_scripted(config)
    except (ConfigError, NanoclawError) as error:
        return StepResult(Status.FAILED, str(error))
    fields = {"base_url": base_url, "secret": SECRET}
    return StepResult(Status.SUCCESS, f"the key works and is kept as {SECRET}", fields)

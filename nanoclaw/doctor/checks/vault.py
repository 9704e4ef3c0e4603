"""Keys, tokens, certificates, and what may be spent."""

import socket
from datetime import timedelta
from urllib.parse import urlsplit

from contract.errors import BadContent
from contract.jsontext import parse_object
from nanoclaw.doctor.base import Check, Finding, Severity
from nanoclaw.doctor.facts import CannotLookError, Facts
from nanoclaw.errors import ConfigError
from nanoclaw.secret_store.entries import MAX_SECRET_BYTES, Kind, SecretError
from nanoclaw.secret_store.store import SecretStore, open_store
from nanoclaw.supervise.status import ChildStatus
from nanoclaw.vault import library
from nanoclaw.vault.authority import KEYS_FILE, read_roots

SOON = timedelta(days=30)
SECONDS = 4.0


def _model_key(facts: Facts) -> Finding | None:
    if facts.config.model_key_present:
        return None
    return Finding("no key for a model", "Agents answer from a script only.",
                   facts.command("secrets set anthropic-api-key"))  # fmt: skip


def _store(facts: Facts) -> SecretStore:
    try:
        return open_store(facts.config)
    except SecretError as error:
        raise CannotLookError(str(error)) from error


def _store_usable(facts: Facts) -> Finding | None:
    try:
        listed = open_store(facts.config).list()
    except ConfigError as error:
        return Finding(str(error), "No secret can be used.",
                       'secrets_backend = "files" in config.toml', by_hand=True)  # fmt: skip
    bad = [f"{info.name}: {info.problem}" for info in listed if info.problem]
    if not bad:
        return None
    return Finding("; ".join(bad[:5]), "Requests that need it are refused.",
                   facts.command("doctor --fix --yes --only home-secrets"))  # fmt: skip


def _child(facts: Facts) -> ChildStatus:
    found = facts.status.child("vault") if facts.status is not None else None
    if found is None:
        raise CannotLookError("no host is running")
    return found


def _vault_runs(facts: Facts) -> Finding | None:
    child = _child(facts)
    if child.state not in ("backoff", "fatal"):
        return None
    return Finding(f"the vault is {child.state}: {child.reason or child.last_exit or 'no reason'}",
                   "No agent reaches a model.", facts.command("service restart"))  # fmt: skip


def _endpoint(facts: Facts) -> Finding | None:
    parts = urlsplit(facts.config.anthropic_base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(f"{parts.hostname}:{port} does not answer: {reason}",
                       "Agents cannot think until it does.",
                       f"curl -sS -o /dev/null {parts.scheme}://{parts.netloc}/")  # fmt: skip
    return None


def _authority(facts: Facts) -> Finding | None:
    path = facts.paths.authority / KEYS_FILE
    try:
        roots = read_roots(path)
    except ConfigError as error:
        return Finding(str(error), "The vault cannot look into TLS connections.",
                       f"mv {path} {path}.damaged")  # fmt: skip
    if not roots or roots[-1].ends_at - facts.now > SOON:
        return None
    return Finding(f"the certificate of the vault ends at {roots[-1].ends_at:%Y-%m-%d}",
                   "A vault that ran would have renewed it; agents will trust no connection.",
                   f"mv {path} {path}.old")  # fmt: skip


def _library(facts: Facts) -> Finding | None:
    if not facts.ask_central("services"):
        return None
    problem = library.problem(facts.paths.extras(library.EXTRA))
    if problem is None:
        return None
    return Finding(problem, "Services are configured, and their requests are refused.",
                   facts.command("extras add intercept"))  # fmt: skip


def _service_secrets(facts: Facts) -> Finding | None:
    store = _store(facts)
    names = {info.name for info in store.list()}
    missing = [(name, secret) for name, secret in facts.ask_central("services")
               if secret not in names]  # fmt: skip
    if not missing:
        return None
    name, secret = missing[0]
    return Finding(
        f"the service {name} wants the secret {secret}, which is not there",
        "Requests to it are refused.",
        facts.command(f"secrets set {secret}"),
    )


def _tokens(facts: Facts) -> Finding | None:
    store = _store(facts)
    for info in store.list():
        if info.kind is not Kind.OAUTH or info.problem:
            continue
        try:
            value = parse_object(store.get(info.name) or "", max_bytes=MAX_SECRET_BYTES)
        except (BadContent, SecretError):
            return Finding(f"{info.name} is no token of ours", "Requests with it are refused.",
                           facts.command(f"secrets rotate {info.name}"))  # fmt: skip
        ends = value.get("expires_at")
        if isinstance(ends, int | float) and ends < facts.now.timestamp():
            return Finding(f"the token {info.name} is past its end and was not renewed",
                           "It is renewed at its next use; if that fails, sign in again.",
                           facts.command(f"secrets rotate {info.name}"))  # fmt: skip
    return None


def _budget(facts: Facts) -> Finding | None:
    if facts.ask_central("budgets")[0][0]:
        return None
    return Finding("no budget is set", "Nothing stops an agent that spends without end.",
                   facts.command("ncl budgets set install --period month --usd 50"))  # fmt: skip


def _spent(facts: Facts) -> Finding | None:
    """Days and months as the vault counts them, in the time zone of the settings."""
    from zoneinfo import ZoneInfo

    local = facts.now.astimezone(ZoneInfo(facts.config.timezone))
    rows = facts.ask_central("spent", f"{local:%Y-%m-%d}", f"{local:%Y-%m}")
    if not rows:
        return None
    scope, subject, period, unit, amount = rows[0]
    of = f" --subject {subject}" if subject else ""
    shown, more = ("--tokens", amount * 2) if unit == "tokens" else ("--usd", amount * 2 / 1e6)
    return Finding(
        f"the budget of {scope} {subject} for this {period} is used up",
        "Agents under it are refused until the next one begins.",
        facts.command(f"ncl budgets set {scope}{of} --period {period} {shown} {more:g}"),
    )


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
CHECKS = (
    Check("vault-key", "vault", _W, "there is a key for a model", _model_key),
    Check("vault-secrets", "vault", _E, "every secret can be used", _store_usable),
    Check("vault-runs", "vault", _E, "the vault runs", _vault_runs),
    Check("vault-endpoint", "vault", _W, "the model's endpoint answers", _endpoint,
          needs_network=True),
    Check("vault-certificate", "vault", _W, "the vault's certificate holds", _authority),
    Check("vault-library", "vault", _E, "services have the library they need", _library),
    Check("vault-services", "vault", _W, "services have their secrets", _service_secrets),
    Check("vault-tokens", "vault", _N, "tokens are renewed", _tokens),
    Check("budget-set", "budgets", _N, "a budget is set", _budget),
    Check("budget-left", "budgets", _W, "no budget is used up", _spent),
)  # fmt: skip

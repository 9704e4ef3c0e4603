"""``nanoclaw secrets``: keeps, lists, removes and replaces the owner's secrets.

Works with a running host and without one; a change counts at once. No command prints a value, and
none takes one from its words. What is done stands in the audit trail before it is done; before the
first ``nanoclaw run`` there is no trail yet.
"""

import argparse
import getpass
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.clock import to_text, utc_now
from contract.killpoint import reached
from nanoclaw.audit import AuditEntry, record
from nanoclaw.cli.render import print_error, print_json, print_text, render_table
from nanoclaw.cli.terminal import can_ask, confirmed
from nanoclaw.config import HostConfig
from nanoclaw.db import secret_uses
from nanoclaw.db.connection import open_central, open_read_only, transaction
from nanoclaw.errors import StateError
from nanoclaw.leaks.strength import weakness
from nanoclaw.secret_store.entries import (
    MAX_SECRET_BYTES,
    Kind,
    SecretError,
    SecretInfo,
    checked_name,
    checked_value,
)
from nanoclaw.secret_store.store import SecretStore, open_store

MODEL_DEFAULTS = ("anthropic-api-key", "anthropic-auth-token")
DAY_SECONDS = 86400


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    store = open_store(config)
    command = arguments.secrets_command
    if command == "list":
        return _list(config, store, as_json=arguments.json)
    name = checked_name(arguments.name)
    if command == "rm":
        return _remove(config, store, name, arguments)
    if command == "rotate" and not store.has(name):
        raise SecretError(f"there is no secret {name}; run: nanoclaw secrets set {name}")
    value = checked_value(name, _read_value(name, arguments.from_file))
    kind = Kind(arguments.kind) if arguments.kind else None
    with _recorded(config, f"secret.{command}", name):
        store.put(name, value, kind, utc_now())
    print_text(f"{name} is kept in {store.where(name)}" if command == "set"
               else f"{name} is replaced; it counts from now on. Revoke the old value where "
               "it came from.")  # fmt: skip
    problem = weakness(value)
    if problem is not None:
        print_error(f"the leak guard does not look for {name}: {problem}")
    return 0


def _list(config: HostConfig, store: SecretStore, *, as_json: bool) -> int:
    uses = _uses(config, store)
    infos = store.list()
    if as_json:
        print_json([_as_json(info, uses.get(info.name, [])) for info in infos])
        return 0
    if not infos:
        print_text("there are no secrets; `nanoclaw secrets set anthropic-api-key` keeps the first")
        return 0
    rows = [("NAME", "KIND", "CHANGED", "USED BY", "PROBLEM")]
    rows += [
        (info.name, info.kind.value, _age(info), ", ".join(uses.get(info.name, [])) or "-",
         info.problem or "-")
        for info in infos
    ]  # fmt: skip
    print_text(render_table(rows))
    return 0


def _remove(
    config: HostConfig, store: SecretStore, name: str, arguments: argparse.Namespace
) -> int:
    if not store.has(name):
        raise SecretError(f"there is no secret {name}; `nanoclaw secrets list` shows them")
    users = _uses(config, store).get(name, [])
    if users and not arguments.force:
        raise SecretError(
            f"{name} is used by {', '.join(users)}; change that first, or remove it with --force"
        )
    if not arguments.yes:
        if not can_ask():
            raise SecretError(f"nobody can be asked here; add --yes to remove {name}")
        if not confirmed(f"Remove the secret {name}? It cannot be brought back."):
            print_text("nothing was removed")
            return 1
    with _recorded(config, "secret.rm", name):
        store.remove(name)
    print_text(f"{name} is removed")
    return 0


def _read_value(name: str, file: str | None) -> str:
    """From the file, a hidden prompt, or standard input; one line break at the end goes."""
    if file is not None:
        try:
            with Path(file).open("rb") as opened:
                return _text(name, opened.read(MAX_SECRET_BYTES + 3))
        except OSError as error:
            raise SecretError(f"the file for {name} cannot be read: {error.strerror}") from None
    if not sys.stdin.isatty():
        return _text(name, sys.stdin.buffer.read(MAX_SECRET_BYTES + 3))
    value = getpass.getpass(f"Value of {name} (not shown): ")
    if value != getpass.getpass("Once more: "):
        raise SecretError(f"the two values for {name} differ; nothing was changed")
    return value


def _text(name: str, data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SecretError(f"the value for {name} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _uses(config: HostConfig, store: SecretStore) -> dict[str, list[str]]:
    """Who uses each secret, in words."""
    uses: dict[str, list[str]] = {}
    default = next((name for name in MODEL_DEFAULTS if store.has(name)), None)
    if default is not None:
        uses[default] = ["model (default)"]
    for endpoint in config.endpoints:
        if endpoint.credential:
            uses.setdefault(endpoint.credential, []).append(f"endpoint {endpoint.name}")
    try:
        conn = open_read_only(config.paths.central_db)
    except StateError:
        return uses
    try:
        for name, agent in secret_uses.of_agents(conn):
            uses.setdefault(name, []).append(f"agent {agent}")
        for name, service in secret_uses.of_services(conn):
            uses.setdefault(name, []).append(f"service {service}")
    except sqlite3.OperationalError:
        return uses  # an older database, before `nanoclaw run` has brought it to today
    finally:
        conn.close()
    return uses


@contextmanager
def _recorded(config: HostConfig, kind: str, name: str) -> Iterator[None]:
    """The audit row is on disk first; a failure afterwards gets a row of its own."""
    _record(config, kind, name, "started")
    reached("secrets.recorded")
    try:
        yield
    except SecretError:
        _record(config, kind, name, "failed")
        raise


def _record(config: HostConfig, kind: str, name: str, state: str) -> None:
    if not config.paths.central_db.exists():
        return
    conn = open_central(config.paths.central_db, create=False)
    try:
        with transaction(conn):
            detail = {"state": state, "uid": os.getuid()}
            record(conn, AuditEntry(kind, "host", name, detail), utc_now())
    except sqlite3.OperationalError as error:
        raise SecretError(
            f"nothing was changed: the audit trail cannot be written: {error}; "
            "run `nanoclaw run` once if this home is new or older"
        ) from None
    finally:
        conn.close()


def _age(info: SecretInfo) -> str:
    days = int((utc_now() - info.rotated_at).total_seconds() // DAY_SECONDS)
    return "today" if days <= 0 else f"{days} days ago"


def _as_json(info: SecretInfo, used_by: list[str]) -> dict[str, object]:
    return {
        "name": info.name,
        "kind": info.kind.value,
        "createdAt": to_text(info.created_at),
        "rotatedAt": to_text(info.rotated_at),
        "usedBy": used_by,
        "problem": info.problem,
    }

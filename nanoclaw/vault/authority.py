"""Our own certificate authority: one per installation, renewed in time, kept in ``secrets/ca``.

Used by ``intercept`` and ``nanoclaw extras``. ``authority.json`` holds keys and is the truth;
``ca.pem`` holds the certificates that containers trust and is written from it. A renewed root is
trusted long before it signs, so that a container that started earlier knows it by then. Leaves and
their key are in memory only.
"""

import fcntl
import os
import ssl
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from contract.clock import parse_text, to_text
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from contract.layout import CA_FILE
from nanoclaw.errors import ConfigError
from nanoclaw.paths import make_private_folder
from nanoclaw.secret_store.private_file import read_private, write_private
from nanoclaw.vault import leaves

if TYPE_CHECKING:
    from nanoclaw.vault.certificates import LeafMaker

KEYS_FILE = "authority.json"
LOCK_FILE = "lock"
MAX_BYTES = 256 * 1024
ROOT_LIFE = timedelta(days=730)
RENEW_BEFORE = timedelta(days=120)
"""So long before the newest root ends there is a further one."""
TRUSTED_BEFORE_USE = timedelta(days=60)
"""Longer than any container runs."""
LEAF_LIFE = timedelta(days=7)
LEAF_USE = timedelta(days=5)
"""A leaf is made anew while it still has some days, for connections that last."""
MAX_LEAVES = 256
LOOK_AGAIN = timedelta(hours=12)


class AuthorityError(ConfigError):
    """The keys cannot be used; the text names the file and the next step."""


@dataclass(frozen=True, slots=True)
class Root:
    """PEM texts and the time for which they hold."""

    key: str = field(repr=False)
    certificate: str
    made_at: datetime
    ends_at: datetime


class Authority:
    """Not for several threads at once; several processes may use one home."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._roots: tuple[Root, ...] = ()
        self._look_at: datetime | None = None
        self._signer: tuple[Root, LeafMaker] | None = None
        self._contexts: OrderedDict[str, tuple[datetime, ssl.SSLContext]] = OrderedDict()

    def is_due(self, now: datetime) -> bool:
        """Whether ``ensure`` should be called."""
        return self._look_at is None or now >= self._look_at

    def is_made(self, now: datetime) -> bool:
        """Whether there is nothing to make or renew; asked without the library."""
        try:
            roots = read_roots(self._folder / KEYS_FILE)
        except ConfigError:
            return False
        there = (self._folder / CA_FILE).is_file()
        return there and bool(roots) and roots[-1].ends_at - now >= RENEW_BEFORE

    def ensure(self, now: datetime) -> None:
        """Makes or renews what is needed, once for all processes. Raises AuthorityError; may wait
        for another process."""
        try:
            make_private_folder(self._folder)
            with _locked(self._folder / LOCK_FILE):
                kept = read_roots(self._folder / KEYS_FILE)
                roots = tuple(root for root in kept if root.ends_at > now)
                if not roots or roots[-1].ends_at - now < RENEW_BEFORE:
                    roots = (*roots, self._make(now))
                if roots != kept:
                    write_private(self._folder / KEYS_FILE, _dump(roots))
                    reached("vault.authority_made")
                trusted = "".join(root.certificate for root in roots)
                if read_private(self._folder / CA_FILE, MAX_BYTES) != trusted:
                    write_private(self._folder / CA_FILE, trusted)
        except OSError as error:
            raise AuthorityError(
                f"{self._folder} cannot be used: {error.strerror or error}"
            ) from error
        except AuthorityError:
            raise
        except ConfigError as error:
            raise AuthorityError(str(error)) from error
        self._roots = roots
        self._look_at = now + LOOK_AGAIN

    def context_for(self, host: str, now: datetime) -> ssl.SSLContext:
        """For the server's side of a connection to ``host``; after ``ensure``."""
        found = self._contexts.get(host)
        if found is not None and found[0] > now:
            self._contexts.move_to_end(host)
            return found[1]
        leaf = self._leaf_maker(now).make(host, now, LEAF_LIFE)
        context = leaves.server_context(leaf.certificate, leaf.key, host, self._folder)
        self._contexts[host] = (now + LEAF_USE, context)
        self._contexts.move_to_end(host)
        while len(self._contexts) > MAX_LEAVES:
            self._contexts.popitem(last=False)
        return context

    def _leaf_maker(self, now: datetime) -> "LeafMaker":
        root = signing_root(self._roots, now)
        if self._signer is None or self._signer[0] != root:
            from nanoclaw.vault.certificates import LeafMaker, Pair

            self._signer = (root, LeafMaker(Pair(root.key, root.certificate)))
            self._contexts.clear()
        return self._signer[1]

    def _make(self, now: datetime) -> Root:
        from nanoclaw.vault.certificates import make_root

        ends_at = now + ROOT_LIFE
        pair = make_root(f"{self._name} {now:%Y-%m-%d}", now, ends_at)
        return Root(pair.key, pair.certificate, now, ends_at)


def signing_root(roots: tuple[Root, ...], now: datetime) -> Root:
    """The newest that everybody knows by now; else the oldest. ``roots`` are in order of age."""
    known = [root for root in roots if now - root.made_at >= TRUSTED_BEFORE_USE]
    return known[-1] if known else roots[0]


def read_roots(path: Path) -> tuple[Root, ...]:
    """Oldest first; empty when there is no file yet. Raises AuthorityError and SecretError."""
    text = read_private(path, MAX_BYTES)
    if text is None:
        return ()
    try:
        listed = parse_object(text, max_bytes=MAX_BYTES).get("roots")
        if not isinstance(listed, list):
            raise BadContent("no list of roots")
        roots = [_root(item) for item in listed]
    except BadContent as error:
        raise AuthorityError(
            f"{path} is damaged ({error}); move it away and a new authority is made, which agents "
            "trust from their next start on"
        ) from error
    return tuple(sorted(roots, key=lambda root: root.made_at))


def _root(item: object) -> Root:
    if not isinstance(item, dict):
        raise BadContent("a root is no object")
    key, certificate = item.get("key"), item.get("certificate")
    made_at, ends_at = parse_text(item.get("made_at")), parse_text(item.get("ends_at"))
    if not isinstance(key, str) or not isinstance(certificate, str) or not made_at or not ends_at:
        raise BadContent("a root is not whole")
    return Root(key, certificate, made_at, ends_at)


def _dump(roots: tuple[Root, ...]) -> str:
    listed = [
        {
            "key": root.key,
            "certificate": root.certificate,
            "made_at": to_text(root.made_at),
            "ends_at": to_text(root.ends_at),
        }
        for root in roots
    ]
    return dump({"roots": listed})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits for its turn; the lock goes with the process that holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)

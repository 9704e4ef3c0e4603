"""Secrets of kind ``oauth``: access tokens that are renewed before they end, one renewal at a time.

Asked by ``exchange`` for every request whose secret is one. The secret is JSON of one line:
``access_token``, ``refresh_token``, ``expires_at`` (seconds since 1970), ``token_url``,
``client_id`` and perhaps ``client_secret``. New tokens are on disk before the first of them is
used: a refresh token is often worth nothing after its first use. A token never stands in a text.
"""

import asyncio
import json
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode, urlsplit

import h11

from contract.clock import utc_now
from contract.errors import BadContent
from contract.jsontext import dump, parse_object
from contract.killpoint import reached
from nanoclaw.model_settings import http_address
from nanoclaw.secret_store.entries import MAX_SECRET_BYTES, Kind, SecretError
from nanoclaw.secret_store.store import SecretStore
from nanoclaw.vault.credentials import SUBSCRIPTION_PREFIX, Credential, Missing
from nanoclaw.vault.quiet_thread import QuietThread
from nanoclaw.vault.upstream import Upstream, UpstreamError

EARLY_SECONDS = 300
RENEWAL_SECONDS = 30.0
AGAIN_SECONDS = 30.0
"""After a renewal that failed."""
USUAL_SECONDS = 3600
MAX_ANSWER_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class RenewalError(Exception):
    """``args[0]`` says why, without any token."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """``others`` are keys of the secret that we do not know and keep."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float
    token_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    others: dict[str, object] = field(default_factory=dict, repr=False)


class OAuthKeys:
    """On the event loop's thread only; ``thread`` is the one on which ``store`` is used."""

    def __init__(self, store: SecretStore, thread: QuietThread | None = None) -> None:
        self._store = store
        self._thread = thread or QuietThread("oauth")
        self._locks: dict[str, asyncio.Lock] = {}
        self._not_before: dict[str, datetime] = {}
        self._under_way: dict[str, asyncio.Task[Tokens]] = {}

    async def close(self) -> None:
        """A renewal that has begun is stored: its refresh token may be worth nothing any more."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=RENEWAL_SECONDS)

    async def is_one(self, name: str) -> bool:
        return await self._thread.run(lambda: self._store.kind_of(name)) is Kind.OAUTH

    async def current(self, name: str) -> Credential | Missing:
        """The access token, renewed if it ends soon."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            try:
                text = await self._thread.run(lambda: self._store.get(name)) or ""
                tokens = parse_tokens(text)
            except (SecretError, ValueError) as error:
                return Missing(f"the secret {name} cannot be used: {error}; {_next_step(name)}")
            left = tokens.expires_at - utc_now().timestamp()
            if left > EARLY_SECONDS:
                return _header(tokens)
            try:
                return _header(await self._renewed(name, tokens, text))
            except (RenewalError, SecretError, ValueError) as error:
                log.warning("token not renewed", extra={"reason": f"{name}: {error}"})
                if left > 0:
                    return _header(tokens)
                return Missing(
                    f"the access token of {name} has ended and could not be renewed: {error}; "
                    + _next_step(name)
                )

    async def _renewed(self, name: str, tokens: Tokens, text: str) -> Tokens:
        """By a task of its own: whoever asked may go away before the new tokens are stored."""
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._renew(name, tokens, text))
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._on_end(name, done))
        return await asyncio.shield(task)

    def _on_end(self, name: str, done: asyncio.Task[Tokens]) -> None:
        del self._under_way[name]
        if not done.cancelled():
            done.exception()  # whoever waited has heard of it

    async def _renew(self, name: str, tokens: Tokens, text: str) -> Tokens:
        now = utc_now()
        before = self._not_before.get(name)
        if before is not None and (now - before).total_seconds() < AGAIN_SECONDS:
            raise RenewalError("the last try failed a moment ago")
        self._not_before[name] = now
        renewed = read_answer(await _ask(tokens), tokens, now.timestamp())
        meanwhile = await self._thread.run(lambda: self._replace(name, text, renewed))
        if meanwhile != text:
            return parse_tokens(meanwhile)  # somebody has signed in anew; that is what counts
        reached("vault.token_stored")
        del self._not_before[name]
        return renewed

    def _replace(self, name: str, text: str, renewed: Tokens) -> str:
        """What was there before; only if that is ``text`` it was replaced."""
        meanwhile = self._store.get(name) or ""
        if meanwhile == text:
            self._store.put(name, tokens_text(renewed), None, utc_now())
        return meanwhile


def parse_tokens(text: str) -> Tokens:
    """Raises ValueError; its text holds nothing of the secret."""
    try:
        value = parse_object(text, max_bytes=MAX_SECRET_BYTES)
    except BadContent:
        raise ValueError("it is not JSON") from None
    texts = {}
    for key in ("access_token", "refresh_token", "token_url", "client_id"):
        found = value.pop(key, None)
        if not _is_token(found):
            raise ValueError(f"its {key} is missing")
        texts[key] = str(found)
    expires, secret = value.pop("expires_at", None), value.pop("client_secret", None)
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        raise ValueError("its expires_at is no number of seconds")  # noqa: TRY004 a value of a file
    if texts["access_token"].startswith(SUBSCRIPTION_PREFIX):
        raise ValueError("it is of a Claude subscription, which this provider cannot use")
    address = http_address(texts["token_url"])
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("its token_url must start with https://")
    return Tokens(
        texts["access_token"], texts["refresh_token"], float(expires), address,
        texts["client_id"], secret if isinstance(secret, str) else None, dict(value),
    )  # fmt: skip


def tokens_text(tokens: Tokens) -> str:
    value: dict[str, object] = {
        **tokens.others,
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "expires_at": round(tokens.expires_at),
        "token_url": tokens.token_url,
        "client_id": tokens.client_id,
    }
    if tokens.client_secret is not None:
        value["client_secret"] = tokens.client_secret
    return dump(value)


def read_answer(body: bytes, tokens: Tokens, now: float) -> Tokens:
    """RFC 6749, section 5.1. Raises RenewalError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RenewalError("its answer is not JSON") from None
    access = value.get("access_token") if isinstance(value, dict) else None
    if not _is_token(access):
        raise RenewalError("its answer holds no access token")
    refresh, seconds = value.get("refresh_token"), value.get("expires_in")
    lasts = seconds if isinstance(seconds, int) and 0 < seconds < 10**9 else USUAL_SECONDS
    return replace(
        tokens,
        access=str(access),
        refresh=str(refresh) if _is_token(refresh) else tokens.refresh,
        expires_at=now + lasts,
    )


def _is_token(value: object) -> bool:
    """One that can be read again from the secret that it is kept in."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


async def _ask(tokens: Tokens) -> bytes:
    """RFC 6749, section 6. Raises RenewalError."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh,
        "client_id": tokens.client_id,
    }
    if tokens.client_secret is not None:
        form["client_secret"] = tokens.client_secret
    body = urlencode(form).encode()
    upstream = Upstream(tokens.token_url)
    try:
        async with asyncio.timeout(RENEWAL_SECONDS):
            return await _exchange(upstream, body)
    except TimeoutError:
        raise RenewalError("the token's address did not answer in time") from None
    except UpstreamError as error:
        raise RenewalError(f"the token's address cannot be used: {error}") from None
    finally:
        upstream.close()


async def _exchange(upstream: Upstream, body: bytes) -> bytes:
    head = h11.Request(
        method="POST",
        target=upstream.base_path or "/",
        headers=[
            ("host", upstream.authority),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("content-length", str(len(body))),
        ],
    )
    call = await upstream.open()
    try:
        await call.send(head, body)
        status = (await call.head()).status
        found = bytearray()
        while (piece := await call.piece()) is not None:
            found += piece
            if len(found) > MAX_ANSWER_BYTES:
                raise RenewalError("the token's address answers without end")
    finally:
        call.close()
    if status != 200:
        raise RenewalError(f"the token's address answered with status {status}")
    return bytes(found)


def _header(tokens: Tokens) -> Credential:
    return Credential("authorization", f"Bearer {tokens.access}")


def _next_step(name: str) -> str:
    return f"sign in again there and store the new tokens: nanoclaw secrets set {name}"

"""A keyring that takes its time keeps nobody waiting but who needs it."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
from helpers.central import make_home
from helpers.vault_upstream import Call, FakeUpstream

from contract.clock import utc_now
from nanoclaw.config import HostConfig, SecretsBackend
from nanoclaw.db.doors import Door
from nanoclaw.leaks.current import CurrentSecrets
from nanoclaw.leaks.scanner import Scanner
from nanoclaw.paths import HostPaths
from nanoclaw.secret_store.entries import Kind, SecretInfo
from nanoclaw.secret_store.store import SecretStore
from nanoclaw.vault.books import Books
from nanoclaw.vault.credentials import Credential
from nanoclaw.vault.endpoints.pool import Endpoints
from nanoclaw.vault.leak_guard import LeakGuard
from nanoclaw.vault.oauth import OAuthKeys, parse_tokens
from nanoclaw.vault.planning import Keys

SECONDS = 5
_T = TypeVar("_T")


class Latch:
    """Holds a call until the event loop has opened it; ``waited`` False: the loop stood still."""

    def __init__(self) -> None:
        self.began, self._gate = threading.Event(), threading.Event()
        self.waited: list[bool] = []

    def hold(self) -> None:
        self.began.set()
        self.waited.append(self._gate.wait(SECONDS))

    def during(self, asking: Callable[[], Awaitable[_T]]) -> _T:
        """What it answers, while the loop goes on beside it."""

        async def run() -> _T:
            doing = asyncio.ensure_future(asking())
            while not self.began.is_set():
                await asyncio.sleep(0)
            self._gate.set()
            return await doing

        found = asyncio.run(run())
        assert self.waited
        assert all(self.waited)
        return found


class SlowStore(SecretStore):
    """``reading`` and ``writing`` hold it up."""

    def __init__(self, folder: Path) -> None:
        super().__init__(HostPaths(folder), SecretsBackend.FILES)
        self.reading: Latch | None = None
        self.writing: Latch | None = None

    def get(self, name: str) -> str | None:
        if self.reading is not None:
            self.reading.hold()
        return super().get(name)

    def put(self, name: str, value: str, kind: Kind | None, now: datetime) -> SecretInfo:
        if self.writing is not None:
            self.writing.hold()
        return super().put(name, value, kind, now)


def keep_tokens(store: SecretStore, url: str, seconds: float) -> None:
    value = {
        "access_token": "at-0", "refresh_token": "rt-0", "client_id": "us",
        "expires_at": utc_now().timestamp() + seconds, "token_url": f"{url}/token",
    }  # fmt: skip
    store.put("family-oauth", json.dumps(value), None, utc_now())


@pytest.mark.parametrize(
    ("name", "expected"),
    [(None, "common"), ("family-key", "family"), ("family-oauth", "at-0")],
)
def test_reading_a_key_does_not_hold_up_the_vault(
    tmp_path: Path, name: str | None, expected: str
) -> None:
    store = SlowStore(tmp_path)
    store.put("anthropic-api-key", "common", None, utc_now())
    store.put("family-key", "family", None, utc_now())
    keep_tokens(store, "http://127.0.0.1:1", 3600)
    store.reading = Latch()
    (endpoint,) = Endpoints(HostConfig(tmp_path)).candidates(None, None)

    found = store.reading.during(lambda: Keys(HostPaths(tmp_path), {}, store).find(endpoint, name))

    assert isinstance(found, Credential)
    assert found.value == f"Bearer {expected}"


def test_storing_a_renewed_token_does_not_hold_up_the_vault(tmp_path: Path) -> None:
    def renew(call: Call) -> None:
        call.whole(json.dumps({"access_token": "at-1", "refresh_token": "rt-1"}).encode())

    store = SlowStore(tmp_path)
    with FakeUpstream(renew) as tokens:
        keep_tokens(store, tokens.url, 1)
        store.writing = Latch()
        found = store.writing.during(lambda: OAuthKeys(store).current("family-oauth"))

    assert isinstance(found, Credential)
    assert found.value == "Bearer at-1"
    assert parse_tokens(store.get("family-oauth") or "").refresh == "rt-1"


def test_reading_the_secrets_to_guard_does_not_hold_up_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, conn = make_home(tmp_path)
    conn.close()
    latch, read = Latch(), CurrentSecrets.scanner

    def slowly(secrets: CurrentSecrets) -> Scanner:
        latch.hold()
        return read(secrets)

    monkeypatch.setattr(CurrentSecrets, "scanner", slowly)
    books = Books(config.paths.central_db)
    guard = LeakGuard(config, {}, books)
    door = Door("sess-1", "ag-1", "0a1b2c3d", "", 1, utc_now())

    latch.during(lambda: guard.check(door, "a test", b"nothing"))
    asyncio.run(guard.check(door, "a test", b"nothing"))
    books.close()

    assert len(latch.waited) == 1

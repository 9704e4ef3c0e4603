"""Marker secrets of every kind are in a backup only when they were asked for."""

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.backup_room import Room, run_backup

from contract.clock import utc_now
from nanoclaw.config import SecretsBackend
from nanoclaw.db import services
from nanoclaw.db.connection import transaction
from nanoclaw.db.services import Service, ServiceKind
from nanoclaw.secret_store.entries import Kind
from nanoclaw.secret_store.store import SecretStore
from nanoclaw.sessions.archive import pack
from nanoclaw.sessions.folder import SessionFolder
from nanoclaw.vault.authority import Authority

STORED = {
    "anthropic-api-key": (Kind.API_KEY, "sk-ant-api03-marker-of-the-key-4f9c"),
    "family-token": (Kind.AUTH_TOKEN, "marker-of-the-token-77aa01"),
    "github-service": (Kind.OTHER, "marker-of-the-service-93be55"),
}
TOKENS = {
    "access_token": "marker-of-the-access-token-1b2c", "refresh_token": "marker-of-refresh-3d4e",
    "client_secret": "marker-of-the-client-secret-5f", "client_id": "us", "expires_at": 1,
    "token_url": "https://example.org/token",
}  # fmt: skip
ENV = {
    "ANTHROPIC_API_KEY": "sk-ant-api03-marker-of-env-0a1b",
    "TELEGRAM_BOT_TOKEN": "12345:marker-of-the-bot-2c3d",
    "WEBHOOK_SECRET": "marker-of-the-webhook-4e5f",
    "MAIL_PASSWORD": "marker-of-the-mail-6a7b",
    "DATABASE_URL": "postgres://me:marker-of-the-login-8c9d@db.example/x",
    "SSH_PASSPHRASE": "marker-of-the-passphrase-8c9d",
}
OLD_LINE = "marker-of-a-line-that-is-no-setting"
PACKED = "words in the packed session"


@pytest.fixture
def markers(room: Room) -> dict[str, bytes]:
    """A home with a secret of every kind; what each of them looks like."""
    found = {name: value for name, (_, value) in STORED.items()}
    store, now = SecretStore(room.paths, SecretsBackend.FILES), utc_now()
    for name, (kind, value) in STORED.items():
        store.put(name, value, kind, now)
    store.put("google-oauth", json.dumps(TOKENS), Kind.OAUTH, now)
    found |= {key: str(value) for key, value in TOKENS.items() if "marker" in str(value)}
    lines = [f"{name}={value}" for name, value in ENV.items()]
    room.paths.env_file.write_text("\n".join(["TZ=UTC", *lines, OLD_LINE]) + "\n")
    room.paths.env_file.chmod(0o600)
    found |= ENV | {"line": OLD_LINE}
    Authority(room.paths.authority, "test").ensure(now)
    (root, *_) = json.loads((room.paths.authority / "authority.json").read_text())["roots"]
    found |= {f"root key {n}": line for n, line in enumerate(key_lines(root["key"]))}
    service = Service(
        "github", ServiceKind.HEADER, ("api.github.com",), "authorization", "Bearer {secret}",
        "github-service", now, now, "test",
    )  # fmt: skip
    with transaction(room.conn):
        services.put(room.conn, service)
    closed = SessionFolder.of(room.paths, room.group_id, "sess-0")
    closed.create()
    (closed.out_dir / "note.txt").write_text(PACKED)
    pack(closed.root)
    return {name: value.encode() for name, value in found.items()}


def key_lines(pem: str) -> list[str]:
    return [line for line in pem.splitlines() if line and not line.startswith("-----")]


def members(data: bytes, name: str = "") -> Iterator[tuple[str, bytes]]:
    """Of an archive and of the archives in it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            file = archive.extractfile(info)
            content = file.read() if file is not None else b""
            yield f"{name}{info.name}", content
            if info.name.endswith(".tar.gz"):
                yield from members(content, f"{name}{info.name}/")


def backed_up(room: Room, *words: str) -> dict[str, bytes]:
    """By the program itself, as it is run by hand."""
    done = run_backup(room.config, "create", "--json", *words)
    assert done.returncode == 0, done.stderr
    found = dict(members(Path(json.loads(done.stdout)["path"]).read_bytes()))
    assert any(PACKED.encode() in content for content in found.values()), "archives are opened"
    return found


def holding(found: dict[str, bytes], marker: bytes) -> list[str]:
    """Members with the marker in their name or content, plain or in base64."""
    forms = (marker, base64.b64encode(marker).rstrip(b"="))
    return [
        name
        for name, content in found.items()
        if any(form in content or form in name.encode() for form in forms)
    ]


def test_backup_holds_no_secret_of_any_kind(room: Room, markers: dict[str, bytes]) -> None:
    found = backed_up(room, "--with-logs")

    held = {name: where for name, marker in markers.items() if (where := holding(found, marker))}
    assert held == {}
    assert not [name for name in found if name.startswith("home/secrets")]
    assert found["home/.env"] == b"TZ=UTC\n"


def test_backup_with_secrets_holds_every_one(room: Room, markers: dict[str, bytes]) -> None:
    found = backed_up(room, "--with-secrets")

    assert [name for name, marker in markers.items() if not holding(found, marker)] == []
    assert {"home/secrets/google-oauth", "home/secrets/ca/authority.json"} <= set(found)
